"""What the routes share: one object for a worker, and its background work.

It starts without a snapshot if need be: the process lives, answers 503, and becomes ready when one arrives.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

from hashcheck_core.errors import HashcheckError
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_core.snapshot.verifier import check_expiry
from hashcheck_service.admission.fair_queue import FairQueue
from hashcheck_service.admission.key_follower import KeyFollower
from hashcheck_service.admission.key_refusals import KeyRefusals
from hashcheck_service.admission.load import Load
from hashcheck_service.admission.loop_turns import LoopTurns
from hashcheck_service.admission.quota import Kind, Quota
from hashcheck_service.admission.slots import Slots
from hashcheck_service.admission.usage_table import UsageTable
from hashcheck_service.checking.checker import Checker
from hashcheck_service.checking.plain_batches import warm
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.evidence.commands import WITNESSES
from hashcheck_service.evidence.files import Place
from hashcheck_service.evidence.hit_log import HitLog
from hashcheck_service.evidence.hits import hit_names
from hashcheck_service.evidence.measures import LogMetrics
from hashcheck_service.evidence.retention import Retention
from hashcheck_service.fence.client import probe
from hashcheck_service.fence.layer import PARTIAL, Layers, extent, missing, require
from hashcheck_service.logs import log, log_crash
from hashcheck_service.metrics import Metrics, render
from hashcheck_service.pictures.pool import PicturePool
from hashcheck_service.probing.guard import Guard
from hashcheck_service.problems import from_error, list_differs, no_snapshot
from hashcheck_service.processes import messages as m
from hashcheck_service.processes.priority import LOWEST, give_way
from hashcheck_service.processes.uplink import Uplink
from hashcheck_service.settings import Fence, Settings
from hashcheck_service.sync.background import Following
from hashcheck_service.sync.clock import SteadyClock, utc_now
from hashcheck_service.web.bodies import Bodies

_METRICS_SECONDS = 5.0
_POLLS_A_REPORT = 10  # a worker that is killed loses what it counted since its last report
_TEST_LOG_BYTES = 64 * 1024 * 1024  # matches of reserved hashes are no evidence of anything
_HIT_ID_KEY = "hit-id.key"  # in the state directory


class Service:
    """Everything one worker holds. Raises ConfigError or TransportError for keys that cannot be used.

    Args:
        uplink: to the supervisor and the other processes; None where there are none.
    """

    def __init__(
        self, settings: Settings, wall: Callable[[], datetime] = utc_now, uplink: Uplink | None = None
    ) -> None:
        self.settings = settings
        self.policy = settings.policy
        self.test_policy = settings.policy.model_copy(update={"categories": frozenset()})
        self.limits = settings.limits
        self.clock = clock = SteadyClock(wall)
        self.metrics = Metrics()
        self._polls = 0
        self.keys = KeyFollower(settings.api_keys, settings.keys_grace_seconds, self.metrics, clock)
        self.key_refusals = KeyRefusals(self.metrics)
        self.following = Following(settings, self.metrics, clock, uplink)
        self.follower = self.following.follower
        self.hit_log = _hit_log(settings, self.metrics)
        self.test_hit_log = _test_hit_log(settings, self.metrics)
        self.guard = Guard(self.following.state.near_matches, self.metrics.probing, clock)
        limits = settings.limits
        weights = {name: tenant.weight for name, tenant in settings.tenants.items()}
        self.quota = Quota(UsageTable(self.following.state.usage, len(Kind)), settings.quotas)
        self.load = Load(limits.turn_seconds, weights)
        warm()
        self.turns = LoopTurns(self.load, weights)
        self.checker = Checker(
            self.quota,
            hit_names(settings.hit_id_key or settings.state / _HIT_ID_KEY, make=settings.hit_id_key is None),
            self.hit_log,
            self.test_hit_log,
            self.guard,
            self.metrics,
            clock,
            self.standing,
            limits.wait_seconds,
            weights,
        )
        self.bodies = Bodies(limits.max_bytes_in_hand)
        self.checks = Slots(limits.max_checks_in_hand, "checks")
        # Pictures have slots and processes of their own, so that no number of them keeps a hash check waiting.
        self.pictures = Slots(limits.max_pictures_in_hand + limits.max_pictures_waiting, "pictures")
        self.picture_turns = FairQueue(limits.max_pictures_in_hand, weights)
        self.picture_pool = PicturePool(limits, settings.fence, self.metrics)
        self.fence: Layers = {}  # what holds around decoders, told at the start
        # Streams have a thread of the lowest priority: the system gives it what the event loop leaves.
        self.streams = Slots(limits.max_streams_in_hand, "streams")
        self.stream_turns = FairQueue(1, weights)
        self.stream_thread = ThreadPoolExecutor(1, "stream", initializer=partial(give_way, LOWEST))
        self.stopping = False  # soon: /readyz fails, all else is answered as before
        self.uplink = uplink
        if uplink is not None:
            uplink.on(m.FailReadiness, self._fail_readiness)
            uplink.on(m.ReportMetrics, self._report_metrics)

    async def render_metrics(self) -> bytes:
        """The metrics of all processes of this service, as Prometheus reads them. Raises TransportError."""
        self.metrics.put_in()
        if self.uplink is None:
            return render(self.metrics.report())
        answer = await self.uplink.ask(m.AskMetrics, m.AllMetrics, _METRICS_SECONDS)
        return render(answer.report)

    def _fail_readiness(self, *_: object) -> None:
        self.stopping = True

    def _report_metrics(self, *_: object) -> None:
        if self.uplink is not None:
            self.metrics.put_in()
            self.uplink.say(m.Metrics(self.metrics.report()))

    def usable(self, snapshot: Snapshot | None) -> Snapshot:
        """`snapshot`, if it may be checked against now; raises Problem 503 for none, or for an expired one
        unless the operator chose `serve_stale`."""
        if snapshot is None:
            raise list_differs() if self.follower.incident else no_snapshot()
        now = self.clock()
        if now < snapshot.expires_at:  # as nearly always
            return snapshot
        try:
            check_expiry(snapshot.expires_at, now)
        except HashcheckError as error:
            if not self.settings.serve_stale:
                raise from_error(error) from None
        return snapshot

    def standing(self, snapshot: Snapshot) -> tuple[Reason, ...]:
        """The reasons that every answer from `snapshot`, if it is usable, carries now: that it is past its time."""
        stale = self.settings.serve_stale and self.clock() >= snapshot.expires_at
        return (Reason.STALE_SNAPSHOT,) if stale else ()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the first snapshot, then follow the store and the key file until the end."""
        self.hit_log.start()
        self.test_hit_log.start()
        self.guard.start()
        await self._probe_fence()
        await self.following.start()
        keys = asyncio.create_task(self._follow_keys())
        disk = asyncio.create_task(self._watch_disk())
        try:
            yield
        finally:
            for task in (keys, disk):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self._report_metrics()
            await self.following.stop()
            await asyncio.to_thread(self.hit_log.close)
            await asyncio.to_thread(self.test_hit_log.close)
            await asyncio.to_thread(self.guard.close)
            self.checker.close()
            self.stream_thread.shutdown()
            await self.picture_pool.close()

    async def _probe_fence(self) -> None:
        """Find out what holds around decoders; raises FenceError where that is less than the operator asks for."""
        self.fence = await probe()
        self.metrics.fenced(self.fence)
        lacking = {layer: self.fence.get(layer) for layer in missing(self.fence)}
        tell = log.warning if extent(self.fence) == PARTIAL else log.info
        tell("fence", extent=extent(self.fence), lacking=lacking)
        if self.settings.fence == Fence.REQUIRED:
            require(self.fence)

    async def _follow_keys(self) -> None:
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            try:
                await asyncio.to_thread(self.keys.poll, time.monotonic())
                self.metrics.refused_so_far(self.load.refused)
                self.metrics.put_in()
                self._polls += 1
                if self._polls % _POLLS_A_REPORT == 0:
                    self._report_metrics()
            except Exception as error:
                log_crash("poll_failed", error, what="keys")

    async def _watch_disk(self) -> None:
        while True:
            await asyncio.sleep(self.settings.hit_log_slow_seconds / 4)
            self.hit_log.look()
            self.test_hit_log.look()


def _hit_log(settings: Settings, metrics: Metrics) -> HitLog:
    witnesses = settings.state / WITNESSES
    place = Place(
        settings.hit_log, "hits", settings.hit_log_file_bytes, settings.hit_log_reserve_bytes, witnesses
    )
    retention = Retention(
        settings.hit_log, "hits", settings.hit_log_days, settings.hit_log_bytes, witnesses=witnesses
    )
    return HitLog(
        place,
        retention,
        LogMetrics(metrics.hit_log, "hits"),
        slow_seconds=settings.hit_log_slow_seconds,
    )


def _test_hit_log(settings: Settings, metrics: Metrics) -> HitLog:
    """Anyone with a key can make the reserved hashes match: a log of their own, lest they push evidence out."""
    name, size = "test-hits", min(_TEST_LOG_BYTES, settings.hit_log_bytes)
    place = Place(settings.hit_log, name, min(settings.hit_log_file_bytes, size // 4))
    retention = Retention(settings.hit_log, name, settings.hit_log_days, size, drop_oldest=True)
    return HitLog(
        place, retention, LogMetrics(metrics.hit_log, name), slow_seconds=settings.hit_log_slow_seconds
    )
