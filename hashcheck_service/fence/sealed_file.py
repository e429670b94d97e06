"""A file in memory that nobody can change any more, to hand over by its descriptor."""

import fcntl
import os
from typing import Final

# Python 3.11 does not name these (linux/memfd.h, linux/fcntl.h).
_NOEXEC_SEAL: Final = 0x8
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_file(data: bytes) -> int:
    """A descriptor of a sealed file with these bytes; the caller closes it. Raises OSError."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        file = os.memfd_create("sealed", flags | _NOEXEC_SEAL)
    except OSError:  # before Linux 6.3
        file = os.memfd_create("sealed", flags)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(file)
        raise
    return file
