"""A warm parent: it loads what decoding needs, raises the fence, and forks one child for each file.

It never reads a stranger's byte, so no file can change what the next one meets. A child reads one file, answers once
and ends. The service starts it (`client`) as `python -m hashcheck_service.fence.zygote OPTIONS`. It ends with the
service, however that ends, and its children end with it.

A task is a module with `prepare(given: str)`, which loads and warms all it needs and returns a function of a file's
descriptor and a question, that gives the answer.
"""

import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec

from hashcheck_service.fence import messages
from hashcheck_service.fence.layer import Layer, Layers
from hashcheck_service.fence.messages import MOST_SAID, Death, Hello, Options
from hashcheck_service.fence.raising import raise_around_child, raise_around_zygote

Look = Callable[[int, bytes], bytes]

_CHANNEL: Final = 3  # of a child; 0, 1 and 2 lead nowhere
_NICE: Final = 10  # of children: who only asks for hashes does not wait for pictures


def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    zygote = Zygote(options)
    zygote.prepare()
    os.nice(_NICE)
    zygote.serve(raise_around_zygote(options.memory_bytes))


class Zygote:
    """Made and prepared before the fence is raised, since that opens what the fence refuses."""

    def __init__(self, options: Options) -> None:
        self._look: Look | None = None
        self._options = options
        # It has the number that it had in the service. A low one, so that a child closes it with the others.
        control = os.dup(options.control)
        os.close(options.control)
        self._control = _socket(control, socket.SOCK_SEQPACKET)
        self._first: int | None = None
        self._children: dict[int, int] = {}  # by process id, the numbers the service gave them
        self._wake, write_end = os.pipe()
        os.set_blocking(write_end, False)
        os.set_blocking(self._wake, False)
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
        ):  # the service says when it is over, by closing the channel
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write_end)
        self._keeper, self._kept = socket.socketpair()

    def prepare(self) -> None:
        """Load and warm what the task needs."""
        if self._options.task is None:
            return
        try:
            self._look = importlib.import_module(self._options.task).prepare(self._options.given)
        except Exception as error:
            self._control.sendmsg(
                [msgspec.json.encode(Hello(failure=f"{type(error).__name__}: {error}"[:1000]))]
            )
            sys.exit(1)

    def serve(self, layers: Layers) -> None:
        """Say what holds, then fork as told, until the service closes the channel."""
        self._layers = layers
        gc.collect()
        gc.freeze()  # a child that collects garbage would copy what it looks at
        gc.disable()
        self._start_namespace()
        self._control.sendmsg([msgspec.json.encode(Hello(layers))])
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                    self._bury()
                elif not self._obey():
                    return

    def _start_namespace(self) -> None:
        """The first process of a process namespace takes all others of it along when it ends: it is a child that is
        never asked, and it ends when its channel does, with the zygote."""
        if not self._layers.get(Layer.PID_NAMESPACE, "-"):
            self._first = self._fork(self._kept)
        self._kept.close()

    def _obey(self) -> bool:
        """Do what the service says; false when it says no more."""
        message, descriptors, _, _ = socket.recv_fds(self._control, MOST_SAID, 1)
        if not message:
            return False
        what, number = messages.read_order(message)
        if what == messages.FORK:
            with _socket(descriptors[0]) as channel:
                self._bear(number, channel)
        else:
            for process, child in self._children.items():
                if child == number:
                    os.kill(process, signal.SIGKILL)  # it was not waited for, so the id is still its own
        return True

    def _bear(self, number: int, channel: socket.socket) -> None:
        try:
            process = self._fork(channel)
        except OSError:
            self._control.sendmsg([messages.death(Death(number, messages.NOT_FORKED, 0.0))])
        else:
            self._children[process] = number

    def _fork(self, channel: socket.socket) -> int:
        process = os.fork()
        if process == 0:
            self._live(channel)
        return process

    def _live(self, channel: socket.socket) -> NoReturn:
        """What a child does from its first moment to its last."""
        try:
            os.dup2(channel.fileno(), _CHANNEL)
            own = _socket(_CHANNEL)
            raise_around_child(_CHANNEL, self._options.cpu_seconds, self._layers)
            question, descriptors, _, _ = socket.recv_fds(own, MOST_SAID, 1)
            if descriptors and self._look is not None:
                answer = self._look(descriptors[0], question)
                rest = memoryview(messages.LENGTH.pack(len(answer)) + answer)
                while rest:
                    rest = rest[os.write(_CHANNEL, rest) :]
        except BaseException:
            os._exit(1)
        os._exit(0)

    def _bury(self) -> None:
        """Tell the service of every child that has ended."""
        while True:
            try:
                process, status, usage = os.wait3(os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process == self._first:  # the process namespace ended with it: no child can be forked any more
                sys.exit(1)
            death = Death(
                self._children.pop(process),
                os.waitstatus_to_exitcode(status),
                usage.ru_utime + usage.ru_stime,
            )
            self._control.sendmsg([messages.death(death)])


def _socket(descriptor: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """All is said of it here, for the fence refuses to ask the descriptor."""
    return socket.socket(socket.AF_UNIX, kind, 0, fileno=descriptor)


if __name__ == "__main__":
    main()
