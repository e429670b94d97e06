"""The supervisor: starts the other processes of the service, watches them, restarts and stops them.

It is the process that `hashcheck-service serve` becomes. It holds the listener and reads nothing of what comes on it.
It stays small: it imports the standard library and msgspec only, and a test holds that.

    SIGTERM, SIGINT   stop: /readyz fails first, then the listener closes, then what is in hand is answered
    again             end at once
    SIGHUP            new workers, one after the other, and a new sync, that read settings and code anew
"""

import argparse
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

import msgspec

from hashcheck_service.processes import messages as m
from hashcheck_service.processes.children import Backoff, Child, State
from hashcheck_service.processes.closing import drop_new_connections
from hashcheck_service.processes.fleet import Fleet
from hashcheck_service.processes.gathering import Gathering
from hashcheck_service.processes.log_lines import line_of, standard_error
from hashcheck_service.processes.served_memory import ServedMemory
from hashcheck_service.processes.vitals import Vitals

STOPPED: Final = 0
CANNOT_START: Final = 2
FORCED: Final = 128 + signal.SIGTERM
# Connections whose handshake has begun are established within so long: a round trip in a data centre, and some.
_HANDSHAKE_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 2.0
_END_SECONDS: Final = 2.0  # of the time to drain: to let a worker end that was cut off
_TURN_SECONDS: Final = 0.25
_FOR_EVER: Final = 1e9
WORKER: Final = "hashcheck_service.processes.worker"
SYNC: Final = "hashcheck_service.processes.sync"
_SYNC_SLOT: Final = -1
_STORE_CREDENTIALS: Final = "AWS_"  # variables that begin so are for sync alone


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said. `listener` is the descriptor of the bound socket."""

    config: str
    listener: int
    workers: int
    drain_seconds: float
    ready_fails_seconds: float


class Supervisor:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._listener = socket.socket(fileno=options.listener)
        self._fleet = Fleet(self._take, self._ended)
        self._filled: dict[int, Child] = {}  # by slot; a child that retires has none
        self._backoff = {slot: Backoff() for slot in (_SYNC_SLOT, *range(options.workers))}
        self._due = dict.fromkeys(self._backoff, 0.0)  # when a slot without a child gets one
        self._ready_once: set[str] = set()  # kinds of children
        self._memory = ServedMemory()
        self._exit_code: int | None = None
        self._stops = 0  # signals to stop so far
        self._reload = False
        self._lines = standard_error()
        self._vitals = Vitals()
        self._metrics = Gathering(lambda: self._vitals.families(self._fleet.children, self._lines.dropped))

    def run(self) -> int:
        """Until stopped; the exit code."""
        self._fleet.wake_on((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self._signalled)
        while not self._stops and self._exit_code is None:
            self._turn()
            if self._reload:
                self._reload = False
                self._replace_workers()
        self._stop()
        self._lines.flush(1.0)
        return STOPPED if self._exit_code is None else self._exit_code

    def _signalled(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stops += 1

    def _turn(self, seconds: float = _TURN_SECONDS) -> None:
        self._fleet.turn(seconds)
        now = time.monotonic()
        self._metrics.answer(now)
        for slot in [slot for slot, due in self._due.items() if due <= now and not self._stops]:
            del self._due[slot]
            try:
                self._filled[slot] = self._start(slot)
            except OSError as error:  # no room for a process, or for its descriptors: later there may be
                self._log("error", "not_started", slot=slot, errno=error.errno, error=error.strerror)
                self._due[slot] = now + self._backoff[slot].after(0.0)

    def _wait(self, condition: Callable[[], bool], seconds: float, *, stops: int = 2) -> bool:
        """Go on until `condition` holds, at most so long, and until so many signals to stop; whether it holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0 or self._stops >= stops:
                return False
            self._turn(min(left, _TURN_SECONDS))
        return True

    # Children

    def _start(self, slot: int) -> Child:
        given: dict[str, object] = {"config": self._options.config}
        if slot == _SYNC_SLOT:
            child = self._fleet.start("sync", SYNC, given, m.FromSync, take_descriptors=True)
        else:
            given |= {"listener": self._listener.fileno(), "drain-seconds": self._options.drain_seconds}
            child = self._fleet.start(
                "worker",
                WORKER,
                given,
                m.FromWorker,
                passed=(self._listener.fileno(),),
                environment={k: v for k, v in os.environ.items() if not k.startswith(_STORE_CREDENTIALS)},
            )
        self._log("info", f"{child.kind}_started", child)
        if self._memory.offer is not None:
            self._fleet.say(child, self._memory.offer, self._memory.descriptors)
        return child

    def _take(self, child: Child, message: Any, descriptors: list[int]) -> None:
        match message:
            case m.Ready():
                self._ready_once.add(child.kind)
                child.state = State.SERVING
                if child.kind == "worker":
                    self._fleet.say(child, m.Accept())
                    child.accepts = True
                seconds = round(child.heard_at - child.started_at, 1)
                self._log("info", f"{child.kind}_ready", child, seconds=seconds)
            case m.Alive():
                self._vitals.heard(child, message)
            case m.Stopped():
                child.accepts = False
            case m.Offered():
                self._memory.keep(message, descriptors)
                self._tell("worker", message, self._memory.descriptors)
            case m.Withdrawn(snapshot):
                self._memory.drop(snapshot)
                self._tell("worker", message)
            case m.Doubted():
                self._tell("sync", message)
            case m.Metrics(report):
                self._metrics.keep(child, report)
            case m.AskMetrics(number):
                self._metrics.ask(child, number, self._fleet.children)

    def _tell(self, kind: str, message: msgspec.Struct, descriptors: tuple[int, ...] = ()) -> None:
        for child in self._fleet.children:
            if child.kind == kind:
                self._fleet.say(child, message, descriptors)

    def _ended(self, child: Child) -> None:
        lived = time.monotonic() - child.started_at
        self._metrics.ended(child)
        if not child.dismissed or (child.process.returncode and child.state is State.RETIRING):
            self._vitals.died(child)
            self._log("error", f"{child.kind}_died", child, lived_seconds=round(lived, 1), **child.death())
        for slot in [slot for slot, one in self._filled.items() if one is child]:
            del self._filled[slot]
            if child.process.returncode == CANNOT_START and child.kind not in self._ready_once:
                self._exit_code = CANNOT_START  # it would be no different the next time
            self._due[slot] = time.monotonic() + self._backoff[slot].after(lived)

    def _replace_workers(self) -> None:
        """A new worker for each, one after the other, then a new sync. When one does not start, the old ones stay."""
        self._log("info", "workers_restart")
        for slot in range(self._options.workers):
            try:
                new = self._start(slot)
            except OSError as error:
                self._log("error", "workers_restart_failed", errno=error.errno, error=error.strerror)
                return

            def settled(new: Child = new) -> bool:
                return new.started or new not in self._fleet.children

            if not self._wait(settled, _FOR_EVER, stops=1):
                return
            if not new.started:
                self._log("error", "workers_restart_failed", new)
                return
            old = self._filled.get(slot)
            self._filled[slot] = new
            self._due.pop(slot, None)
            if old is not None:
                self._retire(old, self._options.drain_seconds)
        if (sync := self._filled.get(_SYNC_SLOT)) is not None:
            self._retire(sync, 0.0)  # there can be one only: the next is started when it has ended
        self._log("info", "workers_restarted")

    def _retire(self, child: Child, seconds: float) -> None:
        child.dismissed = True
        if child.started:
            child.state = State.RETIRING
            self._fleet.say(child, m.Retire(max(0.0, seconds)))
        else:
            child.kill()

    # The end

    def _stop(self) -> None:
        """Let the balancer see it, close the listener, answer what is in hand, end. Within --drain-seconds in all."""
        deadline = time.monotonic() + self._options.drain_seconds

        def left(less: float = 0.0) -> float:
            return max(0.0, deadline - time.monotonic() - less)

        self._log("info", "stopping", drain_seconds=self._options.drain_seconds)
        if "worker" in self._ready_once:
            self._tell("worker", m.FailReadiness())
            self._wait(self._alone, min(self._options.ready_fails_seconds, left()))
            self._close_listener(left())
        for child in self._fleet.children:
            self._retire(child, left(_END_SECONDS))
        if not self._wait(self._alone, left()):
            forced = self._stops > 1
            self._exit_code = FORCED if forced else self._exit_code
            self._log("warning", "stop_cut_off", forced=forced, processes=len(self._fleet.children))
            self._fleet.end_all()
        self._log("info", "stopped")

    def _close_listener(self, seconds: float) -> None:
        """Close it in every process, and lose no connection that is established."""
        drop_new_connections(self._listener)
        self._wait(self._alone, min(_HANDSHAKE_SECONDS, seconds))
        self._tell("worker", m.StopAccepting())
        self._wait(
            lambda: not any(child.accepts for child in self._fleet.children), min(_CLOSE_SECONDS, seconds)
        )
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # where a worker that hangs has it open still
        self._listener.close()

    def _alone(self) -> bool:
        return not self._fleet.children

    def _log(self, level: str, event: str, child: Child | None = None, **more: Any) -> None:
        about = {} if child is None else {"name": child.name, "pid": child.pid, "state": child.state}
        self._lines.write(line_of(level, event, **about, **more))


def main() -> None:
    """Be a supervisor: `start` executes this with what the command line said."""
    parser = argparse.ArgumentParser(prog="hashcheck-service: supervisor")
    for field in fields(Options):
        kind = {int: int, float: float, str: str}[field.type]  # type: ignore[index]
        parser.add_argument("--" + field.name.replace("_", "-"), type=kind, required=True)
    code = Supervisor(Options(**vars(parser.parse_args()))).run()
    os._exit(code)  # not held up by a log that nobody reads


if __name__ == "__main__":
    main()
