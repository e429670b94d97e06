"""One check, whichever way it was asked: quota -> search -> verdict -> record -> count.

What a match cannot get, a no-match does not get either. So whatever may be refused is refused before the search, and
after it only one thing depends on what was found: a match is on record before it is answered.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import msgspec

from hashcheck_core.categories import Category
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.admission.fair_queue import FairQueue
from hashcheck_service.admission.quota import Kind, Quota
from hashcheck_service.admission.slots import Slots
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.checking.schema import MatchOut, ResultOut
from hashcheck_service.checking.shown import shown
from hashcheck_service.checking.verdicts import Checked, Result, expected_seconds
from hashcheck_service.evidence.hit_log import HitLog
from hashcheck_service.evidence.hits import Hit, HitMatch, HitNames
from hashcheck_service.evidence.trouble import refused
from hashcheck_service.metrics import Metrics
from hashcheck_service.policy import Policy
from hashcheck_service.probing.guard import Guard
from hashcheck_service.processes.priority import give_way

T = TypeVar("T")

# Searches that take longer leave the event loop for a thread: handing one over costs some 50 µs.
INLINE_SECONDS = 0.001
_INLINE_ITEMS: Final = 64
_SEARCH_THREADS: Final = 2
_AT_ONCE: Final = 32  # results that are put into words before the event loop turns to other callers


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What is asked of a snapshot, under a policy. `hashes`: how many the request has, for the quota."""

    snapshot: Snapshot
    policy: Policy
    batch: Batch
    hashes: int


class Checker:
    """Checks batches, for all ways of asking. For one event loop."""

    def __init__(
        self,
        quota: Quota,
        names: HitNames,
        hit_log: HitLog,
        test_hit_log: HitLog,
        guard: Guard,
        metrics: Metrics,
        clock: Callable[[], datetime],
        standing: Callable[[Snapshot], tuple[Reason, ...]],
        wait_seconds: float,
        weights: Mapping[str, float],
    ) -> None:
        """
        Args:
            standing: the reasons that hold for every answer from a snapshot.
            wait_seconds: of searches that may wait for a thread, by their expected time.
            weights: of tenants in the queue for threads.
        """
        self._quota = quota
        self._names = names
        self._hit_log = hit_log
        self._test_hit_log = test_hit_log
        self._guard = guard
        self._metrics = metrics
        self._clock = clock
        self._standing = standing
        # What would hold up the event loop. It releases the GIL for the most part, and gives way to the event loop.
        self._threads = ThreadPoolExecutor(_SEARCH_THREADS, "search", initializer=give_way)
        self._queue = FairQueue(_SEARCH_THREADS, weights)
        self._waiting = Slots(wait_seconds, "large batches")
        self._most_charged = (
            wait_seconds / 4
        )  # a longer search counts no more: alone it must always find room

    def close(self) -> None:
        self._threads.shutdown()

    def admit(self, tenant: str, kind: Kind = Kind.HASHES) -> None:
        """Refuse what would be refused anyway, before anything is read or decoded.

        Raises Problem 503 where hits cannot be recorded, 429 where the tenant's quota is used up.
        """
        self._see_hit_log(tenant)
        self._quota.look(tenant, kind)

    async def check(
        self,
        tenant: str,
        request_id: str,
        asked: Asked,
        kind: Kind = Kind.HASHES,
        threads: Executor | None = None,
    ) -> dict[int, ResultOut]:
        """Check a batch and put every hit on record.

        Args:
            kind: the quota that pays for it.
            threads: where to search; without it, in the event loop what is short, and what is long in threads of the
                checker's own.

        Returns: the results that are more than a bare no_match, by the place of the item.

        Raises Problem 429 over quota, 503 where the search would wait too long or hits cannot be recorded.
        """
        self._see_hit_log(tenant)
        self._quota.spend(tenant, kind, asked.hashes)
        seconds = expected_seconds(asked.snapshot, asked.batch)
        # Of many items each may be a match, and a verdict on a match takes longer than most searches.
        if threads is None and seconds <= INLINE_SECONDS and len(asked.batch.refs) <= _INLINE_ITEMS:
            checked = self._search(tenant, asked)
        elif threads is None:
            with self._waiting.held(tenant, min(seconds, self._most_charged)):
                checked = await self.in_thread(tenant, seconds, partial(self._search, tenant, asked))
        else:
            checked = await _in_thread(threads, partial(self._search, tenant, asked))
        if not checked.results:  # as nearly always
            self._metrics.checked(checked)
            return {}
        now = self._clock().replace(microsecond=0)
        hits: dict[int, Hit] = {}
        for count, (place, result) in enumerate(checked.results.items(), 1):
            if result.matches:
                hits[place] = self._hit(tenant, request_id, asked.snapshot.id, now, result)
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if hits:
            await self._record(tenant, list(hits.values()))
        self._metrics.checked(checked)
        answers: dict[int, ResultOut] = {}
        for count, (place, result) in enumerate(checked.results.items(), 1):
            answers[place] = shown(result, _answer(result, hits.get(place), asked.policy), asked.policy)
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return answers

    async def in_thread(self, tenant: str, seconds: float, work: Callable[[], T]) -> T:
        """Do in a thread what would hold up the event loop, when it is the tenant's turn. `seconds`: expected."""
        async with self._queue.turn(tenant, seconds):
            return await _in_thread(self._threads, work)

    def _search(self, tenant: str, asked: Asked) -> Checked:
        standing = self._standing(asked.snapshot)
        return self._guard.check(tenant, asked.snapshot, asked.policy, asked.batch, standing)

    def _see_hit_log(self, tenant: str) -> None:
        """Raises Problem where a match could not be put on record."""
        log = self._hit_log
        if log.refusal is not None:
            raise refused(log.refusal)
        if tenant in log.refused_tenants:
            raise refused(log.refused_tenants[tenant])

    def _hit(self, tenant: str, request_id: str, snapshot: str, now: datetime, result: Result) -> Hit:
        matches = tuple(
            HitMatch(
                match.entry.id, match.entry.category, match.entry.sources, match.hash_type, match.distance
            )
            for match in result.matches
        )
        hit_id = self._names.hit(tenant, result.ref, matches)
        match_ids = self._names.matches(hit_id, matches)
        return Hit(hit_id, match_ids, tenant, now, request_id, snapshot, result.action, matches)

    async def _record(self, tenant: str, hits: list[Hit]) -> None:
        """Put every hit on record; raises Problem, and then nothing may be answered."""
        for log, test in ((self._hit_log, False), (self._test_hit_log, True)):
            if mine := [hit for hit in hits if _is_test(hit) is test]:
                new = await log.record(mine)
                self._quota.count(tenant, Kind.MATCHES, sum(len(hit.matches) for hit in new))
        found = Counter([match.category for hit in hits for match in hit.matches])
        for category, count in found.items():
            self._metrics.matches.labels(category).inc(count)


def _is_test(hit: Hit) -> bool:
    """Whether nothing but reserved hashes matched."""
    return all(match.category == Category.TEST for match in hit.matches)


async def _in_thread(threads: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _answer(result: Result, hit: Hit | None, policy: Policy) -> ResultOut:
    matches = [
        MatchOut(
            match_id=match_id,
            entry=match.entry.id,
            type=match.hash_type,
            category=match.entry.category,
            sources=match.entry.sources,
            distance=match.distance if policy.show_distance else msgspec.UNSET,
        )
        for match, match_id in zip(result.matches, hit.match_ids if hit else (), strict=True)
    ]
    return ResultOut(
        result.ref,
        result.verdict,
        result.action,
        list(result.reasons),
        matches,
        result.more_matches,
        hit.hit_id if hit else msgspec.UNSET,
    )
