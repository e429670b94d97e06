"""The gates in their order: over the feeds, over the candidates, and over the finished snapshot.

It decides nothing itself: each gate does, and what they say is collected for the report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.hash_types import HashType
from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.candidates import Candidates
from index_builder.config import BuildConfig
from index_builder.gates import benign, canaries, complete, corroboration, degenerate, drift, known_good
from index_builder.gates.complete import FeedRows
from index_builder.gates.drift import FeedSize
from index_builder.gates.outcome import GateResult, Held, Outcome, off, result
from index_builder.gates.section import GateSection
from index_builder.known_good import picture_hashes, read_known_good


@dataclass(slots=True)
class Judging:
    """`held` lists every entry that a gate holds, once for each gate."""

    config: BuildConfig
    on_step: Callable[[str], None]
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

    def candidates(self, candidates: Candidates, types: Mapping[str, HashType]) -> NDArray[np.bool_]:
        """Which entries are held."""
        gates = self.config.gates
        known = (part for one in self.config.known_good for part in read_known_good(one, types))
        outcomes = (
            self._run(
                "known_good", gates.known_good, lambda: known_good.check(gates.known_good, candidates, known)
            ),
            self._run("degenerate", gates.degenerate, lambda: degenerate.check(gates.degenerate, candidates)),
            self._run(
                "corroboration",
                gates.corroboration,
                lambda: corroboration.check(gates.corroboration, candidates),
            ),
        )
        out = np.zeros(len(candidates.ids), bool)
        for outcome in outcomes:
            out[outcome.held] = True
            self.held += [_held(candidates, int(i), outcome.name, outcome.why) for i in outcome.held]
        return out

    def finished(self, snapshot: Snapshot, listed: Mapping[str, NDArray[np.uint8]]) -> None:
        gates = self.config.gates
        self._run("canaries", gates.canaries, lambda: canaries.check(gates.canaries, snapshot, listed))
        folder = gates.benign.pictures
        corpus = () if folder is None else picture_hashes(folder, variants=True)
        self._run("benign", gates.benign, lambda: benign.check(gates.benign, snapshot, corpus))

    def _run(self, name: str, gate: GateSection, check: Callable[[], Outcome]) -> Outcome:
        self.on_step(f"gate {name}")
        if not gate.enabled:
            self.results.append(off(name))
            return Outcome("")
        outcome = check()
        outcome.name = name
        self.results.append(result(name, outcome))
        return outcome


def _held(candidates: Candidates, index: int, gate: str, why: str) -> Held:
    return Held(
        entry=candidates.ids[index].tobytes().hex(),
        feed=candidates.feed_names[candidates.feeds[index]],
        category=CATEGORY_CODES[candidates.categories[index]],
        gate=gate,
        why=why,
    )
