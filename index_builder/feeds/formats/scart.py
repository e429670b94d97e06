"""`scart`: SCART's table of inputs, exported as CSV with semicolons and a header. Full replace.

SCART makes no list; its `url_hash` holds the MD5 of a file and, in 16 digits, the length of it. Only what was
graded illegal and is a picture or video counts. Its retention job overwrites `url_hash`: those rows are set aside.
"""

import csv
import re
from collections.abc import Iterator
from typing import Final

from hashcheck_core.errors import FeedError
from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.lines import LineReader
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record
from index_builder.feeds.formats.source_file import SourceFile

COLUMNS: Final = ("url_hash", "url_type", "grade_code")
_URL_HASH = re.compile(r"([0-9a-fA-F]{32})(\d{16})")


def read_scart(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records of an export; raises FeedError where a column is missing. The MD5 is the id."""
    lines = iter(LineReader(source))
    first = next(lines, None)
    names = (_cells(first.text) if first is not None else None) or []
    if any(names.count(column) != 1 for column in COLUMNS):
        raise FeedError(
            f"Feed {feed.name!r} has no header with the columns {', '.join(COLUMNS)}.",
            next_step="Export these columns from SCART, with semicolons and in UTF-8.",
        )
    places = [names.index(column) for column in COLUMNS]
    category = str(feed.category)
    for line in lines:
        if line.bad is not None:
            yield line.bad
            continue
        if not line.text:
            continue
        cells = _cells(line.text)
        if cells is None or len(cells) != len(names):
            yield BadRow(
                line.number, Reason.MALFORMED_ROW, f"the header has {len(names)} cells, this row has others"
            )
            continue
        value, kind, grade = (cells[place].strip() for place in places)
        match = _URL_HASH.fullmatch(value)
        if match is None or grade != "illegal" or kind not in ("imageurl", "videourl"):
            yield BadRow(
                line.number, Reason.NOT_FOR_LISTS, "not a graded picture or video, or its hash is removed"
            )
        elif int(match[2]) == 0:
            yield BadRow(line.number, Reason.EMPTY_FILE, "the file has no bytes")
        else:
            md5 = match[1].lower()
            yield Record(line.number, md5, "md5", md5, None, category, media=kind.removesuffix("url"))


def _cells(text: str) -> list[str] | None:
    try:
        return next(csv.reader((text,), delimiter=";", strict=True), None)
    except csv.Error:
        return None
