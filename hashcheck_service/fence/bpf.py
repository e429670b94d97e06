"""An assembler for the few instructions of classic BPF that a seccomp filter needs.

Source: linux/bpf_common.h, linux/filter.h and linux/seccomp.h. It makes no system call.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_JUMPS: Final = {"=": 0x15, ">=": 0x35, "&": 0x45}  # BPF_JMP | BPF_JEQ, BPF_JGE or BPF_JSET, | BPF_K
_LONGEST_JUMP: Final = 255

# Where things lie in struct seccomp_data.
NUMBER: Final = 0
ARCHITECTURE: Final = 4


def argument(place: int) -> int:
    """Where the low 32 bits of an argument lie, on a little-endian processor."""
    return 16 + 8 * place


@dataclass(frozen=True, slots=True)
class Load:
    """Put the word at `offset` of struct seccomp_data into the accumulator."""

    offset: int


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at `label` if the accumulator compares so with `value`, else with the next line."""

    comparison: str
    value: int
    label: str


@dataclass(frozen=True, slots=True)
class Return:
    """End with this action."""

    action: int


Line = Load | Jump | Return | str
"""One line of a program; a string is a label."""


def assemble(lines: Iterable[Line]) -> bytes:
    """The program as an array of struct sock_filter.

    Raises ValueError for a label that is not ahead of its jump, or is too far ahead.
    """
    program = list(lines)
    places: dict[str, int] = {}
    instructions: list[Load | Jump | Return] = []
    for line in program:
        if isinstance(line, str):
            places[line] = len(instructions)
        else:
            instructions.append(line)
    return b"".join(_encoded(one, place, places) for place, one in enumerate(instructions))


def _encoded(one: Load | Jump | Return, place: int, places: dict[str, int]) -> bytes:
    if isinstance(one, Load):
        return struct.pack("=HBBI", _LOAD, 0, 0, one.offset)
    if isinstance(one, Return):
        return struct.pack("=HBBI", _RETURN, 0, 0, one.action)
    distance = places.get(one.label, -1) - place - 1
    if not 0 <= distance <= _LONGEST_JUMP:
        raise ValueError(f"the label {one.label!r} is not within {_LONGEST_JUMP} instructions ahead")
    return struct.pack("=HBBI", _JUMPS[one.comparison], distance, 0, one.value)
