"""One child process: how it is started, what is known of it, and how its death is described."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from hashcheck_service.processes.channel import Channel
from hashcheck_service.processes.patience import Patience, activity_of

# What a death by this signal means as a rule, for whoever reads the log.
_CAUSES: Final = {
    signal.SIGBUS: "a mapped file was cut or its disk failed",
    signal.SIGSEGV: "a fault of native code",
    signal.SIGABRT: "a fault of native code",
    signal.SIGILL: "an instruction that this processor does not have",
    signal.SIGKILL: "killed from outside, or by the kernel for want of memory: see the kernel's log",
    signal.SIGXCPU: "a limit of processor time",
}
# A child that has lived for so long and dies is started anew at once.
_STEADY_SECONDS: Final = 30.0
_LONGEST_WAIT: Final = 30.0
_ENDING_SECONDS: Final = 2.0  # between the end of its channel and its own; unmapping a large list takes time


class State(StrEnum):
    """The life of a child, in this order."""

    STARTING = "starting"
    SERVING = "serving"
    RETIRING = "retiring"


class Child:
    """A process and the supervisor's end of its channel.

    Args:
        kind: `worker` or `sync`.
        name: for people, and in metrics: of processes that live at one time each has another.
        module: what it runs.
        arguments: its options; `--channel` with its end of the channel is added.
        receives: the messages that may come from it.
        passed: descriptors that it inherits.
        environment: its variables; None for those of this process.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        module: str,
        arguments: Mapping[str, object],
        receives: Any,
        *,
        passed: tuple[int, ...] = (),
        take_descriptors: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [*interpreter(), "-m", module]
            for option, value in {"channel": theirs.fileno(), **arguments}.items():
                command += [f"--{option}", str(value)]
            try:
                # In a process group of its own: a terminal's signals go to the supervisor alone.
                self.process = subprocess.Popen(  # noqa: S603 - our own module
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *passed),
                    process_group=0,
                    env=environment,
                )
            except BaseException:
                ours.close()
                raise
        self.kind, self.name = kind, name
        self.channel: Channel[Any] = Channel(ours, receives, take_descriptors=take_descriptors)
        self.pid = self.process.pid
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except OSError:
            self.process.kill()
            self.process.wait()
            ours.close()
            raise
        self.state = State.STARTING
        self.accepts = False  # connections
        self.dismissed = False  # it was told to end
        self.started_at = self.heard_at = time.monotonic()
        self.started_time = time.time()
        self.killed_for: str | None = None
        self._patience: Patience | None = None
        self._lost: tuple[float, str] | None = None

    @property
    def started(self) -> bool:
        return self.state is not State.STARTING

    def heard(self) -> None:
        """It gave a sign of life."""
        self.heard_at = time.monotonic()
        self._patience = None

    def lost(self, reason: str) -> None:
        """Its channel cannot be used any more. As a rule it is just ending, and its end says why."""
        self._lost = (time.monotonic(), reason)

    def hangs(self, now: float) -> str | None:
        """Why it is to be taken as hung; None while all is well. One that starts may take as long as it needs."""
        if self._lost is not None and not self.dismissed and not self.killed_for:
            since, reason = self._lost
            return reason if now - since > _ENDING_SECONDS else None
        if self.state is State.STARTING or now - self.heard_at < 2.0 or self.killed_for:
            return None
        activity = activity_of(self.pid)
        if activity is None:
            return None
        if self._patience is None:
            self._patience = Patience(self.heard_at, activity)
        return self._patience.verdict(now, activity)

    def kill(self, reason: str | None = None) -> None:
        self.killed_for = reason
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def death(self) -> dict[str, Any]:
        """How it ended, as fields of a log event."""
        code = self.process.returncode
        if code >= 0:
            return {"exit_code": code}
        try:
            number = signal.Signals(-code)
        except ValueError:  # most real-time signals have no name
            return {"signal": str(-code)}
        cause = f"hung: {self.killed_for}" if self.killed_for else _CAUSES.get(number)
        return {"signal": number.name} | ({"cause": cause} if cause else {})


class Backoff:
    """How long to wait before a child is started again: the longer, the sooner its predecessors died."""

    def __init__(self) -> None:
        self._failures = 0

    def after(self, lived_seconds: float) -> float:
        """Seconds to wait after a child that lived so long."""
        if lived_seconds >= _STEADY_SECONDS:
            self._failures = 0
            return 0.0
        self._failures += 1
        return 0.0 if self._failures == 1 else min(_LONGEST_WAIT, 0.5 * 2.0 ** (self._failures - 2))


def interpreter() -> list[str]:
    """This interpreter with the options it was started with, but never with the current folder on its path."""
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, "-P", *(option for option in options if option != "-P")]
