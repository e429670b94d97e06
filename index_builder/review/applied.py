"""The decisions as one build meets them: which of its entries they let in, which they keep out, and what came of each.

Pure. It holds nothing by itself: `judging` asks it what the gates have found and a person has not decided yet.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.search.exact import as_keys
from hashcheck_core.snapshot.manifest import LastDecision
from index_builder.config.review import ReviewConfig
from index_builder.review.agreement import Agreement, Standing, standings
from index_builder.review.chain import Chain
from index_builder.table.candidates import Candidates


class Decided(msgspec.Struct, frozen=True):
    """A decision in a report. `state`: applied; pending, for `lacking` more people; or unused, where no feed has the
    entry any more. `feed` is empty then. `grounds`: what the gates of this build find against the entry, decided or
    not."""

    entry: str
    feed: str
    category: str
    verdict: str
    state: str
    people: list[str]
    reason: str
    number: int
    lacking: int = 0
    grounds: list[str] = []


class DecisionsReport(msgspec.Struct, frozen=True):
    """`last`: how far the decision file went when the build read it."""

    last: LastDecision = LastDecision()
    decided: list[Decided] = []

    def count(self, state: str) -> int:
        return sum(one.state == state for one in self.decided)


@dataclass(slots=True)
class Applied:
    """Nothing is decided where the config has no [review]."""

    chain: Chain = field(default_factory=Chain)
    rules: ReviewConfig | None = None
    _standings: dict[str, Standing] = field(init=False)
    _places: dict[str, int] = field(default_factory=dict)
    _names: dict[int, tuple[str, str]] = field(default_factory=dict)
    _grounds: dict[int, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._standings = standings(self.chain.counting, self.rules) if self.rules else {}

    def meet(self, candidates: Candidates) -> None:
        """Find the entries decided about among the candidates."""
        entries = sorted(self._standings)
        if not entries:
            return
        keys = as_keys(candidates.ids)
        wanted = as_keys(np.frombuffer(bytes.fromhex("".join(entries)), np.uint8).reshape(len(entries), -1))
        at = np.searchsorted(keys, wanted)
        there = keys[np.minimum(at, len(keys) - 1)] == wanted
        self._places = {entries[i]: int(at[i]) for i in np.flatnonzero(there)}
        self._names = {
            place: (
                candidates.feed_names[candidates.feeds[place]],
                CATEGORY_CODES[candidates.categories[place]],
            )
            for place in self._places.values()
        }

    def rejected(self) -> NDArray[np.int64]:
        """The places of what is not to be listed."""
        return _places(place for entry, place in self._places.items() if self._standings[entry].rejected)

    def accepted(self, ground: str) -> list[str]:
        """The entries that are to be listed in spite of `ground`, ascending."""
        if self.rules is None:
            return []
        return sorted(e for e, standing in self._standings.items() if ground in standing.accepted(self.rules))

    def undecided(self, ground: str, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the places `found` that are neither rejected nor accepted in spite of `ground`."""
        if not self._places:
            return found
        for place in np.intersect1d(found, _places(self._places.values())):
            self._grounds.setdefault(int(place), set()).add(ground)
        accepted = (self._places[entry] for entry in self.accepted(ground) if entry in self._places)
        return np.setdiff1d(found, np.concatenate([self.rejected(), _places(accepted)]))

    def report(self) -> DecisionsReport:
        return DecisionsReport(
            self.chain.last,
            [one for entry in sorted(self._standings) for one in self._report(entry, self._standings[entry])],
        )

    def _report(self, entry: str, standing: Standing) -> Iterator[Decided]:
        found = self._places.get(entry)
        for agreement, state in ((standing.in_force, "applied"), (standing.pending, "pending")):
            if agreement is not None:
                yield self._decided(entry, agreement, "unused" if found is None else state, found)

    def _decided(self, entry: str, agreement: Agreement, state: str, place: int | None) -> Decided:
        assert self.rules is not None
        feed, category = ("", "") if place is None else self._names[place]
        return Decided(
            entry=entry,
            feed=feed,
            category=category,
            verdict=agreement.verdict,
            state=state,
            people=agreement.people,
            reason=agreement.reason,
            number=agreement.number,
            lacking=agreement.lacking(self.rules) if state == "pending" else 0,
            grounds=[] if place is None else sorted(self._grounds.get(place, ())),
        )


def _places(found: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(found, np.int64)
