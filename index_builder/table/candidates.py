"""All that the feeds want listed, as sorted columns, before the gates have spoken; and what is left of it after.

Pure. Entries ascend by id, hashes by their bytes; equal hashes are one row that keeps every entry that lists them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.hash_types import HashType
from hashcheck_core.reserved import TEST_HASHES
from hashcheck_core.snapshot.writer import EntryColumns, HashColumns
from index_builder.table.engines import choose_engine


@dataclass(frozen=True, slots=True)
class CandidateTable:
    """codes: uint8 (rows, bytes), distinct; the entries of row i are links[offsets[i]:offsets[i + 1]], both uint32."""

    hash_type: HashType
    codes: NDArray[np.uint8]
    offsets: NDArray[np.uint32]
    links: NDArray[np.uint32]

    def row_of_links(self) -> NDArray[np.int64]:
        """int64 (links): the row that each link belongs to."""
        bounds = self.offsets.astype(np.int64)
        return np.repeat(np.arange(len(self.codes)), bounds[1:] - bounds[:-1])

    def entries_of(self, rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The entries of any of `rows`, with repetitions."""
        if not len(rows):
            return np.empty(0, np.uint32)
        starts = self.offsets[rows].astype(np.int64)
        counts = self.offsets[rows + 1].astype(np.int64) - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found: NDArray[np.uint32] = self.links[np.repeat(starts, counts) + within]
        return found


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns by entry: ids uint8 (n, 16); categories uint8; sources and feeds uint16, indexes into the names; up and
    down uint32, opinions. `reserved` is the index of the entry of the test hashes, which no gate holds."""

    ids: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    sources: NDArray[np.uint16]
    feeds: NDArray[np.uint16]
    up: NDArray[np.uint32]
    down: NDArray[np.uint32]
    source_names: Sequence[str]
    feed_names: Sequence[str]
    reserved: int
    tables: Sequence[CandidateTable]

    def columns(
        self, held: NDArray[np.bool_], on_step: Callable[[str], None]
    ) -> tuple[EntryColumns, list[HashColumns]]:
        """What is listed: all entries but those `held`."""
        source_names = [[name] for name in self.source_names]
        if not held.any():
            entries = EntryColumns(self.ids, self.categories, self.sources, source_names)
            return entries, [_hash_columns(table, on_step) for table in self.tables]
        kept = ~held
        number = np.cumsum(kept, dtype=np.int64) - 1
        entries = EntryColumns(self.ids[kept], self.categories[kept], self.sources[kept], source_names)
        left = (_without(table, kept, number) for table in self.tables)
        return entries, [_hash_columns(table, on_step) for table in left if len(table.codes)]


def _without(table: CandidateTable, kept: NDArray[np.bool_], number: NDArray[np.int64]) -> CandidateTable:
    stays = kept[table.links]
    rows = table.row_of_links()[stays]
    counts = np.bincount(rows, minlength=len(table.codes))
    left = counts > 0
    offsets = np.zeros(int(left.sum()) + 1, np.uint32)
    np.cumsum(counts[left], out=offsets[1:])
    links = number[table.links[stays]].astype(np.uint32)
    return CandidateTable(table.hash_type, np.ascontiguousarray(table.codes[left]), offsets, links)


def _hash_columns(table: CandidateTable, on_step: Callable[[str], None]) -> HashColumns:
    reserved = sum(item.type.name == table.hash_type.name for item in TEST_HASHES)
    engine, build_tables = choose_engine(table.hash_type, table.codes, on_step)
    return HashColumns(
        hash_type=table.hash_type,
        codes=table.codes,
        offsets=table.offsets,
        links=table.links,
        listed=len(table.codes) - reserved,
        engine=engine,
        build_tables=build_tables,
    )


def sample(columns: Sequence[HashColumns], rows: int) -> "dict[str, NDArray[np.uint8]]":
    """Some listed hashes of each type, evenly spread, and the reserved ones."""
    picked = {}
    for column in columns:
        index = np.unique(np.linspace(0, len(column.codes) - 1, rows).astype(np.int64))
        reserved = [h.value for h in TEST_HASHES if h.type.name == column.hash_type.name]
        own = np.frombuffer(b"".join(reserved), np.uint8).reshape(-1, column.hash_type.bytes)
        picked[column.hash_type.name] = np.concatenate([column.codes[index], own])
    return picked
