"""The work behind the service: keep the state directory as the store is, and this worker as the state directory is.

Two rounds go on beside each other until the end: documents (keys, overlay, pointer), each poll; and snapshots,
which take long. So a retraction never waits for a download. It answers no request.
"""

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from hashcheck_core.errors import HashcheckError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES
from hashcheck_service.logs import log, log_crash
from hashcheck_service.metrics import Metrics
from hashcheck_service.settings import Settings
from hashcheck_service.sync.clock import SteadyClock
from hashcheck_service.sync.rejections import Refusal
from hashcheck_service.sync.served_snapshot import SnapshotFollower
from hashcheck_service.sync.state_directory import State, Worker
from hashcheck_service.sync.store_poller import Fetcher
from hashcheck_stores.download import FetchLimits
from hashcheck_stores.location import open_store
from hashcheck_stores.store import Pace

# A start waits so long for the first snapshot; then it serves 503 and goes on fetching.
_FIRST_ROUND_SECONDS: Final = 10.0
# Machines that were started together must not ask together for ever.
_JITTER: Final = 0.1
# Of the thread that fetches and loads snapshots; the system's lowest is 19.
_NICE: Final = 10
# The worker that fetches is silent: it has died, or the disk is full. Another takes over when it dies.
_SILENCE: Final = timedelta(seconds=60)


def _give_way() -> None:
    """Let requests come first on a busy core: hashing gigabytes can wait. Of the thread it is called in."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Following:
    """Raises ConfigError, DataError or TransportError for settings that cannot be used."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: SteadyClock) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._started = clock()
        pinned = read_limited(settings.trusted_keys, MAX_KEYS_BYTES, follow_links=True)
        self.state = State(settings.state, settings.trust_floor.numbers)
        self.state.prepare()
        self.follower = SnapshotFollower(self.state, pinned, metrics, clock, clock.not_before)
        limits = FetchLimits(
            settings.max_snapshot_bytes, pace=Pace(bytes_per_second=settings.min_bytes_per_second)
        )
        store = open_store(settings.snapshots, settings.store_ca, identity=settings.identity)
        self._fetcher = Fetcher(store, self.state, pinned, limits, metrics, clock, settings.keep_snapshots)
        self._tasks: list[asyncio.Task[None]] = []
        self._documents_thread = ThreadPoolExecutor(1, "documents")
        self._snapshots_thread = ThreadPoolExecutor(1, "snapshots")

    @property
    def refusal(self) -> Refusal | None:
        """Why something newer is not in force, as far as this worker knows."""
        mine = self.follower.refusal or self._fetcher.refusal
        if mine is not None:
            return mine
        fetching = self.state.fetching()
        if fetching is None:
            return None
        if self._clock() - fetching.at > max(_SILENCE, 3 * timedelta(seconds=self._settings.poll_seconds)):
            return Refusal(
                "store_not_polled", "", "No worker of this machine asks the store for anything new."
            )
        return Refusal(fetching.refused, "", fetching.detail or "") if fetching.refused else None

    @property
    def is_cut_off(self) -> bool:
        """Whether the store has given nothing for longer than the settings allow a machine that is ready."""
        allowed = self._settings.unready_without_store_seconds
        if allowed is None:
            return False
        fetching = self.state.fetching()
        answered = (fetching and fetching.answered_at) or self._started
        return self._clock() - answered > timedelta(seconds=allowed)

    async def start(self) -> None:
        """Load what is here and fetch what is new, waiting a little for it; then follow until `stop`."""
        first = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._rounds(self._documents, self._documents_thread, first=None)),
            asyncio.create_task(self._rounds(self._snapshots, self._snapshots_thread, first=first)),
        ]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(first.wait(), _FIRST_ROUND_SECONDS)

    async def stop(self) -> None:
        self._fetcher.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for thread in (self._documents_thread, self._snapshots_thread):
            thread.shutdown(wait=False, cancel_futures=True)
        self.state.release()

    async def _rounds(
        self, work: Callable[[], bool], thread: ThreadPoolExecutor, first: asyncio.Event | None
    ) -> None:
        loop = asyncio.get_running_loop()
        poll = self._settings.poll_seconds
        while True:
            settled = True
            try:
                settled = await loop.run_in_executor(thread, work)
            except Exception as error:
                # Whatever it is, what is being served goes on being served, and the next round tries again.
                log_crash("poll_failed", error, what=work.__name__)
            if first is not None and settled:
                first.set()
            soon = first is not None and not first.is_set()
            await asyncio.sleep(0.02 if soon else poll * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311

    def _documents(self) -> bool:
        if self._leads():
            self._fetcher.poll()
        self.follower.poll()
        self._tell()
        return True

    def _tell(self) -> None:
        """Let metrics, and an admin request whichever worker it reaches, know what this one serves."""
        snapshot, refusal = self.follower.current, self.follower.refusal
        self._metrics.tick(snapshot, self._clock(), self._clock.behind)
        with contextlib.suppress(HashcheckError, OSError):
            self.state.tell(
                Worker(
                    os.getpid(),
                    snapshot.id if snapshot else None,
                    snapshot.version if snapshot else None,
                    snapshot.overlay if snapshot else 0,
                    self.follower.pinned,
                    refusal.code if refusal else None,
                )
            )

    def _snapshots(self) -> bool:
        """Whether there is nothing more to wait for at a start: something is served, or it is known why not."""
        if self.follower.current is not None:  # before the first one nobody is kept waiting but for it
            _give_way()
        if self._leads():
            if self.follower.damaged is not None:
                self._fetcher.fetch_again(self.follower.damaged)
                self.follower.damaged = None
                self._fetcher.poll()
            self._fetcher.download()
        before = self.follower.current
        self.follower.load()
        if self.follower.current is not before:
            self._tell()
        fetching = self.state.fetching()
        return self.follower.current is not None or (fetching is not None and fetching.refused is not None)

    def _leads(self) -> bool:
        try:
            return self.state.lead()
        except HashcheckError as error:
            log.error("state_unusable", code=error.code, message=str(error))
            return False
