"""`icse`: INTERPOL's ICSE export, CSV with semicolons. Full replace: it has no tombstones.

The code of a row is its `Baseline` flag, `y` or `n`: `y` is the subset meant for providers. Source: IPED's reader.
"""

import csv
from collections.abc import Iterator
from typing import Final

from hashcheck_core.errors import FeedError
from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.lines import LineReader
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record
from index_builder.feeds.formats.source_file import SourceFile

HEADER: Final = (
    *("MD5", "SHA1", "PhotoDNA", "Image ID", "Is distributed", "Victim identified", "Offender identified"),
    *("Series name", "Number of submissions", "File Available", "Media Type", "Baseline"),
)
_FLAGS = {"y": "y", "yes": "y", "t": "y", "true": "y", "n": "n", "no": "n", "f": "n", "false": "n"}


def read_icse(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records of an ICSE export; raises FeedError where the header is another."""
    lines = iter(LineReader(source))
    first = next(lines, None)
    if first is None or tuple(_cells(first.text) or ()) != HEADER:
        raise FeedError(
            f"Feed {feed.name!r} does not begin with the header of an ICSE export.",
            next_step="Check that it is the right file, whole, with semicolons and in UTF-8.",
        )
    for line in lines:
        if line.bad is not None:
            yield line.bad
        elif line.text:
            yield from _records(line.number, _cells(line.text))


def _records(number: int, cells: list[str] | None) -> Iterator[Record | BadRow]:
    # Ragged rows occur. Empty cells too many shift nothing; any other difference leaves no way to know the flag.
    while cells and len(cells) > len(HEADER) and not cells[-1]:
        cells.pop()
    if cells is None or len(cells) != len(HEADER):
        yield BadRow(number, Reason.MALFORMED_ROW, f"the header has {len(HEADER)} cells, this row has others")
        return
    row = dict(zip(HEADER, (cell.strip() for cell in cells), strict=True))
    code = _FLAGS.get(row["Baseline"].lower(), row["Baseline"])
    entry = row["Image ID"] or row["MD5"].lower()
    for hash_type, column in (("md5", "MD5"), ("sha1", "SHA1"), ("photodna", "PhotoDNA")):
        if row[column]:
            yield Record(number, entry, hash_type, row[column], None, code, media=row["Media Type"].lower())


def _cells(text: str) -> list[str] | None:
    try:
        return next(csv.reader((text,), delimiter=";", strict=True), None)
    except csv.Error:
        return None
