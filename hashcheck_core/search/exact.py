"""Exact types (md5, sha1, sha256): bisection in a sorted array.

The codes are sorted by their bytes and distinct, so a hash has one row or none.
"""

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.search.engine import Neighbours, check_queries


class SortedEngine:
    """Bisection over `codes`: uint8 (n, bits // 8), C-contiguous, rows ascending by bytes and distinct."""

    name = "sorted"

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        if codes.dtype != np.uint8 or codes.ndim != 2 or not codes.flags.c_contiguous:
            raise ValueError("codes must be a C-contiguous uint8 array of shape (n, bits // 8)")
        self._codes = codes
        self._keys = as_keys(codes)

    @property
    def bits(self) -> int:
        return int(self._codes.shape[1]) * 8

    @property
    def rows(self) -> int:
        return int(self._codes.shape[0])

    @property
    def planned_radius(self) -> int:
        return 0

    @property
    def seconds_per_query(self) -> float:
        return 2e-6  # two dozen comparisons, the later ones out of cache

    def search(self, queries: NDArray[np.uint8], radius: int) -> Neighbours:
        """See SearchEngine.search; the one radius of exact types is 0, another raises ValueError."""
        check_queries(queries, self.bits)
        if radius != 0:
            raise ValueError("exact hash types match at radius 0 only")
        wanted = as_keys(queries)
        found = np.searchsorted(self._keys, wanted)
        inside = found < self.rows
        hit = np.zeros(len(queries), bool)
        hit[inside] = self._keys[found[inside]] == wanted[inside]
        offsets = np.zeros(len(queries) + 1, np.int64)
        np.cumsum(hit, out=offsets[1:])
        rows = found[hit].astype(np.uint32)
        return Neighbours(offsets, rows, np.zeros(len(rows), np.uint16))


def as_keys(codes: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """View rows of bytes as numpy byte strings, which compare as memcmp does.

    numpy drops trailing NULs of a byte string when it hands one out, but compares whole fixed-width items,
    so rows of one width order and equal exactly as their bytes do.
    """
    return codes.view(f"S{codes.shape[1]}").reshape(-1)
