"""The rejects of one feed: all counted by reason, the first of each reason kept with line and detail."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from index_builder.feeds.formats.record import SET_ASIDE, BadRow

KEPT_OF_EACH_REASON: Final = 1000  # a feed of ten million wrong rows must not fill the disk with their story


class RejectLog:
    def __init__(self, keep: int = KEPT_OF_EACH_REASON) -> None:
        self._keep = keep
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, list[BadRow]] = {}

    def add(self, bad: BadRow, count: int = 1) -> None:
        self.counts[bad.reason] += count
        kept = self._kept.setdefault(bad.reason, [])
        if len(kept) < self._keep:
            kept.append(bad)

    def count(self, reason: str, count: int) -> None:
        """Count rows that there is no room to keep."""
        self.counts[reason] += count

    def room(self, reason: str) -> int:
        """How many more of `reason` would be kept."""
        return self._keep - len(self._kept.get(reason, ()))

    def __iter__(self) -> Iterator[BadRow]:
        return iter(sorted((bad for kept in self._kept.values() for bad in kept), key=lambda bad: bad.line))

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def faulty(self) -> int:
        """Those that speak against the feed: not what was as it should be and only not for this list."""
        return sum(count for reason, count in self.counts.items() if reason not in SET_ASIDE)

    def most_common(self) -> str:
        """For an error's sentence."""
        return f", mostly {self.counts.most_common(1)[0][0]}" if self.counts else ""
