"""The hits of the last day that are on record, and how often each was asked again.

A repeat writes nothing. It is answered only while the file that holds its record is still there. What is forgotten,
was recorded by another worker, or was found by other hash types or at another distance, is recorded once more under the
same names, which does no harm.

For one event loop, but for `take_repeats`.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from hashcheck_service.evidence.hits import Hit
from hashcheck_service.evidence.segment import Segment

MOST: Final = 65_536  # hits that are remembered: some 20 MB of a worker
_DAY: Final = timedelta(days=1)


_Key = tuple[str, int]


def _key(hit: Hit) -> _Key:
    """The hit, and what was found of it."""
    return hit.hit_id, hash(hit.matches)


class Memory:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[_Key, tuple[Segment, datetime]] = {}
        self._repeats: dict[str, dict[str, int]] = {}  # by tenant and hit
        self._lock = threading.Lock()
        self.repeated = 0  # hits that have a count

    def unknown(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those of `hits` that must be recorded; the others are counted as repeats."""
        fresh: list[Hit] = []
        stand: dict[int, bool] = {}  # by segment: looked at once for all of them
        seen: set[_Key] = set()
        for hit in hits:
            key = _key(hit)
            if key in seen:
                self._count(hit)
                continue
            seen.add(key)
            known = self._known.get(key)
            if known is None:
                fresh.append(hit)
                continue
            segment, at = known
            if id(segment) not in stand:
                stand[id(segment)] = segment.stands()
            if stand[id(segment)] and hit.at - at < _DAY:
                self._count(hit)
            else:
                del self._known[key]
                fresh.append(hit)
        return fresh

    def add(self, hits: Iterable[Hit], segment: Segment) -> None:
        """`hits` are on disk, in the file of `segment`."""
        for hit in hits:
            self._known[_key(hit)] = (segment, hit.at)
        while len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    def take_repeats(self) -> Mapping[str, Mapping[str, int]]:
        """By tenant, how often each hit was asked again since the last time."""
        with self._lock:
            taken, self._repeats = self._repeats, {}
            self.repeated = 0
        return taken

    def _count(self, hit: Hit) -> None:
        with self._lock:
            counts = self._repeats.setdefault(hit.tenant, {})
            self.repeated += hit.hit_id not in counts
            counts[hit.hit_id] = counts.get(hit.hit_id, 0) + 1
