"""How much a worker has taken on, and whether one more check could be answered in time. If not, it is refused at once:
a caller that is told 503 can go elsewhere, one that waits cannot. It knows no HTTP.

A check waits in three places. Connections that have something to read wait for those before them in one round of the
event loop over all connections: at most so many seconds. Requests that were read and not answered at once wait for the
event loop to come round to them: at most so many, and so many bytes of them. Searches that take long wait for a thread:
at most so many seconds of them.
"""

import time
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hashcheck_service.problems import Problem, unavailable

# Of requests that wait for the event loop, beside the first: a tenth of a second of work, in large batches.
_BYTES_WAITING: Final = 1024 * 1024


def overloaded() -> Problem:
    return unavailable("overloaded", "Too many checks are in hand.", retry_after=1)


class Gate:
    """For one event loop: it is not safe to share between threads."""

    __slots__ = (
        "_bytes", "_met", "_most", "_most_seconds", "_searches", "_seconds", "_turn", "_turn_began", "announced",
        "begun", "draining", "paths", "refused",
    )  # fmt: skip

    def __init__(self, turn_seconds: float, checks_waiting: int, seconds_waiting: float) -> None:
        self.paths: frozenset[str] = frozenset()  # of the checks that are counted
        self.announced = 0  # checks that were read, ever; each then begins when the event loop comes to it
        self.begun = 0  # checks ever; where nothing announces them, more than were announced
        self.refused = 0  # checks that were not let in, ever
        self.draining = False  # the worker is to stop
        self._turn = turn_seconds
        self._turn_began: float | None = None  # when the first check of this round of the event loop was met
        self._met = 0  # checks of this round
        self._most = checks_waiting
        self._most_seconds = seconds_waiting
        self._bytes = 0
        self._searches = 0
        self._seconds = 0.0

    def admits(self, size: int, connections: int, loop: AbstractEventLoop) -> bool:
        """Whether a check that was just met, a request of `size` bytes on one of so many connections, can be answered
        in time. `joins` is told if it is one that waits."""
        now = time.perf_counter()
        self._met += 1
        if self._turn_began is None:
            self._turn_began, self._met = now, 1
            loop.call_soon(self._next_turn)
        elif self._met > connections:
            # The event loop may go round more than once in a turn, and nobody waited for both.
            self._turn_began, self._met = now, 1
        elif now - self._turn_began > self._turn:
            return False
        waiting = self.announced - self.begun
        if waiting <= 0:
            self._bytes = 0
            return True
        return waiting < self._most and self._bytes + size <= _BYTES_WAITING

    def joins(self, size: int) -> None:
        """A check of `size` bytes is to wait for the event loop."""
        self._bytes += size

    def _next_turn(self) -> None:
        self._turn_began = None

    @contextmanager
    def searching(self, seconds: float) -> Iterator[None]:
        """Hold a search that is expected to take so long; raises Problem 503 where it would wait too long."""
        if self._searches and self._seconds + seconds > self._most_seconds:
            raise overloaded()
        self._searches += 1
        self._seconds += seconds
        try:
            yield
        finally:
            self._searches -= 1
            # Sums of floats leave a rest, and what is idle holds nothing.
            self._seconds = self._seconds - seconds if self._searches else 0.0
