"""What a tenant reads off the answers until it is noticed, and after; how often honest traffic alarms; the cost."""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter
from rich.console import Console
from rich.table import Table
from structlog.testing import capture_logs

from benchmarks.machine import describe
from benchmarks.photo_edits import edited, photographs
from benchmarks.probing_attacks import ATTACKS, Attack, listed_hash, near_hash
from hashcheck_core.images.hashing import hash_picture
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.verdicts import check
from hashcheck_service.policy import Policy, Probing, Verdict
from hashcheck_service.probing.guard import Guard
from tests.small_lists import Listed, batch_of, small_list

ENTRY = "ab" * 16
RADIUS = 31
AFTER = 300  # questions after the alarm
GIVE_UP = 1_500  # questions without one
POLICIES = {probing: Policy(probing=probing) for probing in Probing}


class StoppedError(Exception):
    """The attacker has asked enough."""


class Watched:
    """A guard, and whether it raised an alarm about a tenant."""

    def __init__(self, folder: Path) -> None:
        self._registry = CollectorRegistry()
        alarms = Counter("alarms", "", ["tenant"], registry=self._registry)
        self.guard = Guard(folder, alarms, lambda: datetime.now(UTC))

    def alarmed(self, tenant: str) -> bool:
        return bool(self._registry.get_sample_value("alarms_total", {"tenant": tenant}))


@contextmanager
def watched(folder: Path | None = None) -> Iterator[Watched]:
    """`folder`: where it meets other workers; without it, it is alone."""
    with TemporaryDirectory() as own, capture_logs() if folder is None else nullcontext():
        one = Watched(folder or Path(own))
        one.guard.start()
        try:
            yield one
        finally:
            one.guard.close()


class Attacker:
    """One attack on a list of one hash, by a tenant of its own. See `probing_attacks.Game`."""

    def __init__(
        self, watched: Watched, policy: Policy, attack: Attack, seed: int, after: int = AFTER
    ) -> None:
        """`after`: how many questions it asks after the alarm."""
        rng = random.Random(seed)
        self.known: set[int] = set()
        self.questions = self.matches = self.wrong = 0
        self.at_alarm: tuple[int, int, int] | None = None  # questions, matches, bits known
        self._watched = watched
        self._policy = policy
        self._after = after
        self._tenant = f"{policy.probing} {attack.__name__} {seed}"
        self._listed = listed_hash(rng)
        self._snapshot = small_list([Listed("pdq", f"{self._listed:064x}", ENTRY)])
        near, other = (near_hash(rng, self._listed, rng.randrange(2, 30, 2)) for _ in range(2))
        with suppress(StoppedError):
            attack(self, rng, near, other)

    def ask(self, values: Sequence[int]) -> bool | None:
        if self.at_alarm is None and self._watched.alarmed(self._tenant):
            self.at_alarm = self.questions, self.matches, len(self.known)
        if self.questions >= (GIVE_UP if self.at_alarm is None else self.at_alarm[0] + self._after):
            raise StoppedError
        self.questions += 1
        verdict = self._check(values)
        matches = any((value ^ self._listed).bit_count() <= RADIUS for value in values)
        self.wrong += verdict is (Verdict.NO_MATCH if matches else Verdict.MATCH)
        self.matches += verdict is Verdict.MATCH
        return None if verdict is Verdict.UNKNOWN else verdict is Verdict.MATCH

    def pass_by(self, values: Sequence[int]) -> None:
        self._check(values)

    def learn(self, bits: Sequence[int]) -> None:
        self.known.update(bits)

    def _check(self, values: Sequence[int]) -> Verdict:
        batch = batch_of(self._snapshot, [("pdq", f"{value:064x}") for value in values])
        results = self._watched.guard.check(self._tenant, self._snapshot, self._policy, batch).results
        return results[0].verdict if results else Verdict.NO_MATCH


def attacks(trials: int) -> Iterator[dict[str, Any]]:
    """For each attack what is known at the alarm, and `AFTER` questions later, without and with enforcement."""
    with watched() as one:
        for attack in ATTACKS:
            left, kept = (
                [Attacker(one, POLICIES[probing], attack, seed) for seed in range(trials)]
                for probing in Probing
            )
            alarms = [attacker.at_alarm for attacker in kept if attacker.at_alarm is not None]
            yield {
                "attack": attack.__name__,
                "noticed": len(alarms) / trials,
                "before_30": sum(questions < 30 for questions, *_ in alarms) / trials,
                "questions": spread([questions for questions, *_ in alarms]),
                "bits_known": spread([known for *_, known in alarms]),
                "information": spread([information(questions, matches) for questions, matches, _ in alarms]),
                "bits_known_after": spread([len(attacker.known) for attacker in left]),
                "bits_known_after_enforced": spread([len(attacker.known) for attacker in kept]),
                "wrong": sum(attacker.wrong for attacker in [*left, *kept]),
            }


def information(questions: int, matches: int) -> float:
    """So many answers, of which so many are a match, hold no more bits than these, whoever chose the questions."""
    return math.log2(math.comb(questions, matches)) + math.log2(questions + 1)


def honest(copies: int, draws: int) -> dict[str, Any]:
    """How often copies of one listed photograph raise an alarm: 25, 50 or 100 that match, sent within a day."""
    rng = random.Random(1)
    matching, distances, odd = [], [], 0
    for name, photo in photographs():
        original = int.from_bytes(hash_picture(photo)[0].hash.value)
        values = [int.from_bytes(hashes[0].hash.value) for _, hashes in edited(photo, copies, 1)]
        at = [(value ^ original).bit_count() for value in values]
        distances += at
        odd += sum(value.bit_count() % 2 for value in values)
        matching.append((name, original, [v for v, d in zip(values, at, strict=True) if d <= RADIUS]))
    counts = np.bincount(np.minimum(distances, RADIUS + 1), minlength=RADIUS + 2)
    alarms = {}
    with watched() as one:
        for number in (25, 50, 100):
            raised = []
            for name, original, values in matching:
                snapshot = small_list([Listed("pdq", f"{original:064x}", ENTRY)])
                for draw in range(draws):
                    tenant = f"{number} {name} {draw}"
                    some = rng.sample(values, min(number, len(values)))
                    batch = batch_of(snapshot, *[[("pdq", f"{value:064x}")] for value in some])
                    one.guard.check(tenant, snapshot, POLICIES[Probing.ALARM], batch)
                    raised.append(one.alarmed(tenant))
            alarms[number] = sum(raised) / len(raised)
    return {
        "photographs": len(matching),
        "copies": len(distances),
        "matching": int(counts[: RADIUS + 1].sum()),
        "at_edge": int(counts[28 : RADIUS + 1].sum()),
        "odd": odd,
        "alarms": alarms,
    }


def cost() -> dict[str, float]:
    """Microseconds of a check of one hash, on a list of one."""
    rng = random.Random(2)
    listed = listed_hash(rng)
    snapshot = small_list([Listed("pdq", f"{listed:064x}", ENTRY)])

    def batch(value: int) -> Batch:
        return batch_of(snapshot, [("pdq", f"{value:064x}")])

    far, inside = batch(listed_hash(rng)), batch(near_hash(rng, listed, 10))
    edge = [batch(near_hash(rng, listed, 30)) for _ in range(60)]
    alarm, enforce = POLICIES[Probing.ALARM], POLICIES[Probing.ENFORCE]
    with watched() as one:
        for each in edge:
            one.guard.check("suspect", snapshot, enforce, each)
        work: dict[str, Callable[[Batch], object]] = {
            "unguarded": partial(check, snapshot, alarm),
            "alarm": partial(one.guard.check, "honest", snapshot, alarm),
            "enforce": partial(one.guard.check, "honest", snapshot, enforce),
            "enforce, a suspect": partial(one.guard.check, "suspect", snapshot, enforce),
        }
        found = {}
        for what, asked in (("no match", [far] * 2000), ("match", [inside] * 2000), ("at the edge", edge)):
            for how, do in work.items():
                found[f"{what}: {how}"] = microseconds(do, asked)
    return found


def microseconds(work: Callable[[Batch], object], asked: Sequence[Batch]) -> float:
    """The median of one."""
    taken = []
    for batch in asked:
        begun = time.perf_counter()
        work(batch)
        taken.append(time.perf_counter() - begun)
    return round(median(taken) * 1e6, 1)


def spread(values: Sequence[float]) -> list[float]:
    """Median, 90th percentile and most."""
    if len(values) < 2:
        return list(values) * 3
    return [
        round(x, 1) for x in (median(values), quantiles(values, n=10, method="inclusive")[-1], max(values))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="of each attack")
    parser.add_argument("--copies", type=int, default=300, help="of each photograph")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "machine": describe(),
        "attacks": list(attacks(options.trials)),
        "honest": honest(options.copies, 100),
        "microseconds": cost(),
    }
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    console = Console(width=140)
    table = Table(*figures["attacks"][0])
    for row in figures["attacks"]:
        table.add_row(*[str(value) for value in row.values()])
    console.print(table)
    console.print(figures["honest"])
    console.print(figures["microseconds"])


if __name__ == "__main__":
    main()
