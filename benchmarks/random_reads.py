"""What a random read costs on this machine: the floor under any index that has to make so many of them."""

import time
from functools import cache
from typing import Any

import numpy as np

from hashcheck_core.search.multi_index.intrinsics import load64, prefetch
from hashcheck_core.search.multi_index.jit import kernel

_AHEAD = 96  # prefetch distance: shorter ones leave misses unused (6 ns a line at 32, 3 at 96)
_READS = 50_000


@kernel
def _read(data: Any, places: Any, lines: Any) -> Any:
    """Sum one word of each of `lines` lines at each place (offsets in bytes), prefetched well ahead."""
    address = np.int64(data.ctypes.data)
    total = np.int64(0)
    for i in range(len(places) - _AHEAD):
        for line in range(lines):
            prefetch(address + places[i + _AHEAD] + 64 * line)
        for line in range(lines):
            total += load64(address + places[i] + 64 * line)
    return total


@cache
def line_nanoseconds(size: int, run: int) -> float:
    """Nanoseconds a cache line, reading runs of `run` lines at random places of an array of `size` bytes."""
    size = max(size, 64 * (run + 1))
    data = np.ones(size // 8 + 8, np.uint64)
    rng = np.random.default_rng(1)
    best = []
    for _ in range(7):
        places = rng.integers(0, max(1, size // 64 - run), _READS) * 64
        start = time.perf_counter()
        _read(data, places, run)
        best.append((time.perf_counter() - start) / ((_READS - _AHEAD) * run))
    return float(np.median(best)) * 1e9
