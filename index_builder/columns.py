"""Vetted rows in, candidates for a list out. Pure; the same rows give the same columns."""

import hmac
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.errors import DataError
from hashcheck_core.hash_types import HashType
from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES, TEST_SOURCE
from hashcheck_core.search.exact import as_keys
from hashcheck_core.snapshot.overlay import Addition, addition_hash
from hashcheck_core.snapshot.verifier import ENTRY_ID_BYTES
from index_builder.candidates import Candidates, CandidateTable
from index_builder.formats.record import BadRow, Reason
from index_builder.vetting import VettedRow

OVERLAY_FEED: Final = "overlay"  # stands for a feed where an addition is spoken of
_CATEGORY_CODE = {category: code for code, category in enumerate(CATEGORY_CODES)}


@dataclass(slots=True)
class _TypeRows:
    codes: bytearray = field(default_factory=bytearray)
    entries: "array[int]" = field(default_factory=lambda: array("I"))


class ColumnCollector:
    """Takes rows as they come, in any order of feeds.

    `id_key` keys the entry ids: HMAC-SHA256 over feed name and the feed's own id, cut to 16 bytes. An id then
    stays the same from build to build, and tells an outsider neither the source's id nor, where a feed has no
    ids but its hashes, the hash.
    """

    def __init__(self, id_key: bytes, types: Mapping[str, HashType]) -> None:
        self._id_key = id_key
        self._types = types
        self._index: dict[tuple[str, str], int] = {}
        self._ids = bytearray(TEST_ENTRY_ID)
        self._categories = bytearray((_CATEGORY_CODE[Category.TEST],))
        self._sources = array("I", (0,))
        self._source_names = [TEST_SOURCE]
        self._feeds = array("I", (0,))
        self._feed_names = [TEST_SOURCE]
        self._up, self._down = array("I", (0,)), array("I", (0,))
        self._rows = {name: _TypeRows() for name in sorted(types)}
        for reserved in TEST_HASHES:
            self._append(reserved.type, reserved.value, 0)

    def add(self, feed: str, source: str, row: VettedRow) -> BadRow | None:
        """Take one row; answers why not where an earlier row gave the same entry another category."""
        code = _CATEGORY_CODE[row.category]
        entry = self._index.get((feed, row.id))
        if entry is None:
            message = f"{feed}\0{row.id}".encode(errors="surrogatepass")
            listed_as = hmac.digest(self._id_key, message, "sha256")[:ENTRY_ID_BYTES]
            entry = self._new_entry(feed, source, row.id, code, listed_as)
        elif self._categories[entry] != code:
            earlier = CATEGORY_CODES[self._categories[entry]]
            return BadRow(row.line, Reason.CATEGORY_CONFLICT, f"an earlier row has this entry as {earlier}")
        self._up[entry] = max(self._up[entry], row.up)
        self._down[entry] = max(self._down[entry], row.down)
        self._append(row.hash_type, row.value, entry)
        return None

    def add_urgent(self, addition: Addition) -> None:
        """Take a hash that an overlay lists, under the entry id it has there."""
        listed = addition_hash(addition)
        entry = self._index.get((OVERLAY_FEED, addition.entry))
        if entry is None:
            code = _CATEGORY_CODE[Category(addition.category)]
            listed_as = bytes.fromhex(addition.entry)
            entry = self._new_entry(OVERLAY_FEED, addition.source, addition.entry, code, listed_as)
        self._append(listed.type, listed.value, entry)

    def _new_entry(self, feed: str, source: str, entry_id: str, code: int, listed_as: bytes) -> int:
        entry = len(self._categories)
        self._index[feed, entry_id] = entry
        self._ids += listed_as
        self._categories.append(code)
        if source not in self._source_names:
            self._source_names.append(source)
        self._sources.append(self._source_names.index(source))
        if self._feed_names[-1] != feed:
            self._feed_names.append(feed)
        self._feeds.append(len(self._feed_names) - 1)
        self._up.append(0)
        self._down.append(0)
        return entry

    def _append(self, hash_type: HashType, value: bytes, entry: int) -> None:
        rows = self._rows[hash_type.name]
        rows.codes += value
        rows.entries.append(entry)

    def finish(self) -> Candidates:
        """The candidates, sorted: entries by id, hashes by their bytes, the entries of a hash by number.

        Raises DataError where an overlay gave an addition the id of an entry of a feed.
        """
        ids = np.frombuffer(bytes(self._ids), np.uint8).reshape(-1, ENTRY_ID_BYTES)
        order = np.argsort(as_keys(ids), kind="stable")
        if _repeats(ids[order]):
            raise DataError(
                "The overlay lists something under the id of another entry.",
                next_step="Retract that addition, add it anew (index-builder add), and build again.",
            )
        number = np.empty(len(order), np.uint32)
        number[order] = np.arange(len(order), dtype=np.uint32)
        return Candidates(
            ids=ids[order],
            categories=np.frombuffer(bytes(self._categories), np.uint8)[order],
            sources=np.asarray(self._sources, np.uint16)[order],
            feeds=np.asarray(self._feeds, np.uint16)[order],
            up=np.asarray(self._up, np.uint32)[order],
            down=np.asarray(self._down, np.uint32)[order],
            source_names=self._source_names,
            feed_names=self._feed_names,
            reserved=int(number[0]),
            tables=[
                _table(self._types[name], rows, number) for name, rows in self._rows.items() if rows.entries
            ],
        )


def _repeats(ids: NDArray[np.uint8]) -> bool:
    """Whether two of `ids`, ascending, are equal."""
    return bool((ids[1:] == ids[:-1]).all(axis=1).any())


def _table(hash_type: HashType, rows: _TypeRows, number: NDArray[np.uint32]) -> CandidateTable:
    codes = np.frombuffer(bytes(rows.codes), np.uint8).reshape(-1, hash_type.bytes)
    links = number[np.asarray(rows.entries, np.uint32)]
    by_link = np.argsort(links, kind="stable")
    order = by_link[np.argsort(as_keys(codes)[by_link], kind="stable")]
    codes, links = codes[order], links[order]
    new_code = np.ones(len(codes), bool)
    new_code[1:] = (codes[1:] != codes[:-1]).any(axis=1)
    new_link = new_code.copy()
    new_link[1:] |= links[1:] != links[:-1]
    codes, links, new_code = codes[new_link], links[new_link], new_code[new_link]
    starts = np.flatnonzero(new_code)
    return CandidateTable(
        hash_type, np.ascontiguousarray(codes[starts]), np.append(starts, len(links)).astype(np.uint32), links
    )
