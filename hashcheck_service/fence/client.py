"""A zygote and its children as the service sees them, from its event loop."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_service.fence import messages
from hashcheck_service.fence.layer import Layer, Layers
from hashcheck_service.fence.messages import LENGTH, MOST_SAID, Death, Hello, Options

PROGRAM: Final = ("-P", "-m", "hashcheck_service.fence.zygote")
# What Python needs to find itself; nothing of it is left in the environment when the fence is up.
_KEPT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_START_SECONDS: Final = 60.0
_DEATH_SECONDS: Final = 5.0  # for the system to end a process, and for its zygote to tell
_LOST: Final = 254  # the status of a child whose zygote ended before it could tell

_hello = msgspec.json.Decoder(Hello)


class UselessError(Exception):
    """A child ended without an answer."""


class Child:
    """A process for one file, asked once. Whoever has it calls `end`, whatever became of it."""

    def __init__(self, zygote: "Zygote", number: int, channel: socket.socket) -> None:
        self._zygote = zygote
        self._number = number
        self._channel = channel
        self._death: asyncio.Future[Death] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        return self._death.done()

    async def death(self) -> Death:
        """How it ended. Where its zygote does not tell soon, it is as good as lost."""
        await asyncio.wait([self._death], timeout=_DEATH_SECONDS)
        return self._death.result() if self.ended else self._lost_death()

    def _lost_death(self) -> Death:
        return Death(self._number, _LOST, 0.0)

    def ask(self, file: int, question: bytes) -> None:
        """Hand a file over. If the process is dead already, `answer` says so.

        Args:
            file: an open descriptor, which stays the caller's. The process can do with it what it allows.
            question: what the task is asked, at most messages.MOST_SAID bytes.
        """
        with contextlib.suppress(OSError):
            socket.send_fds(self._channel, [question], [file])

    async def answer(self, most_bytes: int) -> bytes:
        """Wait for the answer.

        Raises: UselessError where none comes, ValueError for one of more than `most_bytes`.
        """
        try:
            (length,) = LENGTH.unpack(await self._read(LENGTH.size))
            if length > most_bytes:
                raise ValueError(f"an answer of {length} bytes")
            return await self._read(length)
        except OSError:
            raise UselessError from None

    def end(self) -> None:
        """Kill it, if it has not ended."""
        self._channel.close()
        if not self.ended:
            self._zygote.send(messages.order(messages.KILL, self._number))

    def died(self, death: Death) -> None:
        self._death.set_result(death)

    def lost(self) -> None:
        """Its zygote has ended, and it with it."""
        self.died(self._lost_death())

    async def _read(self, size: int) -> bytes:
        read = bytearray()
        while len(read) < size:
            more = await asyncio.get_running_loop().sock_recv(self._channel, size - len(read))
            if not more:
                raise UselessError
            read += more
        return bytes(read)


class Zygote:
    """A running zygote; `layers` says what holds around it. Made by `start`."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket, layers: Layers) -> None:
        self.layers = layers
        self._process = process
        self._control = control
        self._children: dict[int, Child] = {}
        self._number = 0
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._hear)

    @classmethod
    async def start(cls, options: Options, program: Sequence[str] = PROGRAM) -> Self:
        """Start one, and wait until it can fork. Raises TransportError where it does not come up."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        given = msgspec.json.encode(msgspec.structs.replace(options, control=theirs.fileno())).decode()
        with theirs:
            try:
                # It ends with the thread that starts it (privileges.die_with_parent): this one, and no helper.
                process = subprocess.Popen(  # noqa: S603  # nothing in it comes from a caller
                    [sys.executable, *program, given],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # what a decoder says may quote the file
                    pass_fds=[theirs.fileno()],
                    env={name: os.environ[name] for name in _KEPT if name in os.environ} | _ONE_THREAD,
                )
            except OSError as error:
                ours.close()
                raise _not_started(error.strerror or "refused") from None
        try:
            async with asyncio.timeout(_START_SECONDS):
                hello = _hello.decode(await asyncio.get_running_loop().sock_recv(ours, MOST_SAID))
            if hello.failure:
                raise _not_started(hello.failure)
        except BaseException as error:
            ours.close()
            process.kill()
            await asyncio.shield(asyncio.to_thread(process.wait))
            if isinstance(error, TimeoutError | msgspec.DecodeError | OSError):
                raise _not_started("it did not say that it is ready") from None
            raise
        return cls(process, ours, hello.layers)

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self) -> Child:
        """A new child. It can be asked at once; if it cannot be forked its `death` says so."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._number += 1
        child = Child(self, self._number, ours)
        with theirs:
            if self.alive:
                self._children[self._number] = child
                self.send(messages.order(messages.FORK, self._number), theirs)
            else:
                child.lost()
        return child

    def send(self, message: bytes, *sockets: socket.socket) -> None:
        """Tell it something; if it does not listen it is as good as dead, and ended."""
        if self.alive:
            try:
                socket.send_fds(self._control, [message], [one.fileno() for one in sockets])
            except OSError:
                self._end()

    async def close(self) -> None:
        """End it and all its children."""
        self._end()
        await asyncio.to_thread(self._process.wait)

    def _hear(self) -> None:
        try:
            message = self._control.recv(MOST_SAID)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._end()
            return
        try:
            death = messages.read_death(message)
            self._children.pop(death.child).died(death)
        except (struct.error, KeyError):  # it says what no zygote says
            self._end()

    def _end(self) -> None:
        if not self.alive:
            return
        self._ended.set()
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._process.kill()
        for child in self._children.values():
            child.lost()
        self._children.clear()


async def probe() -> Layers:
    """What the fence can be on this system: raised once, around a process that does nothing else."""
    if sys.platform != "linux":
        return dict.fromkeys(Layer, "not made for this system")
    zygote = await Zygote.start(Options(memory_bytes=1 << 30, cpu_seconds=1))
    await zygote.close()
    return zygote.layers


def _not_started(why: str) -> TransportError:
    return TransportError(
        f"The process that forks decoders could not be started: {why}.",
        next_step="Look at the memory and the number of processes the service may have.",
    )
