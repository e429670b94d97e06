"""Checks batches with an eye on who asks. What lies at the edge of the radius is counted, and an alarm is told. Under
`policy.probing = "enforce"` a tenant under suspicion is then answered no more near what it asked.

It may be called in any thread.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
from prometheus_client import Counter

from hashcheck_core.categories import Category
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.checking.verdicts import Checked, check
from hashcheck_service.logs import log
from hashcheck_service.policy import Policy, Probing
from hashcheck_service.probing.edge_counter import EdgeCounter, NearMatch, at_edge
from hashcheck_service.probing.journal import Journal
from hashcheck_service.probing.withholding import Answered, Surroundings, without_pictures

_MOST_ROUNDS = 4  # of a search whose own matches made more suspicious
_REFRESH_SECONDS = 60  # so much longer than a day may something be withheld


class Guard:
    """For one worker."""

    def __init__(self, directory: Path, alarms: Counter, clock: Callable[[], datetime]) -> None:
        """
        Args:
            directory: where the workers of this machine tell each other.
            alarms: of the metrics, by tenant.

        Raises TransportError where the directory cannot be made.
        """
        self._journal = Journal(directory)
        self._alarms = alarms
        self._clock = clock
        self._lock = threading.Lock()
        self._counter = EdgeCounter()
        self._answered = Answered()
        # By tenant: the version of the counter and the time they were made at, and what surrounds what it asked.
        self._surroundings: dict[str, tuple[int, int, Surroundings | None]] = {}

    def start(self) -> None:
        """Take in what was seen before this worker started, and begin to tell others."""
        self._hear(self._seconds(), answered=True)
        self._journal.start()

    def close(self) -> None:
        self._journal.close()

    def check(
        self,
        tenant: str,
        snapshot: Snapshot,
        policy: Policy,
        batch: Batch,
        standing: Sequence[Reason] = (),
    ) -> Checked:
        """As `verdicts.check`, for `tenant`."""
        if policy.probing is Probing.ENFORCE:
            return self._check_enforcing(tenant, snapshot, policy, batch, standing)
        checked = check(snapshot, policy, batch, standing)
        if checked.results:
            now = self._seconds()
            edge = [match for match in self._near(tenant, policy, checked, now) if match.edge]
            if edge:
                self._count(policy, edge, now)
        return checked

    def _count(self, policy: Policy, edge: Sequence[NearMatch], now: int) -> None:
        with self._lock:
            self._hear(now, answered=False)
            for match in edge:
                if self._counter.note(match):
                    self._journal.tell(self._alarm(match, policy))

    def _check_enforcing(
        self, tenant: str, snapshot: Snapshot, policy: Policy, batch: Batch, standing: Sequence[Reason]
    ) -> Checked:
        now = self._seconds()
        for _ in range(_MOST_ROUNDS):
            with self._lock:
                self._hear(now, answered=True)
                version = self._counter.version(tenant)
                around = self._around(tenant, version, now) if version else None
            asked = batch
            if around is not None:
                asked = around.withhold(batch, policy.radius_of, partial(self._answered.holds, tenant, now))
            checked = check(snapshot, policy, asked, standing)
            near = self._near(tenant, policy, checked, now) if checked.results else ()
            if not near:  # as nearly always
                return checked
            with self._lock:
                self._hear(now, answered=True)
                # Where more is withheld by now than when this was searched, it is searched again.
                if self._counter.version(tenant) == version:
                    self._note_in_turn(policy, _radii(policy, batch), near)
                    if self._counter.version(tenant) == version:
                        return checked
        # More entries than are remembered: items with a near match that was not answered before are not answered now.
        with self._lock:
            held = {
                item
                for item, result in checked.results.items()
                for match in result.near
                if match.asked is not None
                and not self._answered.holds(tenant, now, match.hash_type, match.asked)
            }
        return check(snapshot, policy, without_pictures(checked.batch, held), standing)

    def _note_in_turn(self, policy: Policy, radii: Mapping[str, int], near: Sequence[NearMatch]) -> None:
        """Note the matches of a batch as if its items had come one after the other: what would not have been answered
        then is not noted."""
        withheld: dict[tuple[str, int], None] = {}  # by type, around what this batch itself made suspicious
        for match in near:
            number = int.from_bytes(match.value)
            if not self._answered.holds(match.tenant, match.at, match.hash_type, match.value) and any(
                hash_type == match.hash_type and (number ^ other).bit_count() <= 2 * radii[hash_type]
                for hash_type, other in withheld
            ):
                continue
            version = self._counter.version(match.tenant)
            counts = self._counter.note(match)
            told = self._alarm(match, policy) if counts else match
            if self._answered.add(match) or counts:
                self._journal.tell(told)
            if self._counter.version(match.tenant) != version:
                values = self._counter.values_near(match)
                withheld |= dict.fromkeys((match.hash_type, int.from_bytes(value)) for value in values)

    def _hear(self, now: int, *, answered: bool) -> None:
        """Take in what other workers saw. `answered`: whether what they answered matters too."""
        for match in self._journal.heard(now):
            self._counter.note(match)
            if answered:
                self._answered.add(match)

    def _alarm(self, match: NearMatch, policy: Policy) -> NearMatch:
        """Tell of the tenant of `match`, where it is time to; `match` with that in it."""
        suspicion = self._counter.suspicion(match)
        if suspicion is None:
            return match
        self._alarms.labels(match.tenant).inc()
        log.warning(
            "probing_suspected",
            tenant=match.tenant,
            entry=match.entry,
            hash_type=match.hash_type,
            questions=suspicion.questions,
            odd=suspicion.odd,
            enforced=policy.probing is Probing.ENFORCE,
        )
        return msgspec.structs.replace(match, told=True)

    def _around(self, tenant: str, version: int, now: int) -> Surroundings | None:
        """What surrounds the tenant's own questions about entries that it is suspected to probe; None for none."""
        known = self._surroundings.get(tenant)
        if known is None or known[0] != version or now >= known[1] + _REFRESH_SECONDS:
            values = self._counter.suspected(tenant, now)
            known = self._surroundings[tenant] = version, now, Surroundings(values) if values else None
        return known[2]

    def _near(self, tenant: str, policy: Policy, checked: Checked, now: int) -> list[NearMatch]:
        """The perceptual matches of a batch, item by item: by entry and type the nearest of each item."""
        radii = _radii(policy, checked.batch)
        return [
            NearMatch(
                now,
                tenant,
                match.entry.id,
                match.hash_type,
                match.asked,
                at_edge(match.distance, radii[match.hash_type]),
            )
            for result in checked.results.values()
            for match in result.near
            if match.asked is not None and match.entry.category != Category.TEST
        ]

    def _seconds(self) -> int:
        return int(self._clock().timestamp())


def _radii(policy: Policy, batch: Batch) -> dict[str, int]:
    return {asked.hash_type.name: policy.radius_of(asked.hash_type) for asked in batch.asked}
