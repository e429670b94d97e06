"""What a service and its zygote say to each other, and the service and one child.

Service and zygote: one message a packet. The zygote first says which layers hold, as JSON. Then it is told to fork or
to end a child, and tells of each child that ended. Service and child: the question comes in one message with the file's
descriptor, the answer goes back with its length before it.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from hashcheck_service.fence.layer import Layer

MOST_SAID: Final = 16 * 1024  # bytes of a message between service and zygote, and of a question
LENGTH: Final = struct.Struct(">I")
_ORDER: Final = struct.Struct(">cI")
_DEATH: Final = struct.Struct(">Iid")

FORK: Final = b"f"  # with the child's end of its channel
KILL: Final = b"k"


class Options(msgspec.Struct, frozen=True):
    """What a zygote is told, as JSON, in its one argument.

    `memory_bytes` and `cpu_seconds` bound each process. `task` is the module that does the work, and `given` is what
    its `prepare` gets; without a task the zygote only tries what holds. `control` is the descriptor of its channel.
    """

    memory_bytes: int
    cpu_seconds: int
    task: str | None = None
    given: str = ""
    control: int = -1


class Hello(msgspec.Struct, frozen=True):
    """The first message of a zygote: the layers of its fence, or why it could not be readied."""

    layers: Mapping[Layer, str] = {}
    failure: str = ""


class Death(NamedTuple):
    """How a child ended: `status` as os.waitstatus_to_exitcode has it, and the processor time it used."""

    child: int
    status: int
    cpu_seconds: float


NOT_FORKED: Final = 255  # the status of a child that could not be forked


def order(what: bytes, child: int) -> bytes:
    return _ORDER.pack(what, child)


def read_order(message: bytes) -> tuple[bytes, int]:
    what, child = _ORDER.unpack(message)
    return what, child


def death(one: Death) -> bytes:
    return _DEATH.pack(*one)


def read_death(message: bytes) -> Death:
    return Death(*_DEATH.unpack(message))
