"""The process that follows the store: the only one that talks to it, and that makes what the workers serve.

It answers no caller. While it is away the workers serve on what they have.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.errors import HashcheckError
from hashcheck_service.fence.privileges import not_dumpable
from hashcheck_service.logs import configure, log
from hashcheck_service.metrics import Metrics, report_of_sync
from hashcheck_service.processes import messages as m
from hashcheck_service.processes.channel import Channel
from hashcheck_service.processes.connections import open_descriptors
from hashcheck_service.processes.log_lines import standard_error
from hashcheck_service.processes.uplink import Uplink
from hashcheck_service.settings import load_settings
from hashcheck_service.sync.clock import SteadyClock
from hashcheck_service.sync.keeper import Keeper
from hashcheck_service.sync.rounds import Rounds

CANNOT_START: Final = 2
_ALIVE_SECONDS: Final = 1.0


class Sync:
    """Raises a HashcheckError for settings or a state directory that cannot be used."""

    def __init__(self, config: Path, uplink: Uplink) -> None:
        settings = load_settings(config)
        self._metrics = Metrics()
        self._uplink = uplink
        self._keeper = Keeper(settings, self._metrics, SteadyClock(), self._offer, self._withdraw)
        self._rounds = Rounds(settings.poll_seconds)
        self._ended = asyncio.Event()
        uplink.on_end = self._ended.set
        uplink.on(m.Retire, lambda *_: self._ended.set())
        uplink.on(m.ReportMetrics, self._report)
        uplink.on(m.Offered, lambda offer, given: self._keeper.adopt(offer.snapshot, given))
        uplink.on(m.Doubted, lambda doubted, _: self._keeper.doubt(doubted.snapshot))

    async def run(self) -> None:
        """Until it is told to end, or the supervisor has ended."""
        self._loop = asyncio.get_running_loop()
        self._uplink.attach()
        self._uplink.say(m.Ready())
        self._beat()
        for work in (self._keeper.documents, self._keeper.snapshots, self._keeper.verify):
            self._rounds.start(work)
        await self._ended.wait()
        self._keeper.stop()
        self._report()

    def _beat(self) -> None:
        self._uplink.say(m.Alive(open_descriptors()))
        self._loop.call_later(_ALIVE_SECONDS, self._beat)

    def _report(self, *_: object) -> None:
        self._uplink.say(m.Metrics(report_of_sync(self._metrics)))

    # The keeper works in threads; what it has to say goes by the event loop.

    def _offer(self, snapshot: str, descriptor: int | None) -> None:
        copies = () if descriptor is None else (os.dup(descriptor),)
        self._loop.call_soon_threadsafe(self._say, m.Offered(snapshot), copies)

    def _withdraw(self, snapshot: str) -> None:
        self._loop.call_soon_threadsafe(self._say, m.Withdrawn(snapshot), ())

    def _say(self, message: msgspec.Struct, descriptors: tuple[int, ...]) -> None:
        self._uplink.say(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


async def _run(config: Path, uplink: Uplink) -> None:
    await Sync(config, uplink).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="hashcheck-service: sync")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--config", required=True)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor gets them, and tells what follows
    os.set_inheritable(options.channel, False)
    configure()
    not_dumpable()  # the credentials of the store are in its environment
    channel: Channel[m.ToSync] = Channel(
        socket.socket(fileno=options.channel), m.ToSync, take_descriptors=True
    )
    try:
        asyncio.run(_run(Path(options.config), Uplink(channel)))
    except HashcheckError as error:
        log.error("sync_cannot_start", code=error.code, message=str(error))
        sys.exit(CANNOT_START)
    standard_error().flush(1.0)
    os._exit(0)  # a thread may wait for the store or a disk


if __name__ == "__main__":
    main()
