"""Feed formats, one file each behind one small interface.

A format is a function from the bytes of a feed to records, tombstones and rejects. It streams, keeps nothing, and
never raises for a bad row: that row becomes a `BadRow` with its number and reason. It raises FeedError for a file
that is something else altogether. What a record means (is the type known, the category mapped, the hash whole?) is
not its business but `feeds.vetting`'s; what an update does to an earlier one is `feeds.delta_state`'s.
"""

from collections.abc import Callable, Iterator, Mapping

from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.csv_rows import read_csv
from index_builder.feeds.formats.icse import read_icse
from index_builder.feeds.formats.jsonl_rows import read_jsonl
from index_builder.feeds.formats.local_file import read_local_file
from index_builder.feeds.formats.ncmec import read_ncmec
from index_builder.feeds.formats.record import Item
from index_builder.feeds.formats.scart import read_scart
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.formats.stopncii import read_stopncii
from index_builder.feeds.formats.tat import read_tat
from index_builder.feeds.formats.threatexchange import read_threatexchange
from index_builder.feeds.formats.vics import read_vics

Reader = Callable[[SourceFile, FeedConfig], Iterator[Item]]

FORMATS: Mapping[str, Reader] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "lines": read_local_file,
    "vics": read_vics,
    "icse": read_icse,
    "scart": read_scart,
    "ncmec": read_ncmec,
    "stopncii": read_stopncii,
    "tat": read_tat,
    "threatexchange": read_threatexchange,
}
