"""`csv`: a header with id, type, value, quality and category in any order, then a row a line.

Comma separated, quotes as in RFC 4180, but no line break inside a quoted field: no field of a hash list
needs one, and one stray quote must not swallow the rest of the feed. Further columns are passed over.
"""

import csv
from collections.abc import Iterator
from typing import Final

from hashcheck_core.errors import FeedError
from index_builder.config import FeedConfig
from index_builder.formats.lines import Line, LineReader
from index_builder.formats.record import BadRow, Item, Reason, Record
from index_builder.formats.source_file import SourceFile

COLUMNS: Final = ("id", "type", "value", "quality", "category")


def read_csv(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Rows of a csv feed; raises FeedError where the header does not name every column once."""
    numbered = iter(LineReader(source))
    places, width = _header(next(numbered, None), feed)
    for line in numbered:
        if line.bad is not None:
            yield line.bad
            continue
        if not line.text:
            continue
        cells = _cells(line.text)
        if cells is None or len(cells) != width:
            found = "quotes that do not close" if cells is None else f"{len(cells)} cells"
            yield BadRow(line.number, Reason.MALFORMED_ROW, f"the header has {width} cells, this row {found}")
            continue
        entry_id, hash_type, value, quality, category = (cells[place] for place in places)
        yield Record(line.number, entry_id, hash_type, value, quality or None, category)


def _header(line: Line | None, feed: FeedConfig) -> tuple[list[int], int]:
    names = _cells(line.text) if line is not None else None
    if names is None or any(names.count(column) != 1 for column in COLUMNS):
        raise FeedError(
            f"Feed {feed.name!r} has no header with the columns {', '.join(COLUMNS)}.",
            next_step="Check that it is the right file, whole, comma separated and in UTF-8.",
        )
    return [names.index(column) for column in COLUMNS], len(names)


def _cells(text: str) -> list[str] | None:
    try:
        return next(csv.reader((text,), strict=True), None)
    except csv.Error:
        return None
