"""An open snapshot: one immutable object that answers which entries a hash is within the radius of.

It holds memory-mapped arrays, opens nothing and changes nothing. A request reads a reference to it once and
uses that one to its end; a swap is the assignment of another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.hash_types import HashType
from hashcheck_core.search.engine import Neighbours, SearchEngine
from hashcheck_core.search.exact import as_keys
from hashcheck_core.snapshot.manifest import Manifest

# The digests that may contradict each other, weakest first. Collisions can be made of the first two.
DIGEST_TYPES: Final = ("md5", "sha1", "sha256")
_LINKS_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed thing, as an answer may show it."""

    id: str
    category: Category
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HashTable:
    """The listed hashes of one type. `listed` counts the rows that come from feeds (not reserved ones)."""

    hash_type: HashType
    engine: SearchEngine
    offsets: NDArray[np.uint32]
    links: NDArray[np.uint32]
    listed: int

    def search(self, queries: NDArray[np.uint8], radius: int) -> Neighbours:
        """All rows within `radius` bits of each query; see SearchEngine.search."""
        return self.engine.search(queries, radius)

    def entries_of(self, row: int) -> list[int]:
        """The entries (indexes into Entries) that list the hash of `row`; at least one."""
        return [int(i) for i in self.links[self.offsets[row] : self.offsets[row + 1]]]


@dataclass(frozen=True, slots=True)
class Entries:
    """All listed things, by index."""

    ids: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    source_sets: NDArray[np.uint16]
    source_names: tuple[tuple[str, ...], ...]

    def category(self, index: int) -> Category:
        return CATEGORY_CODES[self.categories[index]]

    def entry(self, index: int) -> Entry:
        return Entry(
            self.ids[index].tobytes().hex(),
            self.category(index),
            self.source_names[self.source_sets[index]],
        )


def places_of(ids: NDArray[np.uint8], entries: Sequence[str]) -> NDArray[np.uint32]:
    """The indexes of those of `entries` (ascending) that are among `ids`, uint8 (n, 16) ascending."""
    if not entries or not len(ids):
        return np.empty(0, np.uint32)
    wanted = as_keys(np.frombuffer(bytes.fromhex("".join(entries)), np.uint8).reshape(len(entries), -1))
    keys = as_keys(ids)
    at = np.searchsorted(keys, wanted)
    at = at[at < len(keys)]
    return at[np.isin(keys[at], wanted)].astype(np.uint32)


def digests_by_entry(tables: Mapping[str, HashTable], entries: int) -> NDArray[np.uint8]:
    """Which of DIGEST_TYPES each entry lists, as bits: 1 for the first of them, 2 for the second, 4 for the third.

    Links lead from a hash to its entries. This is the way back, at one byte an entry.
    """
    found = np.zeros(entries, np.uint8)
    for place, name in enumerate(DIGEST_TYPES):
        links = tables[name].links if name in tables else _none()
        for start in range(0, len(links), _LINKS_AT_ONCE):  # in parts, so that other threads get their turn
            found[links[start : start + _LINKS_AT_ONCE]] |= 1 << place
    return found


def _none() -> NDArray[np.uint32]:
    return np.empty(0, np.uint32)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, kw_only=True)
class Listing:
    """Hashes and what lists them. `tables` by name of hash type; `digests` as `digests_by_entry` makes them.

    `withdrawn`: the entries (indexes, ascending) that are out of force, though their hashes still stand in the
    tables: whoever turns rows into entries leaves these out, or asks `in_force`.
    """

    tables: Mapping[str, HashTable]
    entries: Entries
    digests: NDArray[np.uint8]
    withdrawn: NDArray[np.uint32] = field(default_factory=_none)

    def in_force(self, entries: NDArray[np.uint32]) -> NDArray[np.bool_] | None:
        """Which of `entries` (indexes) are not withdrawn; None where nothing is, which costs nothing to ask."""
        if not len(self.withdrawn):
            return None
        return ~np.isin(entries, self.withdrawn)

    def digests_of(self, entry: str) -> int:
        """Which of DIGEST_TYPES an entry lists, as bits; 0 for an entry that is not here."""
        at = places_of(self.entries.ids, [entry])
        return int(self.digests[at[0]]) if len(at) else 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Snapshot(Listing):
    """A verified, opened snapshot, and the overlay laid over it (see `overlay`); `_maps` keeps the mappings alive.

    `overlay` is the sequence number of that overlay, 0 for none; `overlay_at` when it was made. `urgent` holds what it
    adds: a check searches the snapshot itself and then each of these.
    """

    id: str
    manifest: Manifest
    signed_by: tuple[str, ...]
    overlay: int = 0
    overlay_at: datetime | None = None
    urgent: tuple[Listing, ...] = ()
    good_until: datetime | None = None
    _maps: tuple[Any, ...] = ()

    def lists(self, hash_type: str) -> bool:
        """Whether any hash of this type stands on the list, reserved test hashes aside."""
        table = self.tables.get(hash_type)
        if table is not None and table.listed:
            return True
        return any(hash_type in part.tables and part.tables[hash_type].listed for part in self.urgent)

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def built_at(self) -> datetime:
        return self.manifest.created_at

    @property
    def expires_at(self) -> datetime:
        """When its own time is over, or that of the pointer that put it in force, whichever is first."""
        return min(self.manifest.expires_at, self.good_until or self.manifest.expires_at)
