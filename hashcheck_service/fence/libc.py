"""System calls that Python has no function for. A refused call raises OSError, as in `os`."""

import ctypes
import os
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make one system call; raises OSError.

    Args:
        number: its number on this processor (see `syscalls`).
        arguments: integers, and bytes or buffers whose address the kernel gets; None is the null pointer.
    """
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = _LIBC.syscall(ctypes.c_long(number), *given)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
