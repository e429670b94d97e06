"""A queue for something that few can use at a time: threads, processes, or the event loop for a long stretch.

Who comes next is decided by tenant: the one that has had the least time so far, in proportion to its weight. So a
tenant that keeps hundreds of requests waiting delays another's single request by one turn, not by hundreds.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self


class _Waiting(NamedTuple):
    turn: "asyncio.Future[None]"
    expected: float


class FairQueue:
    """At most `at_once` turns at a time. `weights` by tenant; 1 for a tenant that is not named.

    For one event loop: it is not safe to share between threads.
    """

    def __init__(self, at_once: int, weights: Mapping[str, float] | None = None) -> None:
        self._free = at_once
        self._weights = weights or {}
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._in_turn: dict[str, int] = {}
        self._had: dict[str, float] = {}  # seconds a tenant has had, over its weight
        self._level = 0.0  # of the tenant whose turn began last: a tenant that comes anew starts here

    def turn(self, tenant: str, expected: float = 0.0) -> "Turn":
        """`async with queue.turn(tenant):` waits for a turn and holds it.

        `expected` seconds are charged when the turn begins, and what it really took when it ends.
        """
        return Turn(self, tenant, expected)

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return sum(map(len, self._waiting.values()))

    async def begin(self, tenant: str, expected: float) -> None:
        """Wait for a turn; `end` must follow."""
        if tenant not in self._in_turn and tenant not in self._waiting:
            self._had[tenant] = max(self._had.get(tenant, 0.0), self._level)
        if self._free and not self._waiting:
            self._take(tenant, expected)
            return
        mine = _Waiting(asyncio.get_running_loop().create_future(), expected)
        self._waiting.setdefault(tenant, deque()).append(mine)
        try:
            await mine.turn
        except asyncio.CancelledError:
            if mine.turn.done() and not mine.turn.cancelled():  # it was given its turn in the same moment
                self.end(tenant, expected, 0.0)
            raise

    def end(self, tenant: str, expected: float, took: float) -> None:
        """Give the turn back. It took so many seconds."""
        self._charge(tenant, took - expected)
        self._free += 1
        self._in_turn[tenant] -= 1
        if not self._in_turn[tenant]:
            del self._in_turn[tenant]
        self._next()
        if not self._in_turn:  # nobody is owed anything
            self._had.clear()
            self._level = 0.0

    def _take(self, tenant: str, expected: float) -> None:
        self._free -= 1
        self._in_turn[tenant] = self._in_turn.get(tenant, 0) + 1
        self._level = max(self._level, self._had[tenant])
        self._charge(tenant, expected)

    def _charge(self, tenant: str, seconds: float) -> None:
        self._had[tenant] += seconds / self._weights.get(tenant, 1.0)

    def _next(self) -> None:
        while self._free and self._waiting:
            tenant = min(self._waiting, key=self._had.__getitem__)
            waiting = self._waiting[tenant]
            first = waiting.popleft()
            if not waiting:
                del self._waiting[tenant]
            if not first.turn.done():  # who was cancelled meanwhile is passed over
                self._take(tenant, first.expected)
                first.turn.set_result(None)


class Turn:
    """One turn of a FairQueue, as `async with` holds it."""

    __slots__ = ("_began", "_expected", "_queue", "_tenant")

    def __init__(self, queue: FairQueue, tenant: str, expected: float) -> None:
        self._queue = queue
        self._tenant = tenant
        self._expected = expected
        self._began = 0.0

    async def __aenter__(self) -> Self:
        await self._queue.begin(self._tenant, self._expected)
        self._began = time.perf_counter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.end(self._tenant, self._expected, time.perf_counter() - self._began)
