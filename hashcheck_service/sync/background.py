"""The work behind a worker: keep it as the state directory is. It answers no request.

Two rounds go on beside each other until the end: documents (keys, overlay), each poll; and snapshots, which take long.
So a retraction never waits for a snapshot. Where there is no sync process (an app on its own) it does that one's work
too, without sealed memory.
"""

import asyncio
import contextlib
import os
import time
from datetime import timedelta
from typing import Final

from hashcheck_core.errors import HashcheckError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics
from hashcheck_service.processes import messages as m
from hashcheck_service.processes.priority import give_way
from hashcheck_service.processes.uplink import Uplink
from hashcheck_service.settings import Settings
from hashcheck_service.sync.clock import SteadyClock
from hashcheck_service.sync.offer import Offer
from hashcheck_service.sync.rejections import Refusal
from hashcheck_service.sync.rounds import Rounds
from hashcheck_service.sync.served_snapshot import SnapshotFollower
from hashcheck_service.sync.state_directory import State, Worker
from hashcheck_service.sync.store_poller import fetcher_of

# A start waits so long for the first snapshot; then it serves 503 and goes on fetching.
_FIRST_ROUND_SECONDS: Final = 10.0
# Of the thread that loads snapshots; the system's lowest is 19.
# The process that fetches is silent: it is being replaced, or the disk is full.
_SILENCE: Final = timedelta(seconds=60)
_CANARY_SECONDS: Final = 60.0


class Following:
    """Raises ConfigError, DataError or TransportError for settings that cannot be used.

    Args:
        uplink: to the supervisor, and by it to the sync process; None where there are none.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, clock: SteadyClock, uplink: Uplink | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._uplink = uplink
        self._started = clock()
        self._asked_canaries = time.monotonic()
        pinned = read_limited(settings.trusted_keys, MAX_KEYS_BYTES, follow_links=True)
        self.state = State(settings.state, settings.trust_floor.numbers)
        self.state.prepare()
        self._offer = None if uplink is None else Offer()
        self.follower = SnapshotFollower(
            self.state, pinned, metrics, clock, clock.not_before, offer=self._offer
        )
        self._fetcher = fetcher_of(settings, self.state, pinned, metrics, clock) if uplink is None else None
        if uplink is not None:
            uplink.on(m.Offered, self._offered)
            uplink.on(m.Withdrawn, self._withdrawn)
        self._rounds = Rounds(settings.poll_seconds)

    @property
    def refusal(self) -> Refusal | None:
        """Why something newer is not in force, as far as this worker knows."""
        mine = self.follower.refusal or (self._fetcher.refusal if self._fetcher is not None else None)
        if mine is not None:
            return mine
        fetching = self.state.fetching()
        if fetching is None:
            return None
        if self._clock() - fetching.at > max(_SILENCE, 3 * timedelta(seconds=self._settings.poll_seconds)):
            return Refusal(
                "store_not_polled", "", "No process of this machine asks the store for anything new."
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
        """Load what is here and fetch what is new, waiting a little for it; then follow until `stop`.

        Where this machine serves a list already, it is waited for as long as it takes.
        """
        self._rounds.start(self._documents)
        settled = self._rounds.start(self._snapshots)
        offered = self._offer is not None and self._offer.number
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(settled.wait(), None if offered else _FIRST_ROUND_SECONDS)

    async def stop(self) -> None:
        if self._fetcher is not None:
            self._fetcher.stop()
        await self._rounds.stop()
        self.state.release()

    def _offered(self, offer: m.Offered, descriptors: list[int]) -> None:
        assert self._offer is not None
        self._offer.put(offer.snapshot, descriptors)

    def _withdrawn(self, withdrawn: m.Withdrawn, _: list[int]) -> None:
        assert self._offer is not None
        self._offer.withdraw(withdrawn.snapshot)
        self.follower.take_out(withdrawn.snapshot)

    def _documents(self) -> bool:
        if self._fetcher is not None and self._leads():
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
            give_way()
        if self._fetcher is not None and self._leads():
            if self.follower.damaged is not None:
                self._fetcher.fetch_again(self.follower.damaged)
                self.follower.damaged = None
                self._fetcher.poll()
            self._fetcher.download()
        before = self.follower.current
        self._ask_canaries()
        self.follower.load()
        if self._fetcher is None and self.follower.damaged is not None:
            self._doubt(self.follower.damaged)
            self.follower.damaged = None
        if self.follower.current is not before:
            self._tell()
        fetching = self.state.fetching()
        refused = fetching is not None and fetching.at >= self._started and fetching.refused is not None
        return self.follower.current is not None or refused or self.follower.refusal is not None

    def _ask_canaries(self) -> None:
        if time.monotonic() - self._asked_canaries >= _CANARY_SECONDS:
            self._asked_canaries = time.monotonic()
            if (snapshot := self.follower.ask_canaries()) is not None:
                self._doubt(snapshot)

    def _doubt(self, snapshot: str) -> None:
        """Have the sync process see whether what this worker was given is as signed."""
        if self._uplink is not None:
            self._uplink.say_from_thread(m.Doubted(snapshot))

    def _leads(self) -> bool:
        try:
            return self.state.lead()
        except HashcheckError as error:
            log.error("state_unusable", code=error.code, message=str(error))
            return False
