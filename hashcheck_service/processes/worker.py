"""A worker: answers requests that come on the shared listener, until the supervisor says that it is enough.

It takes connections only when told to. When the supervisor ends, however it ends, the worker answers what it has in
hand, takes nothing new, and ends too.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from hashcheck_core.errors import HashcheckError
from hashcheck_service.app import worker_app
from hashcheck_service.fence.privileges import not_dumpable
from hashcheck_service.http1.protocol import CheckProtocol
from hashcheck_service.logs import configure, log
from hashcheck_service.processes import messages as m
from hashcheck_service.processes.accepting import Acceptor
from hashcheck_service.processes.channel import Channel
from hashcheck_service.processes.connections import Connections, most_connections, open_descriptors
from hashcheck_service.processes.uplink import Uplink
from hashcheck_service.settings import load_settings

CANNOT_START: Final = 2
_ALIVE_SECONDS: Final = 1.0


class _Connection(CheckProtocol):
    """One of those that the worker counts."""

    def __init__(self, counted: Connections, number: int, **options: Any) -> None:
        super().__init__(**options)
        self._counted, self._number = counted, number

    def connection_made(self, transport: Any) -> None:
        self._counted.opened(self._number, transport, time.monotonic())
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._counted.lost(self._number)


class Worker(uvicorn.Server):
    """uvicorn's server with its start and stop in the supervisor's hands.

    Args:
        drain_seconds: how long requests in hand are waited for when the supervisor has ended.
    """

    def __init__(self, app: ASGIApp, uplink: Uplink, listener: socket.socket, drain_seconds: float) -> None:
        config = uvicorn.Config(
            app,
            http=CheckProtocol,
            ws="none",
            lifespan="on",
            proxy_headers=False,  # who called is nobody's business here
            access_log=False,
            log_config=None,
            server_header=False,
        )
        super().__init__(config)
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._uplink = uplink
        self._told = (0, 0)  # of connections that made room, and pauses
        uplink.on_end = self._orphaned
        uplink.on(m.Accept, self._accept)
        uplink.on(m.StopAccepting, self._stop_accepting)
        uplink.on(m.Retire, self._retire)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The supervisor gets the signals, and tells what follows from them."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(most_connections())
        self._acceptor = Acceptor(self._listener, self._protocol, self._connections)
        self._uplink.attach()
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(CANNOT_START)
        self.servers = []
        self._uplink.say(m.Ready())
        self._beat()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._acceptor.close(take_all=False)
        await super().shutdown()

    def _protocol(self, number: int) -> asyncio.Protocol:
        return _Connection(
            self._connections,
            number,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def _accept(self, *_: object) -> None:
        self._acceptor.start()

    def _stop_accepting(self, *_: object) -> None:
        self._acceptor.close(take_all=True)
        self._uplink.say(m.Stopped())

    def _retire(self, message: m.Retire, *_: object) -> None:
        self._acceptor.close(take_all=False)
        self.config.timeout_graceful_shutdown = message.seconds  # type: ignore[assignment]
        self.should_exit = True

    def _orphaned(self) -> None:
        log.error("supervisor_gone")
        if not self.started:
            os._exit(CANNOT_START)
        self._retire(m.Retire(self._drain_seconds))

    def _beat(self) -> None:
        now = (self._connections.closed, self._connections.pauses)
        closed, pauses = (new - old for new, old in zip(now, self._told, strict=True))
        self._told = now
        if pauses:
            log.warning("connections_full", most=self._connections.most, closed=closed)
        self._uplink.say(m.Alive(open_descriptors(), self._connections.open, closed, pauses))
        self._loop.call_later(_ALIVE_SECONDS, self._beat)


def main() -> None:
    parser = argparse.ArgumentParser(prog="hashcheck-service: worker")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--drain-seconds", type=float, required=True)
    options = parser.parse_args()
    for descriptor in (options.channel, options.listener):
        os.set_inheritable(descriptor, False)
    configure()
    not_dumpable()
    channel: Channel[m.ToWorker] = Channel(
        socket.socket(fileno=options.channel), m.ToWorker, take_descriptors=True
    )
    uplink = Uplink(channel)
    try:
        app = worker_app(load_settings(Path(options.config)), uplink)
    except HashcheckError as error:
        log.error("worker_cannot_start", code=error.code, message=str(error))
        sys.exit(CANNOT_START)
    Worker(app, uplink, socket.socket(fileno=options.listener), options.drain_seconds).run()


if __name__ == "__main__":
    main()
