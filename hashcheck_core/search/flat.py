"""Exact search by looking at every row: FAISS's flat Hamming scan over a plain array.

FAISS's `IndexBinaryFlat.range_search` is one call of `hamming_range_search` on the index's own copy of the
codes. Calling that function on our array gives the same answer from the same machine code, and leaves the
file a plain array that every engine, and numpy, can map. See docs/adr/0003-flat-search.md.
"""

import logging
from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.search.engine import Neighbours, check_queries


@cache
def _faiss() -> ModuleType:
    """FAISS, loaded when the first engine is made: commands that search nothing need not wait for it."""
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells how it was loaded
    import faiss

    # One query uses one thread: the service gets its parallelism from workers and requests. FAISS's default, one
    # thread a core for every call, has them fight.
    faiss.omp_set_num_threads(1)
    return faiss


class FlatEngine:
    """Looks at all n rows for every query. `codes`: uint8 (n, bits // 8), C-contiguous, read only."""

    name = "flat"

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        if codes.dtype != np.uint8 or codes.ndim != 2 or not codes.flags.c_contiguous:
            raise ValueError("codes must be a C-contiguous uint8 array of shape (n, bits // 8)")
        self._codes = codes
        self._faiss = _faiss()

    @property
    def bits(self) -> int:
        return int(self._codes.shape[1]) * 8

    @property
    def rows(self) -> int:
        return int(self._codes.shape[0])

    @property
    def planned_radius(self) -> int:
        return self.bits

    @property
    def seconds_per_query(self) -> float:
        return self.rows * self.bits / 8 / 30e9  # a core reads codes at about 30 GB/s

    def search(self, queries: NDArray[np.uint8], radius: int) -> Neighbours:
        """See SearchEngine.search. The call holds no lock: FAISS releases the GIL."""
        check_queries(queries, self.bits)
        faiss = self._faiss
        result = faiss.RangeSearchResult(len(queries))
        if self.rows and len(queries):
            # FAISS answers distances below its radius, the field counts distances up to it.
            faiss.hamming_range_search(
                faiss.swig_ptr(queries),
                faiss.swig_ptr(self._codes),
                len(queries),
                self.rows,
                radius + 1,
                self.bits // 8,
                result,
            )
        offsets = faiss.rev_swig_ptr(result.lims, len(queries) + 1).astype(np.int64)
        total = int(offsets[-1])
        if total == 0:
            return Neighbours(offsets, np.empty(0, np.uint32), np.empty(0, np.uint16))
        rows = faiss.rev_swig_ptr(result.labels, total).astype(np.uint32)
        distances = faiss.rev_swig_ptr(result.distances, total).astype(np.uint16)
        query_of = np.repeat(np.arange(len(queries)), np.diff(offsets))
        order = np.lexsort((rows, distances, query_of))
        return Neighbours(offsets, rows[order], distances[order])
