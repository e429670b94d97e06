"""The connections of one worker: how many there may be, and which are closed when there is no room for more.

Without a bound, idle connections take all descriptors, and then no list, no retraction and no hit can be opened. So
some descriptors are kept for the worker itself. When the rest is used up, callers that never showed a valid key make
room, the oldest first; where there are none, nothing is accepted for a while, and new connections wait in the kernel.
"""

import resource
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Protocol

# For lists, documents, hit log files, picture processes, metrics: some dozens are in use at a time.
RESERVE: Final = 64
_FEWEST: Final = 16  # a worker that may hold fewer connections is of no use
# Younger connections may still be sending their first request.
_GRACE_SECONDS: Final = 1.0
_CLOSED_AT_ONCE: Final = 64


class Closable(Protocol):
    """What is needed of a transport."""

    def is_closing(self) -> bool: ...
    def abort(self) -> None: ...


def open_descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def most_connections() -> int:
    """How many connections this process may hold, by its limit of descriptors and those it uses now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST, soft - open_descriptors() - RESERVE)


class Connections:
    """`most` is how many there may be. `closed` counts those that made room, `pauses` the times there was none."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 0
        self.closed = 0
        self.pauses = 0
        self._strangers: dict[int, tuple[float, Closable]] = {}  # the oldest first

    def opened(self, number: int, transport: Closable, now: float) -> None:
        """A connection, by a number of its own, that has shown no key yet."""
        self.open += 1
        self._strangers[number] = (now, transport)

    def lost(self, number: int) -> None:
        self.open -= 1
        self._strangers.pop(number, None)

    def showed_key(self, number: int) -> None:
        self._strangers.pop(number, None)

    def has_room(self, opening: int, now: float) -> bool:
        """Whether one more may be accepted beside those that are just `opening`; closes strangers to make room."""
        if self.open + opening < self.most:
            return True
        closed = 0
        for since, transport in list(self._strangers.values())[:_CLOSED_AT_ONCE]:
            if now - since < _GRACE_SECONDS:
                break
            if not transport.is_closing():
                transport.abort()  # to close it would wait for a caller that does not read
                closed += 1
        self.closed += closed
        return False  # there is room when the event loop has closed them


# Of the connection whose request is being read or answered. Set for each by `accepting`.
current: ContextVar[Callable[[], None] | None] = ContextVar("current", default=None)


def shows_key() -> None:
    """The request that is being answered bears a valid key."""
    told = current.get()
    if told is not None:
        told()
