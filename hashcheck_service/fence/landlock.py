"""Landlock without a rule: no path, no TCP port, no abstract socket and no signal to a process outside is left.

Source: linux/landlock.h and Documentation/userspace-api/landlock.rst of the kernel. The calls have the same numbers on
every processor.
"""

import struct
from typing import Final

from hashcheck_service.fence.libc import syscall
from hashcheck_service.fence.syscalls import Processor

_ASK_VERSION: Final = 1
# By the first ABI that knows them: rights on files and on TCP ports, and what is cut off besides.
_FILES: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
_PORTS: Final = {4: 0x3}
_SCOPES: Final = {6: 0x3}


def version(processor: Processor) -> int:
    """The ABI of this kernel; raises OSError where it has no Landlock, or has it switched off."""
    return syscall(processor.numbers["landlock_create_ruleset"], None, 0, _ASK_VERSION)


def restrict(processor: Processor) -> int:
    """Take all that Landlock can take from this process and all it will fork, for good.

    Needs no_new_privs. Once more in a child it also cuts that child off from its parent and its siblings.

    Returns: the ABI of the kernel.
    Raises: OSError where the kernel has no Landlock.
    """
    abi = version(processor)
    attributes = struct.pack("=QQQ", *(_known(rights, abi) for rights in (_FILES, _PORTS, _SCOPES)))
    # A kernel takes what it does not know as long as it is zero.
    ruleset = syscall(processor.numbers["landlock_create_ruleset"], attributes, len(attributes), 0)
    syscall(processor.numbers["landlock_restrict_self"], ruleset, 0)
    syscall(processor.numbers["close"], ruleset)
    return abi


def _known(rights: dict[int, int], abi: int) -> int:
    return max((mask for since, mask in rights.items() if since <= abi), default=0)
