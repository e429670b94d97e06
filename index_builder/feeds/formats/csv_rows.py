"""`csv`: a header with id, type, value, quality and category in any order, then a row a line.

Comma separated, quotes as in RFC 4180, but no line break inside a quoted field: no field of a hash list
needs one, and one stray quote must not swallow the rest of the feed. Further columns are passed over.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hashcheck_core.errors import FeedError
from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.lines import Line, LineReader
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record
from index_builder.feeds.formats.source_file import SourceFile

COLUMNS: Final = ("id", "type", "value", "quality", "category")


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """`places`: where each of COLUMNS stands among the `width` cells of a row."""

    places: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, line: Line | None, feed: FeedConfig) -> "CsvHeader":
        """Raises FeedError where the line does not name every column once."""
        names = _cells(line.text) if line is not None else None
        if names is None or any(names.count(column) != 1 for column in COLUMNS):
            raise FeedError(
                f"Feed {feed.name!r} has no header with the columns {', '.join(COLUMNS)}.",
                next_step="Check that it is the right file, whole, comma separated and in UTF-8.",
            )
        return cls(tuple(names.index(column) for column in COLUMNS), len(names))

    def row(self, line: Line) -> Record | BadRow | None:
        """What a line says; None for an empty one."""
        if line.bad is not None:
            return line.bad
        if not line.text:
            return None
        cells = _cells(line.text)
        if cells is None or len(cells) != self.width:
            found = "quotes that do not close" if cells is None else f"{len(cells)} cells"
            return BadRow(
                line.number, Reason.MALFORMED_ROW, f"the header has {self.width} cells, this row {found}"
            )
        entry_id, hash_type, value, quality, category = (cells[place] for place in self.places)
        return Record(line.number, entry_id, hash_type, value, quality or None, category)


def read_csv(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Rows of a csv feed one by one; `index_builder.feeds.csv_blocks` reads the same faster. Raises FeedError."""
    lines = iter(LineReader(source))
    header = CsvHeader.of(next(lines, None), feed)
    for line in lines:
        item = header.row(line)
        if item is not None:
            yield item


def _cells(text: str) -> list[str] | None:
    try:
        return next(csv.reader((text,), strict=True), None)
    except csv.Error:
        return None
