"""One check, whichever way it was asked: quota -> search -> verdict -> record -> count.

What a match cannot get, a no-match does not get either. So whatever may be refused is refused before the search, and
after it only one thing depends on what was found: a match is on record before it is answered.
"""

import asyncio
import os
import sys
import threading
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
from hashcheck_service.hit_log import HitLog, HitRecord
from hashcheck_service.metrics import Metrics
from hashcheck_service.policy import Policy
from hashcheck_service.probing.guard import Guard
from hashcheck_service.web.request_ids import new_id

T = TypeVar("T")

# Searches that take longer leave the event loop for a thread: handing one over costs some 50 µs.
INLINE_SECONDS = 0.001
_SEARCH_THREADS: Final = 2
_NICE: Final = 10


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
        self._hit_log = hit_log
        self._test_hit_log = test_hit_log
        self._guard = guard
        self._metrics = metrics
        self._clock = clock
        self._standing = standing
        # What would hold up the event loop. It releases the GIL for the most part, and gives way to the event loop.
        self._threads = ThreadPoolExecutor(_SEARCH_THREADS, "search", initializer=_give_way)
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
        if self._hit_log.refusal is not None:
            raise self._hit_log.refusal
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
        if self._hit_log.refusal is not None:
            raise self._hit_log.refusal
        self._quota.spend(tenant, kind, asked.hashes)
        if threads is None and (seconds := expected_seconds(asked.snapshot, asked.batch)) <= INLINE_SECONDS:
            checked = self._search(tenant, asked)
        elif threads is None:
            with self._waiting.held(tenant, min(seconds, self._most_charged)):
                checked = await self.in_thread(tenant, seconds, partial(self._search, tenant, asked))
        else:
            checked = await _in_thread(threads, partial(self._search, tenant, asked))
        if not checked.results:  # as nearly always
            self._metrics.checked(checked)
            return {}
        answers = {place: _answer(result, asked.policy) for place, result in checked.results.items()}
        if any(answer.matches for answer in answers.values()):
            await self._record(tenant, request_id, asked, checked.results, answers)
        self._metrics.checked(checked)
        return {
            place: shown(checked.results[place], answer, asked.policy) for place, answer in answers.items()
        }

    async def in_thread(self, tenant: str, seconds: float, work: Callable[[], T]) -> T:
        """Do in a thread what would hold up the event loop, when it is the tenant's turn. `seconds`: expected."""
        async with self._queue.turn(tenant, seconds):
            return await _in_thread(self._threads, work)

    def _search(self, tenant: str, asked: Asked) -> Checked:
        standing = self._standing(asked.snapshot)
        return self._guard.check(tenant, asked.snapshot, asked.policy, asked.batch, standing)

    async def _record(
        self,
        tenant: str,
        request_id: str,
        asked: Asked,
        results: Mapping[int, Result],
        answers: Mapping[int, ResultOut],
    ) -> None:
        """Put every match on record; raises TransportError, and then nothing may be answered."""
        now = self._clock().replace(microsecond=0)
        records = [
            HitRecord(
                match_id=out.match_id,
                tenant=tenant,
                time=now,
                request_id=request_id,
                snapshot=asked.snapshot.id,
                entry=out.entry,
                category=out.category,
                type=match.hash_type,
                distance=match.distance,
            )
            for place, answer in answers.items()
            for match, out in zip(results[place].matches, answer.matches, strict=True)
        ]
        for log, test in ((self._hit_log, False), (self._test_hit_log, True)):
            if mine := [record for record in records if (record.category == Category.TEST) is test]:
                await log.record(mine)
        self._quota.count(tenant, Kind.MATCHES, len(records))
        for record in records:
            self._metrics.matches.labels(record.category).inc()


def _give_way() -> None:
    """Let the event loop go first on a busy core. Of the thread it is called in, where threads have priorities."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


async def _in_thread(threads: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _answer(result: Result, policy: Policy) -> ResultOut:
    matches = [
        MatchOut(
            match_id=new_id(),
            entry=match.entry.id,
            type=match.hash_type,
            category=match.entry.category,
            sources=match.entry.sources,
            distance=match.distance if policy.show_distance else msgspec.UNSET,
        )
        for match in result.matches
    ]
    return ResultOut(
        result.ref, result.verdict, result.action, list(result.reasons), matches, result.more_matches
    )
