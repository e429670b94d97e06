"""One feed, from its reading to blocks of vetted rows: csv by the block of lines, every other format row by row."""

from collections.abc import Iterator
from typing import Final

from index_builder.config.feed import FeedConfig
from index_builder.feeds.csv_blocks import PlainRows
from index_builder.feeds.entry_ids import EntryIds
from index_builder.feeds.formats.csv_rows import CsvHeader
from index_builder.feeds.formats.lines import LineReader, line_blocks
from index_builder.feeds.formats.record import BadRow
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.reading import FeedReading
from index_builder.feeds.rejects import RejectLog
from index_builder.feeds.row_block import RowBlock, RowShape
from index_builder.feeds.vetting import VettedRow, Vetting

_ROWS: Final = 10_000  # in a block, where they come one by one


def row_blocks(
    feed: FeedConfig,
    reading: FeedReading,
    vetting: Vetting,
    entry_ids: EntryIds,
    shape: RowShape,
    rejects: RejectLog,
) -> Iterator[RowBlock]:
    """The rows that vetting takes, in the order of the feed; the others are in `rejects`. Raises as `reading` does."""
    if feed.format == "csv":

        def read(source: SourceFile, feed: FeedConfig) -> Iterator[tuple[RowBlock, int]]:
            header = CsvHeader.of(next(iter(LineReader(source)), None), feed)
            return PlainRows(header, vetting, entry_ids, shape).read(line_blocks(source, 2), rejects)

        for block, rows in reading.blocks(read):
            reading.rows += rows
            yield block
        return
    taken: list[VettedRow] = []
    for record in reading:
        vetted = vetting.vet(record)
        if isinstance(vetted, BadRow):
            rejects.add(vetted)
            continue
        taken.append(vetted)
        if len(taken) == _ROWS:
            yield RowBlock.of(taken, entry_ids, shape)
            taken = []
    yield RowBlock.of(taken, entry_ids, shape)
