"""A listener that closes without losing a connection.

When a listening socket is closed, the kernel resets the connections that are established and not yet accepted, and
there may always be one more. So the kernel is first told to take no new ones; what is established is accepted; then
the socket is closed. Linux only.
"""

import contextlib
import ctypes
import socket
import struct
from typing import Final

_SO_ATTACH_FILTER: Final = 26
# A classic BPF program (linux/filter.h) that sees a segment from its TCP header on. One that opens a connection (SYN
# without ACK, byte 13) is dropped: its sender tries again a second later and is then refused. All others pass.
_DROP_OPENING: Final = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x54, 0, 0, 0x12),  # and #(SYN | ACK)
    (0x15, 0, 1, 0x02),  # jeq #SYN
    (0x06, 0, 0, 0),  # ret #0
    (0x06, 0, 0, 0xFFFFFFFF),  # ret #-1
)


def drop_new_connections(listener: socket.socket) -> None:
    """Let no further connection be established on a TCP listener, in whatever processes it is open. Where the kernel
    does not do so, a connection may be reset when the listener is closed."""
    program = b"".join(struct.pack("=HBBI", *step) for step in _DROP_OPENING)
    held = ctypes.create_string_buffer(program, len(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(_DROP_OPENING), ctypes.addressof(held)),
        )
