"""What a process may give up for itself, for good."""

import os
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from typing import Final

from hashcheck_service.fence.libc import syscall
from hashcheck_service.fence.syscalls import Processor, here

# linux/prctl.h
_SET_PDEATHSIG: Final = 1
_SET_DUMPABLE: Final = 4
_SET_NO_NEW_PRIVS: Final = 38

_CAPABILITY_VERSION: Final = 0x20080522  # linux/capability.h, version 3
_NOBODY: Final = 65534


def not_dumpable() -> None:
    """Keep other processes of this user away from this one's memory, environment and descriptors.

    For every process that holds keys or the list. Without an effect where the system has no such switch.
    """
    processor = here()
    if sys.platform == "linux" and processor is not None:
        syscall(processor.numbers["prctl"], _SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent(processor: Processor) -> None:
    """End this process when the thread that forked it ends, however that ends."""
    syscall(processor.numbers["prctl"], _SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def no_new_privileges(processor: Processor) -> None:
    """Let no program that this process starts have more rights than itself."""
    syscall(processor.numbers["prctl"], _SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become_nobody(processor: Processor) -> None:
    """Give up root, if it is root, and every capability."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    syscall(processor.numbers["capset"], header, bytes(24))


def limit(limits: Mapping[int, int]) -> None:
    """Lay limits (RLIMIT_* of `resource`) on this process and those it forks; a lower one that is there stays."""
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        lower = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (lower, lower))
