"""Digests that contradict each other: an MD5 is listed, and the SHA-256 beside it is not the one its entry has. Pure.

Files with a chosen MD5 or SHA-1 can be made, so that a match by one of them alone may be a harmless file. A stronger
digest tells, where the entry lists one and the item brings one.
"""

from collections import Counter
from collections.abc import Mapping, Set
from typing import Final

from hashcheck_core.snapshot.snapshot import DIGEST_TYPES, Snapshot
from hashcheck_service.checking.hashes import Batch

_DIGESTS: Final = frozenset(DIGEST_TYPES)


class DigestConflicts:
    """For one batch. What it needs is counted when it is first needed, for few batches have a match by a digest."""

    def __init__(self, snapshot: Snapshot, batch: Batch) -> None:
        self._listings = (snapshot, *snapshot.urgent)
        self._batch = batch
        self._by_type: Mapping[str, Counter[int]] | None = None

    def of(self, item: int, matched: Mapping[str, Set[str]]) -> set[str]:
        """The entries of `matched` that a stronger digest of the item contradicts.

        Args:
            item: its place in the batch.
            matched: by entry, the hash types by which the item matched it.
        """
        return {entry for entry, types in matched.items() if self._contradicted(item, entry, types)}

    def _contradicted(self, item: int, entry: str, types: Set[str]) -> bool:
        if not types <= _DIGESTS:
            return False  # it matches by its picture too
        strongest = max(map(DIGEST_TYPES.index, types))
        # An item with more of the weaker digests has several files, and may lack the digest that would match.
        least = max(1, self._brought(item, strongest))
        stronger = [
            place for place in range(strongest + 1, len(DIGEST_TYPES)) if self._brought(item, place) >= least
        ]
        if not stronger:  # as nearly always
            return False
        listed = self._listed(entry)
        return any(listed >> place & 1 for place in stronger)

    def _brought(self, item: int, place: int) -> int:
        """How many digests of a type the item brings."""
        if self._by_type is None:
            self._by_type = {asked.hash_type.name: Counter(asked.owners) for asked in self._batch.asked}
        counts = self._by_type.get(DIGEST_TYPES[place])
        return counts[item] if counts else 0

    def _listed(self, entry: str) -> int:
        """Which of DIGEST_TYPES the entry has, as bits."""
        found = 0
        for listing in self._listings:
            found |= listing.digests_of(entry)
        return found
