"""The hit log: every hit is on disk before it is answered.

Each worker writes files of its own in one directory. Hits that arrive while one write is being forced to disk go
together in the next (group commit), so a flood of hits costs few waits. A thread writes; once a second it looks after
what went wrong, and now and then it keeps house.

`refusal` is what makes a disk that is full or slow the same for all: while it is set, no check is answered.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from hashcheck_core.snapshot.files import transport_error
from hashcheck_service.evidence.disk import try_writing
from hashcheck_service.evidence.files import Files, Place
from hashcheck_service.evidence.hits import Hit
from hashcheck_service.evidence.measures import LogMetrics
from hashcheck_service.evidence.memory import MOST, Memory
from hashcheck_service.evidence.records import Repeats, encode, share
from hashcheck_service.evidence.retention import Retention
from hashcheck_service.evidence.segment import Segment
from hashcheck_service.evidence.trouble import FULL, NOT_WRITABLE, SLOW, STOPPED, refused, trouble_of
from hashcheck_service.evidence.upkeep import Upkeep
from hashcheck_service.logs import log, log_crash
from hashcheck_service.problems import Problem

_TICK_SECONDS: Final = 1.0
_HOUSE_SECONDS: Final = 10.0
_REPEATS_SECONDS: Final = 3600.0


class _Batch:
    """What waits for the next commit, and who waits for it. Its futures are the event loop's."""

    __slots__ = ("hits", "since", "waiting")

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.since = 0.0  # since when the first of them waits

    def settle(self, problem: Problem | None) -> None:
        for done in self.waiting:
            if done.done():  # its request was cancelled, or it was told already that the disk is slow
                continue
            if problem is None:
                done.set_result(None)
            else:
                done.set_exception(refused(problem))


class HitLog:
    """Put hits on record with `await record(...)`. For one event loop.

    Attributes:
        refusal: why no check may be answered now.
        refused_tenants: why no check of these tenants may be.
    """

    def __init__(
        self,
        place: Place,
        retention: Retention,
        metrics: LogMetrics,
        *,
        slow_seconds: float = 1.0,
        remembered: int = MOST,
    ) -> None:
        self._place = place
        self._metrics = metrics
        self._slow_seconds = slow_seconds
        self._files = Files(place)
        self._upkeep = Upkeep(place.directory, retention, metrics)
        self._memory = Memory(remembered)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batch = self._writing = _Batch()
        self._wake = threading.Condition()
        self._closing = False
        self._written = 0  # bytes that are not in the metrics yet
        self._commit_seconds = 0.0  # of the last commit
        self._busy_since = 0.0  # since when the writer waits for the disk; 0 while it does not
        self._disk: Problem | None = None  # what is wrong with the disk
        self._kept_house = self._told_repeats = time.monotonic()
        self.refusal: Problem | None = None
        self.refused_tenants: Mapping[str, Problem] = self._upkeep.tenants
        self._thread = threading.Thread(target=self._run, name=f"{place.prefix}-log", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether a hit could be recorded now, as far as is known."""
        return self.refusal is None and self._thread.is_alive()

    def start(self) -> None:
        """Make the directory, begin a file and start the writer.

        Raises TransportError where the directory cannot be used. On a full disk every check is refused until a file
        can be begun.
        """
        try:
            self._place.make()
            self._files.begin()
        except OSError as error:
            if trouble_of(error) is not FULL:
                raise transport_error(self._place.directory, error, "written") from None
            self._fails(FULL, errno=error.errno, error=error.strerror)
        self._keep_house()
        self._thread.start()

    async def record(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return when all of `hits` are on disk.

        Returns: those that are new; the others were on record already.

        Raises Problem 503 where they could not be recorded, and then they must not be answered.
        """
        fresh = self._memory.unknown(hits)
        if len(fresh) < len(hits):
            self._metrics.repeats.inc(len(hits) - len(fresh))
        if not fresh:
            return fresh
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
        with self._wake:
            if self._closing:
                raise refused(STOPPED)
            batch = self._batch
            if not batch.waiting:
                batch.since = time.monotonic()
            batch.hits += fresh
            batch.waiting.append(done)
            self._wake.notify()
        await done
        return fresh

    def look(self) -> None:
        """Refuse all checks where the disk is slow. To be called some times a second, in the event loop."""
        since = [at for at in (self._busy_since, self._writing.since, self._batch.since) if at]
        waited = time.monotonic() - min(since) if since else 0.0
        if waited > self._slow_seconds and self.refusal is None:
            self._fails(SLOW, waited_seconds=round(waited, 2))
        if self.refusal is SLOW:
            with self._wake:
                waiting, self._batch = self._batch, _Batch()
            waiting.settle(SLOW)
            self._writing.settle(SLOW)

    def close(self) -> None:
        """Write what is waiting, and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._tell_repeats()
        except Exception as error:
            log_crash("hit_log_failed", error)
        finally:
            with self._wake:
                self._closing = True
                self._disk = self.refusal = STOPPED
                left, self._batch = self._batch, _Batch()
            self._settle(self._writing, STOPPED)
            self._settle(left, STOPPED)
            self._files.close()
            self._tell_disturbances()

    def _turn(self) -> bool:
        """Write what is waiting, and look after the log; False when it is time to stop."""
        with self._wake:
            if not self._batch.waiting and not self._closing:
                self._wake.wait(_TICK_SECONDS)
            batch, self._batch = self._batch, _Batch()
            self._writing = batch
            closing = self._closing
        if batch.waiting:
            problem = self._on_disk(lambda: self._commit(batch.hits))
            self._writing = _Batch()
            self._settle(batch, problem, self._files.open)
            if problem is None and self._files.open is not None:
                self._files.open.tell()  # who waited for the disk does not wait for this
        if not closing:
            self._look_after()
        return bool(batch.waiting) or not closing

    def _commit(self, hits: Sequence[Hit]) -> None:
        records = list(share(hits))
        self._append([encode(record) for record in records], [record.tenant for record in records])

    def _append(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> None:
        began = time.monotonic()
        self._written += self._files.append(bodies, tenants)
        self._commit_seconds = time.monotonic() - began

    def _tell_repeats(self) -> None:
        if repeats := self._memory.take_repeats():
            now = datetime.now(UTC).replace(microsecond=0)
            bodies = [encode(Repeats(now, tenant, counts)) for tenant, counts in repeats.items()]
            self._on_disk(lambda: self._append(bodies, list(repeats)))

    def _look_after(self) -> None:
        """What is to be done once a second, and what more seldom."""
        now = time.monotonic()
        if self._written:
            self._metrics.written.inc(self._written)
            self._metrics.commit.set(self._commit_seconds)
            self._written = 0
        if self._disk is not None:
            self._heal(self._disk)
        if now - self._kept_house >= _HOUSE_SECONDS:
            self._kept_house = now
            self._keep_house()
        if now - self._told_repeats >= _REPEATS_SECONDS or self._memory.repeated > MOST:
            self._told_repeats = now
            self._tell_repeats()

    def _heal(self, before: Problem) -> None:
        """Try the disk: whether a file can be begun, with its reserve, and in time."""
        began = time.monotonic()
        begin = (lambda: try_writing(self._place.directory)) if self._files.open else self._files.begin
        problem = self._on_disk(begin)
        if problem is None and time.monotonic() - began < self._slow_seconds:
            self._disk = None
            self._decide()
            log.info("hit_log_recovered", after=before.code)

    def _keep_house(self) -> None:
        self._on_disk(self._files.look_after)
        self._on_disk(self._upkeep.look)
        if self._disk is None:
            self._on_disk(lambda: self._upkeep.try_disk(self._files))
        self.refused_tenants = self._upkeep.tenants
        self._decide()

    def _on_disk(self, work: Callable[[], object]) -> Problem | None:
        """Do something that waits for the disk; what is wrong, if something is."""
        self._busy_since = time.monotonic()
        try:
            work()
        except OSError as error:
            problem = trouble_of(error)
            self._fails(problem, errno=error.errno, error=error.strerror)
            self._files.give_up()
            return problem
        except Exception as error:  # unforeseen: these hits are not on record, and the next are tried
            log_crash("hit_log_failed", error)
            self._fails(NOT_WRITABLE)
            self._files.give_up()
            return NOT_WRITABLE
        finally:
            self._busy_since = 0.0
            self._tell_disturbances()
        return None

    def _tell_disturbances(self) -> None:
        while self._files.disturbances:
            self._metrics.disturbed(self._files.disturbances.pop())

    def _fails(self, problem: Problem, **facts: object) -> None:
        if self._disk is not problem:
            self._metrics.failed(problem.code)
            log.error(problem.code, **facts)
        self._disk = problem
        self._decide()

    def _decide(self) -> None:
        self.refusal = self._disk or self._upkeep.room

    def _settle(self, batch: _Batch, problem: Problem | None, segment: Segment | None = None) -> None:
        """Tell the event loop what became of a batch; if it has closed, nobody waits."""
        if self._loop is None or not batch.waiting:
            return

        def tell() -> None:
            if problem is None and segment is not None:
                self._memory.add(batch.hits, segment)
            batch.settle(problem)

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(tell)
