"""Messages and descriptors between two processes of the service, over a socket pair.

The socket keeps the bounds of packets (SOCK_SEQPACKET). A long message goes in several packets. `send` never blocks:
what the other side is too slow to take waits in memory, up to a bound. The receiver decodes strictly, by the type it
was given: the supervisor believes no more of a worker than its messages can say.
"""

import array
import contextlib
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

PACKET_BYTES: Final = 32 * 1024
_MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
_MAX_WAITING_PACKETS: Final = 4096  # a side that lets so many wait hangs
_MAX_PACKETS_AT_ONCE: Final = 1024  # received in one call: who sends without end must not hold up the others
_MAX_DESCRIPTORS: Final = 16
_LAST, _MORE = b"\0", b"\1"

T = TypeVar("T")


class ChannelError(Exception):
    """The other side has ended, hangs, or says what is no message."""


class Channel(Generic[T]):
    """One end. `receives` is the type of the messages that come in."""

    def __init__(self, end: socket.socket, receives: Any, *, take_descriptors: bool = False) -> None:
        end.setblocking(False)
        self._socket = end
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(receives)
        self._encoder = msgspec.msgpack.Encoder()
        self._descriptors_allowed = _MAX_DESCRIPTORS if take_descriptors else 0
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._parts: list[bytes] = []
        self._part_bytes = 0
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def open(self) -> bool:
        return self._socket.fileno() >= 0

    @property
    def waits(self) -> bool:
        """Whether something is still to be sent: call `flush` when the socket can be written to."""
        return bool(self._waiting)

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and copies of `descriptors` with it. Never blocks; raises ChannelError."""
        if len(self._waiting) >= _MAX_WAITING_PACKETS:
            raise ChannelError("The other side takes no messages.")
        data = self._encoder.encode(message)
        starts = range(0, len(data), PACKET_BYTES)
        for start in starts:
            flag = _LAST if start == starts[-1] else _MORE
            given = [os.dup(one) for one in descriptors] if start == 0 else []
            self._waiting.append((flag + data[start : start + PACKET_BYTES], given))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the other side takes it; raises ChannelError."""
        while self._waiting:
            packet, descriptors = self._waiting[0]
            try:
                socket.send_fds(self._socket, [packet], descriptors)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise ChannelError("The other side has ended.") from error
            self._waiting.popleft()
            for descriptor in descriptors:
                os.close(descriptor)

    def receive(self) -> list[tuple[T, list[int]]]:
        """The messages that are here, each with its descriptors (the caller's to close); raises ChannelError."""
        found: list[tuple[T, list[int]]] = []
        for _ in range(_MAX_PACKETS_AT_ONCE):
            try:
                packet, descriptors = self._receive_packet()
            except (BlockingIOError, InterruptedError):
                return found
            except OSError as error:
                raise ChannelError("The other side has ended.") from error
            self._descriptors += descriptors
            if not packet:
                if found:
                    return found  # the end shows again at the next call
                raise ChannelError("The other side has ended.")
            self._parts.append(packet[1:])
            self._part_bytes += len(packet)
            if self._part_bytes > _MAX_MESSAGE_BYTES:
                raise ChannelError("The other side sends too long a message.")
            if packet[:1] == _LAST:
                found.append((self._decode(b"".join(self._parts)), self._descriptors))
                self._parts, self._part_bytes, self._descriptors = [], 0, []
        return found

    def _receive_packet(self) -> tuple[bytes, list[int]]:
        """One packet and its descriptors. socket.recv_fds would leave them open in programs that are started."""
        descriptors = array.array("i")
        room = socket.CMSG_SPACE(self._descriptors_allowed * descriptors.itemsize)
        packet, told, _, _ = self._socket.recvmsg(
            PACKET_BYTES + 1, room if self._descriptors_allowed else 0, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in told:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        return packet, list(descriptors)

    def _decode(self, data: bytes) -> T:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ChannelError("The other side sends what is no message.") from error

    def close(self) -> None:
        for _, descriptors in self._waiting:
            self._descriptors += descriptors
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._waiting.clear()
        self._descriptors = []
        self._socket.close()
