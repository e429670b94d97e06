"""Connections from the listener that all workers share.

asyncio's own server cannot pause, cannot tell how many connections wait to be taken, and closes the listener without
taking them.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from hashcheck_service.processes.connections import Connections, current

# Of one turn of the event loop, so that a burst is shared with the other workers and no answer waits for all of it.
_AT_ONCE: Final = 32
_BACKLOG: Final = (
    2048  # established and not yet taken; the kernel has a bound of its own (net.core.somaxconn)
)
_PAUSE_SECONDS: Final = 0.05


class Acceptor:
    """Takes connections for one worker.

    Args:
        listener: bound; several processes may hold it.
        protocol: makes the protocol of a connection, by a number of its own; the protocol tells `connections` when it
            is made and lost.
        connections: bounds them.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[int], asyncio.Protocol],
        connections: Connections,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._protocol = protocol
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._numbers = count()
        self._opening: set[asyncio.Task[None]] = set()
        self._accepts = False
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._listener.listen(_BACKLOG)
        self._go_on()

    def close(self, *, take_all: bool) -> None:
        """Stop, and close the listener in this process. With `take_all` what is established is taken before, as far as
        there is room."""
        if self._listener.fileno() < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
        self._stop_reading()
        while take_all and self._take(_AT_ONCE):
            pass
        self._listener.close()

    def _take(self, most: int) -> bool:
        """Accept up to so many; whether there may be more."""
        for _ in range(most):
            if not self._connections.has_room(len(self._opening), time.monotonic()):
                self._pause()
                return False
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except ConnectionError:
                continue  # it went away while it waited
            except OSError:  # descriptors or memory of the whole system
                self._pause()
                return False
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return True

    def _pause(self) -> None:
        """Leave connections to the kernel, and to other workers, for a moment."""
        if self._accepts:
            self._stop_reading()
            self._connections.pauses += 1
            self._resume = self._loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._accepts = True
        self._loop.add_reader(self._listener.fileno(), self._take, _AT_ONCE)

    def _stop_reading(self) -> None:
        self._accepts = False
        self._loop.remove_reader(self._listener.fileno())

    async def _open(self, connection: socket.socket) -> None:
        number = next(self._numbers)
        connections = self._connections
        # In this task's context, which is that of all that is called for this connection.
        current.set(lambda: connections.showed_key(number))
        with contextlib.suppress(OSError):  # it went away meanwhile
            await self._loop.connect_accepted_socket(lambda: self._protocol(number), connection)
