"""The gates in their order: over the feeds, over the candidates, and over the finished snapshot.

It decides nothing itself: each gate does, and people do about what the gates hold. What they say is collected for the
report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.hash_types import HashType
from hashcheck_core.snapshot.snapshot import Snapshot, places_of
from index_builder.config.file import BuildConfig
from index_builder.config.gates import GateSection
from index_builder.gates import benign, canaries, complete, corroboration, degenerate, drift, known_good
from index_builder.gates.complete import FeedRows
from index_builder.gates.drift import FeedSize
from index_builder.gates.known_good_sets import picture_hashes, read_known_good
from index_builder.gates.outcome import GateResult, Held, Outcome, ground, off, result
from index_builder.review.applied import Applied
from index_builder.table.candidates import Candidates


@dataclass(slots=True)
class Judging:
    """`held` lists every entry that a gate holds and no person has decided about, once for each reason."""

    config: BuildConfig
    on_step: Callable[[str], None]
    decisions: Applied = field(default_factory=Applied)
    results: list[GateResult] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)

    def feeds(
        self,
        rows: Sequence[FeedRows],
        sizes: Sequence[FeedSize],
        before: "Mapping[str, Mapping[str, int]] | None",
        now: datetime,
    ) -> None:
        gates = self.config.gates
        self._run("complete", gates.complete, lambda: complete.check(gates.complete, rows))
        self._run("drift", gates.drift, lambda: drift.check(gates.drift, sizes, before, now))

    def candidates(
        self, candidates: Candidates, types: Mapping[str, HashType], retracted: Sequence[str] = ()
    ) -> NDArray[np.bool_]:
        """Which entries are not listed: held by a gate, rejected by people, or `retracted` (ascending)."""
        gates = self.config.gates
        known = (part for one in self.config.known_good for part in read_known_good(one, types))
        self.decisions.meet(candidates)
        out = np.zeros(len(candidates.ids), bool)
        out[self.decisions.rejected()] = True
        out[places_of(candidates.ids, retracted)] = True
        checks: tuple[tuple[str, GateSection, Callable[[], Outcome]], ...] = (
            ("known_good", gates.known_good, lambda: known_good.check(gates.known_good, candidates, known)),
            ("degenerate", gates.degenerate, lambda: degenerate.check(gates.degenerate, candidates)),
            (
                "corroboration",
                gates.corroboration,
                lambda: corroboration.check(gates.corroboration, candidates, out),
            ),
        )  # corroboration comes last: what the others hold corroborates nothing
        for name, gate, check in checks:
            for held in self._run(name, gate, check, candidates).held.values():
                out[held] = True
        return out

    def finished(
        self, snapshot: Snapshot, listed: Mapping[str, NDArray[np.uint8]], candidates: Candidates
    ) -> None:
        """`candidates`: what the snapshot was made of."""
        gates = self.config.gates
        self._run("canaries", gates.canaries, lambda: canaries.check(gates.canaries, snapshot, listed))
        folder = gates.benign.pictures
        corpus = () if folder is None else picture_hashes(folder, variants=True)
        accepted = places_of(snapshot.entries.ids, self.decisions.accepted(ground("benign", benign.WHY)))

        def check() -> Outcome:
            outcome = benign.check(gates.benign, snapshot, corpus, accepted)
            ids = {
                why: sorted(bytes(snapshot.entries.ids[i]).hex() for i in at)
                for why, at in outcome.held.items()
            }
            return replace(
                outcome, held={why: places_of(candidates.ids, found).astype(np.int64) for why, found in ids.items()}
            )  # fmt: skip

        self._run("benign", gates.benign, check, candidates)

    def _run(
        self,
        name: str,
        gate: GateSection,
        check: Callable[[], Outcome],
        candidates: Candidates | None = None,
    ) -> Outcome:
        self.on_step(f"gate {name}")
        if not gate.enabled:
            self.results.append(off(name))
            return Outcome("")
        outcome = check()
        undecided = {
            why: self.decisions.undecided(ground(name, why), found) for why, found in outcome.held.items()
        }
        outcome = replace(outcome, held=undecided)
        self.results.append(result(name, outcome))
        for why, found in undecided.items():
            assert candidates is not None
            self.held += [_held(candidates, int(i), name, why) for i in found]
        return outcome


def _held(candidates: Candidates, index: int, gate: str, why: str) -> Held:
    return Held(
        entry=candidates.ids[index].tobytes().hex(),
        feed=candidates.feed_names[candidates.feeds[index]],
        category=CATEGORY_CODES[candidates.categories[index]],
        gate=gate,
        why=why,
    )
