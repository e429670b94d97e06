"""Feed formats, one file each behind one small interface.

A format is a function from the numbered lines of a feed to rows. It streams, keeps nothing, and never raises
for a bad line: that line becomes a `BadRow` with its number and reason. What a row means (is the type known,
the category mapped, the hash whole?) is not its business but `index_builder.vetting`'s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from index_builder.config import FeedConfig
from index_builder.formats.csv_rows import read_csv
from index_builder.formats.jsonl_rows import read_jsonl
from index_builder.formats.lines import Line
from index_builder.formats.local_file import read_local_file
from index_builder.formats.row import BadRow, Row

RowReader = Callable[[Iterable[Line], FeedConfig], Iterator[Row | BadRow]]

FORMATS: Mapping[str, RowReader] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "lines": read_local_file,
}
