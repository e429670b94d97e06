"""What every search engine promises, and the shape of its answer.

An engine is built over plain arrays (memory-mapped as a rule), never changes them, and may be asked from
many threads at once.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The rows within the radius of each of q queries.

    offsets: int64 (q + 1,), the neighbours of query i are at offsets[i]:offsets[i + 1] of the other two;
    rows: uint32, row numbers; distances: uint16, bits. Ordered by distance, then row, within a query.
    scanned: how many of the queries an engine with a better plan had to answer by looking at every row.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.uint32]
    distances: NDArray[np.uint16]
    scanned: int = 0

    def of(self, query: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Rows and distances of one query."""
        part = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        return self.rows[part], self.distances[part]


class SearchEngine(Protocol):
    """Exact search over n codes of `bits` bits.

    `search` takes queries as uint8 (q, bits // 8), C-contiguous, and a radius in bits of 0 to `bits`; it
    answers every row at Hamming distance <= radius. It raises ValueError for a wrong shape: that is a mistake
    of the program, for hashes are checked before they get here.
    """

    @property
    def name(self) -> str: ...

    @property
    def bits(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def planned_radius(self) -> int:
        """The largest radius the engine was planned for; beyond it answers are exact too, but may cost more."""
        ...

    @property
    def seconds_per_query(self) -> float:
        """A rough estimate of one query's time, for deciding where to run a batch; not a promise."""
        ...

    def search(self, queries: NDArray[np.uint8], radius: int) -> Neighbours: ...


def check_queries(queries: NDArray[np.uint8], bits: int) -> None:
    """Raise ValueError unless `queries` is a C-contiguous uint8 array of shape (q, bits // 8)."""
    if queries.dtype != np.uint8 or queries.ndim != 2 or queries.shape[1] != bits // 8:
        raise ValueError(
            f"queries must be uint8 of shape (q, {bits // 8}), not {queries.dtype} {queries.shape}"
        )
    if not queries.flags.c_contiguous:
        raise ValueError("queries must be C-contiguous")
