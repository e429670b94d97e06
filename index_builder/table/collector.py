"""Vetted rows in, candidates for a list out; the same rows give the same columns.

Rows are kept in files as they come, and sorted when all are there: what a build holds in memory does not grow with
its feeds, but for a few bytes a row while entries are numbered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.errors import DataError
from hashcheck_core.hash_types import HashType
from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES, TEST_SOURCE
from hashcheck_core.search.exact import as_keys
from hashcheck_core.snapshot.overlay import Addition, addition_hash
from hashcheck_core.snapshot.verifier import ENTRY_ID_BYTES
from index_builder.feeds.formats.record import BadRow, Reason
from index_builder.feeds.row_block import RowBlock, RowShape
from index_builder.feeds.vetting import VettedRow
from index_builder.table.array_file import PART_ROWS, ArrayFile
from index_builder.table.candidates import Candidates, CandidateTable
from index_builder.table.sorting import SORT_ROWS, Rows, sorted_parts

OVERLAY_FEED: Final = "overlay"  # stands for a feed where an addition is spoken of
MAX_ROWS: Final = (1 << 32) - 1  # rows and entries are numbered in 32 bits, here and in a snapshot
_NONE: Final = np.uint32(MAX_ROWS)  # the entry of a row that is rejected after all


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows in a row of one feed and source; the first of them."""

    first: int
    feed: str
    source: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A row that gives an entry of its feed another category than the entry has; it is not listed."""

    feed: str
    category: Category
    bad: BadRow


class ColumnCollector:
    """Takes rows as they come, one feed after the other, into files in `folder`. Raises OSError.

    After `finish`, `conflicts` are the rows that it had to reject.
    """

    def __init__(self, types: Mapping[str, HashType], folder: Path, sort_rows: int = SORT_ROWS) -> None:
        self.shape = RowShape(types)
        self._types = types
        self._folder = folder
        self._sort_rows = sort_rows
        self._stretches: list[_Stretch] = []
        self._overlay_sources: dict[str, str] = {}
        self._opinions = False
        self._conflicts: list[tuple[NDArray[np.uint32], NDArray[np.uint8]]] = []
        self._ids = self._file("ids", np.uint8, ENTRY_ID_BYTES)
        self._lines = self._file("lines", np.uint64)
        self._categories = self._file("categories", np.uint8)
        self._up, self._down = self._file("up", np.uint32), self._file("down", np.uint32)
        self._codes = [self._file(f"{name}-codes", np.uint8, types[name].bytes) for name in self.shape.names]
        self._rows = [self._file(f"{name}-rows", np.uint32) for name in self.shape.names]
        reserved = [VettedRow(0, "", h.type, h.value, Category.TEST) for h in TEST_HASHES]
        self._add_listed(TEST_SOURCE, TEST_SOURCE, TEST_ENTRY_ID, reserved)

    def add(self, feed: str, source: str, rows: RowBlock) -> None:
        """Take rows. Raises DataError where they are more than can be numbered."""
        if not len(rows):
            return
        first = len(self._ids)
        if first + len(rows) > MAX_ROWS:
            raise DataError(
                f"The feeds have more than {MAX_ROWS:,} rows together.",
                next_step="Make several lists of them, each with a service of its own.",
            )
        last = self._stretches[-1] if self._stretches else None
        if last is None or (last.feed, last.source) != (feed, source):
            self._stretches.append(_Stretch(first, feed, source))
        self._ids.append(rows.ids)
        self._lines.append(rows.lines)
        self._categories.append(rows.categories)
        self._up.append(rows.up)
        self._down.append(rows.down)
        self._opinions = self._opinions or bool(rows.up.any() or rows.down.any())
        for kind, (codes, numbers) in enumerate(zip(self._codes, self._rows, strict=True)):
            mine = np.flatnonzero(rows.kinds == kind)
            if len(mine):
                codes.append(rows.codes[mine, : self._types[self.shape.names[kind]].bytes])
                numbers.append((mine + first).astype(np.uint32))

    def add_urgent(self, addition: Addition) -> None:
        """Take a hash that an overlay lists, under the entry id it has there."""
        listed = addition_hash(addition)
        source = self._overlay_sources.setdefault(addition.entry, addition.source)
        row = VettedRow(0, addition.entry, listed.type, listed.value, Category(addition.category))
        self._add_listed(OVERLAY_FEED, source, bytes.fromhex(addition.entry), [row])

    def _add_listed(self, feed: str, source: str, entry: bytes, rows: Sequence[VettedRow]) -> None:
        ids = np.frombuffer(entry * len(rows), np.uint8)
        self.add(feed, source, RowBlock.under(ids, rows, self.shape))

    def finish(self, on_step: Callable[[str], None] = lambda _: None) -> Candidates:
        """The candidates, sorted: entries by id, hashes by their bytes, the entries of a hash by number.

        They lie in the folder, mapped. Raises DataError where an overlay gave an addition the id of an entry of a feed.
        """
        entries = {
            "ids": self._file("entry-ids", np.uint8, ENTRY_ID_BYTES),
            "categories": self._file("entry-categories", np.uint8),
            "sources": self._file("entry-sources", np.uint16),
            "feeds": self._file("entry-feeds", np.uint16),
            "up": self._file("entry-up", np.uint32),
            "down": self._file("entry-down", np.uint32),
        }
        numbers = self._number_entries(entries, on_step)
        tables = [
            self._table(self._types[name], codes, rows, numbers, on_step)
            for name, codes, rows in zip(self.shape.names, self._codes, self._rows, strict=True)
            if len(codes)
        ]
        return Candidates(
            **{name: file.mapped() for name, file in entries.items()},
            source_names=_distinct(stretch.source for stretch in self._stretches),
            feed_names=_distinct(stretch.feed for stretch in self._stretches),
            reserved=int(numbers[0]),
            tables=[table for table in tables if len(table.codes)],
        )

    def _number_entries(
        self, entries: Mapping[str, ArrayFile], on_step: Callable[[str], None]
    ) -> NDArray[np.uint32]:
        """Write the columns of `entries`; which of them each row belongs to, or _NONE."""
        ids, categories = self._ids.mapped(), self._categories.mapped()
        up, down = self._up.mapped(), self._down.mapped()
        sources = _distinct(stretch.source for stretch in self._stretches)
        feeds = _distinct(stretch.feed for stretch in self._stretches)
        firsts = np.array([stretch.first for stretch in self._stretches], np.uint32)
        source_of = np.array([sources.index(stretch.source) for stretch in self._stretches], np.uint16)
        feed_of = np.array([feeds.index(stretch.feed) for stretch in self._stretches], np.uint16)
        numbers = np.empty(len(ids), np.uint32)
        on_step(f"sorting {len(ids):,} rows by entry")
        for keys, rows in sorted_parts(_numbered(ids), ids, self._folder, self._sort_rows):
            on_step(f"sorted {len(entries['ids']) + len(keys):,} of {len(ids):,} rows by entry")
            if not len(keys):
                continue
            starts, entry = _runs(keys)
            stretch = np.searchsorted(firsts, rows, side="right") - 1
            if (feed_of[stretch] != feed_of[stretch[starts]][entry]).any():
                raise DataError(
                    "The overlay lists something under the id of another entry.",
                    next_step="Retract that addition, add it anew (index-builder add), and build again.",
                )
            category = categories[rows]
            conflict = category != category[starts][entry]
            at = np.flatnonzero(conflict)
            self._conflicts.append((rows[at], category[starts][entry[at]]))
            numbers[rows] = len(entries["ids"]) + entry
            numbers[rows[at]] = _NONE
            for name, opinions in (("up", up), ("down", down)):
                counts = np.zeros(len(starts), np.uint32)
                if self._opinions:
                    counts = np.maximum.reduceat(np.where(conflict, np.uint32(0), opinions[rows]), starts)
                entries[name].append(counts)
            entries["ids"].append(keys[starts])
            entries["categories"].append(category[starts])
            entries["sources"].append(source_of[stretch[starts]])
            entries["feeds"].append(feed_of[stretch[starts]])
        for file in (self._ids, self._up, self._down):
            file.delete()
        return numbers

    def _table(
        self,
        hash_type: HashType,
        codes: ArrayFile,
        rows: ArrayFile,
        numbers: NDArray[np.uint32],
        on_step: Callable[[str], None],
    ) -> CandidateTable:
        name, total = hash_type.name, len(codes)
        distinct = self._file(f"{name}-distinct", np.uint8, hash_type.bytes)
        offsets = self._file(f"{name}-offsets", np.uint32)
        links = self._file(f"{name}-links", np.uint32)

        def linked() -> Iterator[Rows]:
            for some_codes, some_rows in zip(codes.parts(), rows.parts(), strict=True):
                entry = numbers[some_rows]
                listed = entry != _NONE
                yield (some_codes, entry) if listed.all() else (some_codes[listed], entry[listed])

        on_step(f"sorting {total:,} {name} hashes")
        done = 0
        for keys, entry in sorted_parts(linked(), codes.mapped(), self._folder, self._sort_rows):
            done += len(keys)
            on_step(f"sorted {done:,} of {total:,} {name} hashes")
            starts, row = _runs(keys)
            again = np.zeros(len(keys), bool)
            again[1:] = (row[1:] == row[:-1]) & (entry[1:] == entry[:-1])
            kept = np.flatnonzero(~again)
            offsets.append(np.searchsorted(kept, starts) + len(links))
            links.append(entry[kept])
            distinct.append(keys[starts])
        offsets.append(np.array([len(links)]))
        codes.delete()
        rows.delete()
        return CandidateTable(hash_type, distinct.mapped(), offsets.mapped(), links.mapped())

    def conflicts(self) -> Iterator[Conflict]:
        """In the order of the rows; once, for then the columns of rows are gone."""
        rows = np.concatenate([rows for rows, _ in self._conflicts])
        earlier = np.concatenate([categories for _, categories in self._conflicts])
        order = np.argsort(rows)
        lines, categories = self._lines.mapped(), self._categories.mapped()
        firsts = [stretch.first for stretch in self._stretches]
        for row, first in zip(rows[order].tolist(), earlier[order].tolist(), strict=True):
            feed = self._stretches[int(np.searchsorted(firsts, row, side="right")) - 1].feed
            detail = f"an earlier row has this entry as {CATEGORY_CODES[first]}"
            bad = BadRow(int(lines[row]), Reason.CATEGORY_CONFLICT, detail)
            yield Conflict(feed, CATEGORY_CODES[categories[row]], bad)
        self._lines.delete()
        self._categories.delete()

    def _file(self, name: str, dtype: "type[Any]", width: int = 0) -> ArrayFile:
        return ArrayFile(self._folder / name, dtype, width)


def _numbered(ids: NDArray[np.uint8]) -> Iterator[Rows]:
    for first in range(0, len(ids), PART_ROWS):
        part = ids[first : first + PART_ROWS]
        yield part, np.arange(first, first + len(part), dtype=np.uint32)


def _runs(keys: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of equal keys starts, and the number of the run that each key is in."""
    new = np.ones(len(keys), bool)
    new[1:] = as_keys(keys[1:]) != as_keys(keys[:-1])
    return np.flatnonzero(new), np.cumsum(new) - 1


def _distinct(names: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(names))
