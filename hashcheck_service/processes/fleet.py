"""The children of the supervisor, and the one place where it waits: for their messages, their ends, and signals."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

import msgspec

from hashcheck_service.processes.channel import ChannelError
from hashcheck_service.processes.children import Child

_TURN_SECONDS: Final = 0.25
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Fleet:
    """All children that live.

    Args:
        on_message: called with a child, what it says, and the descriptors that came with it.
        on_end: called with a child that has ended; `child.process.returncode` says how.
    """

    def __init__(
        self, on_message: Callable[[Child, Any, list[int]], None], on_end: Callable[[Child], None]
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._selector = selectors.DefaultSelector()
        self.children: list[Child] = []

    def wake_on(self, signals: tuple[signal.Signals, ...], handler: Callable[[int, Any], None]) -> None:
        """Have `handler` called at these signals, also while waiting."""
        wake, told = socket.socketpair()
        for end in (wake, told):
            end.setblocking(False)
        signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, handler)
        self._selector.register(wake, _READ, lambda _: wake.recv(4096))

    def start(
        self,
        kind: str,
        module: str,
        arguments: Mapping[str, object],
        receives: Any,
        **more: Any,
    ) -> Child:
        """Start a child, see `Child`. It gets the lowest free number of its kind as its name."""
        taken = {child.name for child in self.children}
        name = next(name for n in count() if (name := f"{kind}-{n}") not in taken)
        given = {"name": name, **arguments}
        child = Child(kind, name, module, given, receives, **more)
        self.children.append(child)
        self._selector.register(child.channel, _READ, lambda events: self._serve(child, events))
        self._selector.register(child.pidfd, _READ, lambda _: self._bury(child))
        return child

    def say(self, child: Child, message: msgspec.Struct, descriptors: tuple[int, ...] = ()) -> None:
        """Tell a child. Where it has ended or hangs, that shows elsewhere."""
        with contextlib.suppress(ChannelError):
            child.channel.send(message, descriptors)

    def turn(self, seconds: float = _TURN_SECONDS) -> None:
        """Wait for something to happen, at most so long, and see to it. Kill what hangs."""
        for child in self.children:
            if child.channel.open:
                wanted = _READ | _WRITE if child.channel.waits else _READ
                if self._selector.get_key(child.channel).events != wanted:
                    self._selector.modify(child.channel, wanted, self._selector.get_key(child.channel).data)
        for key, events in self._selector.select(seconds):
            key.data(events)
        now = time.monotonic()
        for child in self.children:
            if reason := child.hangs(now):
                child.kill(reason)

    def end_all(self) -> None:
        """Kill whatever lives, and wait a moment for its end."""
        for child in self.children:
            child.kill()
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):  # a disk that stands still holds it
                child.process.wait(1.0)

    def _serve(self, child: Child, events: int) -> None:
        if not child.channel.open:
            return  # it was buried in this same turn
        try:
            if events & _WRITE:
                child.channel.flush()
            if events & _READ:
                self._hear(child)
        except ChannelError as error:
            self._selector.unregister(child.channel)
            child.channel.close()
            child.lost(str(error))

    def _hear(self, child: Child) -> None:
        for message, descriptors in child.channel.receive():
            child.heard()
            self._on_message(child, message, descriptors)

    def _bury(self, child: Child) -> None:
        if child.channel.open:
            with contextlib.suppress(ChannelError):
                self._hear(child)  # its last words
            self._selector.unregister(child.channel)
            child.channel.close()
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.process.wait()
        self.children.remove(child)
        self._on_end(child)
