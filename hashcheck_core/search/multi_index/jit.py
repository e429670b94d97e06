"""numba's compiler, set up so that kernels are compiled once and kept, wherever this is installed.

numba keeps compiled code beside the source or in the user's cache folder, and refuses to work where neither can
be written, as in a read-only container. Then it gets a private folder in the temporary directory, filled from
the kernels the image ships (NUMBA_CACHE_DIR), so that such a start is warm too. The folder is this process's own
(mode 0700): nobody else can put code there. With no writable place at all kernels are compiled at each start.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _find_cache() -> bool:
    """Make sure that numba has a folder it can write; False where there is none."""
    shipped = os.environ.get("NUMBA_CACHE_DIR")
    places = (
        [Path(shipped)]
        if shipped
        else [Path(__file__).parent / "__pycache__", Path.home() / ".cache" / "numba"]
    )
    if any(_writable(place) for place in places):
        return True
    try:
        private = tempfile.mkdtemp(prefix="hashcheck-kernels-")
    except OSError:
        return False
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    if shipped and Path(shipped).is_dir():
        shutil.copytree(shipped, private, dirs_exist_ok=True)
    numba.config.CACHE_DIR = private
    return True


_CACHE = _find_cache()


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code that holds no lock, once."""
    compiled: Callable[..., Any] = numba.njit(nogil=True, cache=_CACHE)(function)
    return compiled


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece of a kernel."""
    compiled: Callable[..., Any] = numba.njit(inline="always")(function)
    return compiled
