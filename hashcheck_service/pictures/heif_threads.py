"""HEVC pictures decoded in one thread.

For each of them libheif has libde265 start a second thread, and has no option against it (1.23). Behind the fence a
process has one thread: it cannot start another, and the picture would be lost. Without threads of its own libde265
decodes in the thread that asks. So the call is taken out: libheif's table of the functions of other libraries gets, in
the place of the function that starts threads, one that does nothing.
"""

import ctypes
import mmap
import re
from pathlib import Path
from typing import Final

import numpy as np

_STARTS_THREADS: Final = "de265_start_worker_threads"
_DOES_NOTHING: Final = (
    "de265_get_version"  # takes nothing and changes nothing; what it returns is not looked at
)
_MAPPING: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r([w-])-p \S+ \S+ \S+ +\S*/libheif[^/]*$", re.M)


def decode_hevc_in_one_thread() -> bool:
    """Take the call out of the libheif that this process has loaded, once it has decoded a picture.

    Returns: whether it was found. If not, this libheif is another one, and may need nothing.
    """
    maps = Path("/proc/self/maps").read_text()
    library = re.search(r"\S*/libde265\S*", maps)
    if library is None:
        return False
    libde265 = ctypes.CDLL(library[0])
    starts_threads = ctypes.cast(libde265[_STARTS_THREADS], ctypes.c_void_p).value
    does_nothing = ctypes.cast(libde265[_DOES_NOTHING], ctypes.c_void_p).value
    assert starts_threads is not None
    assert does_nothing is not None
    found = False
    for first, end, writable in _MAPPING.findall(maps):
        start, size = int(first, 16), int(end, 16) - int(first, 16)
        words = np.ctypeslib.as_array((ctypes.c_size_t * (size // 8)).from_address(start))
        places = np.flatnonzero(words == starts_threads)
        if len(places):
            _protect(start, size, mmap.PROT_READ | mmap.PROT_WRITE)
            words[places] = does_nothing
            if not writable.startswith("w"):
                _protect(start, size, mmap.PROT_READ)
            found = True
    return found


def _protect(start: int, size: int, protection: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), protection):
        raise OSError(ctypes.get_errno(), "mprotect")
