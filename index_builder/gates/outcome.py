"""What a gate says."""

from collections.abc import Sequence
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


@dataclass(slots=True)
class Outcome:
    """What the gate `name` found. `held`: indexes of entries, with the reason beside each; `failures`: why it fails."""

    detail: str
    held: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    why: str = ""
    failures: list[str] = field(default_factory=list)
    name: str = ""


def result(name: str, outcome: Outcome) -> GateResult:
    state = "failed" if outcome.failures else "passed"
    return GateResult(name, state, " ".join([*outcome.failures, outcome.detail]), len(outcome.held))


def off(name: str) -> GateResult:
    return GateResult(name, "off", "Switched off in the config.")


def too_many(held: int, limit: int | None) -> list[str]:
    return (
        [f"{held} entries are held, and {limit} is the limit."] if limit is not None and held > limit else []
    )


def raise_for(results: Sequence[GateResult], report: str) -> None:
    """Raises GateError where a gate failed."""
    failed = [r for r in results if r.state == "failed"]
    if failed:
        told = " ".join(f"Gate {r.name} failed: {r.detail}" for r in failed)
        raise GateError(
            told, next_step=f"Nothing was built. Look at {report} and talk to the source; see docs/gates.md."
        )
