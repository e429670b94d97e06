"""What a gate says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.errors import GateError

NAMES: Final = ("complete", "drift", "known_good", "degenerate", "corroboration", "canaries", "benign")


class GateResult(msgspec.Struct, frozen=True):
    """`state`: passed, failed or off. `detail` is for a person and quotes no hash."""

    name: str
    state: str
    detail: str
    held: int = 0


class Held(msgspec.Struct, frozen=True):
    """An entry that is kept out of the list until a person has looked at it."""

    entry: str
    feed: str
    category: str
    gate: str
    why: str

    @property
    def ground(self) -> str:
        return ground(self.gate, self.why)


def ground(gate: str, why: str) -> str:
    """What a decision names as the reason that it was made in spite of."""
    return f"{gate}: {why}"


@dataclass(slots=True)
class Outcome:
    """What a gate found. `held`: indexes of entries, ascending, by the reason why; `failures`: why the gate fails.

    It fails as well with more than `limit` entries held, less those that people have decided about. Decisions name the
    reasons, so a reason keeps its words.
    """

    detail: str
    held: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    limit: int | None = None
    failures: list[str] = field(default_factory=list)


def result(name: str, outcome: Outcome) -> GateResult:
    held = len(np.unique(np.concatenate([np.empty(0, np.int64), *outcome.held.values()])))
    failures = [*outcome.failures]
    if outcome.limit is not None and held > outcome.limit:
        failures.append(f"{held} entries are held, and {outcome.limit} is the limit.")
    return GateResult(name, "failed" if failures else "passed", " ".join([*failures, outcome.detail]), held)


def off(name: str) -> GateResult:
    return GateResult(name, "off", "Switched off in the config.")


def raise_for(results: Sequence[GateResult], report: str) -> None:
    """Raises GateError where a gate failed."""
    failed = [r for r in results if r.state == "failed"]
    if failed:
        told = " ".join(f"Gate {r.name} failed: {r.detail}" for r in failed)
        raise GateError(
            told,
            next_step=f"Nothing was built. Look at {report} (index-builder review lists what was held) and talk to the "
            "source; see docs/gates.md.",
        )
