"""Connections from the listener that all workers share.

asyncio's own server cannot pause, cannot tell how many connections wait to be taken, and closes the listener without
taking them.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

# Of one turn of the event loop, so that a burst is shared with the other workers and no answer waits for all of it.
_AT_ONCE: Final = 32
_BACKLOG: Final = (
    2048  # established and not yet taken; the kernel has a bound of its own (net.core.somaxconn)
)


class Acceptor:
    """Takes connections for one worker.

    Args:
        listener: bound; several processes may hold it.
        protocol: makes the protocol of a connection.
    """

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._listener.listen(_BACKLOG)
        self._loop.add_reader(self._listener.fileno(), self._take, _AT_ONCE)

    def close(self, *, take_all: bool) -> None:
        """Stop, and close the listener in this process. With `take_all` what is established is taken before."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        while take_all and self._take(_AT_ONCE):
            pass
        self._listener.close()

    def _take(self, most: int) -> bool:
        """Accept up to so many; whether there may be more."""
        for _ in range(most):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except ConnectionError:
                continue  # it went away while it waited
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it went away meanwhile
            await self._loop.connect_accepted_socket(self._protocol, connection)
