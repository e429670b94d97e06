"""MultiIndexEngine: a SearchEngine over the codes and tables of a snapshot.

It keeps for each thread and radius a small set of buffers; the index itself is only read. A query whose buckets
are too full (a family of near-duplicates, a degenerate list) or a radius far beyond the plan is answered by the
flat scan, exactly all the same.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.errors import SnapshotFormatError
from hashcheck_core.search.engine import Neighbours, check_queries
from hashcheck_core.search.multi_index import kernels as k
from hashcheck_core.search.multi_index.cost import PRICES, expected_nanoseconds, flat_picoseconds
from hashcheck_core.search.multi_index.layout import ENGINE_NAME, Layout
from hashcheck_core.search.multi_index.probes import ProbePlan, plan_probes
from hashcheck_core.search.multi_index.tables import Tables, shapes, tables_are_sound

_BLOCK: Final = 1024  # queries handed to the kernel at once
_QUERY: Final = 48  # bits below the query's number in a key
_ROOM: Final = (
    1 << 20
)  # matches a thread's buffer holds before it has to grow; pages never written take no memory

# A query may spend this share of a flat scan before it is given to one: whatever it is, it then costs about 1.1 flat
# scans, and 1.2 is promised. The rest is for what no price knows: sorting a hundred thousand matches, a cold cache.
_SHARE: Final = 0.10


@dataclass(slots=True)
class _Work:
    """One thread's buffers for one radius. `context` holds their addresses: they live as long as it does."""

    context: NDArray[np.int64]
    out: NDArray[np.int64]
    others: tuple[Any, ...]


class MultiIndexEngine:
    """Exact search over `codes`, uint8 (n, bits / 8), by the tables that `build_tables` made of them."""

    name = ENGINE_NAME

    def __init__(self, layout: Layout, codes: NDArray[np.uint8], tables: Tables) -> None:
        self.layout = layout
        self._codes = codes
        self._tables = tables
        self._table = layout.byte_table()
        self._starts = np.array(list(zip(layout.starts, layout.address, strict=True)), np.int64)
        self._plans: dict[int, ProbePlan | None] = {}
        self._threads = threading.local()

    @property
    def bits(self) -> int:
        return self.layout.bits

    @property
    def rows(self) -> int:
        return int(self._codes.shape[0])

    @property
    def planned_radius(self) -> int:
        return self.layout.radius

    @cached_property
    def seconds_per_query(self) -> float:
        return expected_nanoseconds(self.layout, self.rows) / 1e9

    def search(self, queries: NDArray[np.uint8], radius: int) -> Neighbours:
        """See SearchEngine.search. Holds no lock while it searches."""
        check_queries(queries, self.bits)
        work = self._work(radius)
        if len(queries) <= _BLOCK:
            found = k.search(work.context, queries)
            if found == 0:  # as nearly always
                scanned = int(work.context[k.SCANNED])
                if not scanned and len(queries) == 1:
                    return _NOBODY
                return Neighbours(np.zeros(len(queries) + 1, np.int64), _NO_ROWS, _NO_DISTANCES, scanned)
            return _neighbours(*self._collect(work, queries, found), len(queries))
        parts, total = [_NONE], 0
        for first in range(0, len(queries), _BLOCK):
            block = queries[first : first + _BLOCK]
            keys, scanned = self._collect(work, block, k.search(work.context, block))
            parts.append(keys + (first << _QUERY))
            total += scanned
        return _neighbours(np.concatenate(parts), total, len(queries))

    def warm(self) -> None:
        """Have every kernel compiled or loaded, and the planned radius's probes made, before the first query."""
        query = np.zeros((1, self.bits // 8), np.uint8)
        readonly = np.frombuffer(query.tobytes(), np.uint8).reshape(query.shape)
        for hashes in (query, readonly):  # to numba these are two types
            self.search(hashes, self.planned_radius)

    def _collect(self, work: _Work, queries: NDArray[np.uint8], found: int) -> tuple[NDArray[np.int64], int]:
        """Sorted keys of the block just searched, and how many of its queries were scanned flat.

        `found`: what the kernel answered. While it says that there was no room, it is given more and asked again.
        """
        while found < 0:
            work.out = np.zeros(4 * len(work.out), np.int64)
            self._set_out(work)
            found = k.search(work.context, queries)
        return np.sort(work.out[:found]), int(work.context[k.SCANNED])

    def _work(self, radius: int) -> _Work:
        known: dict[int, _Work] | None = getattr(self._threads, "work", None)
        if known is None:
            known = self._threads.work = {}
        work = known.get(radius)
        if work is None:
            work = known[radius] = self._new_work(radius)
        return work

    def _new_work(self, radius: int) -> _Work:
        layout = self.layout
        plan = self._plan(radius)
        words = -(-self.bits // 64)
        scratch = np.zeros(k.SCRATCH_SIZE, np.int64)
        permuted = np.zeros((_BLOCK, words), np.uint64)
        spent, temp = np.zeros(_BLOCK, np.int64), np.zeros(8, np.int64)
        work = _Work(
            np.zeros(k.CONTEXT_SIZE, np.int64),
            np.zeros(_ROOM, np.int64),
            (scratch, permuted, spent, temp, plan),
        )
        values = {
            k.CODES: self._codes.ctypes.data,
            k.WIDTH: self.bits // 8,
            k.WORDS: words,
            k.BITS: self.bits,
            k.SIGNATURE_BITS: layout.signature_bits,
            k.CHUNKS: len(layout.widths),
            k.STRIDE: layout.stride(self.rows),
            k.SIGNATURES: self._tables.signatures.ctypes.data,
            k.IDS: self._tables.ids.ctypes.data,
            k.BUCKETS: self._tables.buckets.ctypes.data,
            k.STARTS: self._starts.ctypes.data,
            k.BYTE_TABLE: self._table.ctypes.data,
            # Whole cache lines are scanned where lines come from memory, so that none is touched that was not
            # prefetched; in cache that only costs.
            k.ALIGN: -32 if self._tables.signatures.nbytes > PRICES.cache_bytes else -1,
            k.RADIUS: radius,
            k.SCRATCH: scratch.ctypes.data,
            k.SPENT: spent.ctypes.data,
            k.TEMP: temp.ctypes.data,
            k.ROWS: self.rows,
            k.PERMUTED: permuted.ctypes.data,
            k.PRICE_PROBE: PRICES.probe_budget,
            k.PRICE_ENTRY: PRICES.entry_budget,
            k.PRICE_SURVIVOR: PRICES.survivor_budget,
            k.PRICE_MATCH: PRICES.match_budget,
        }
        if plan is not None:
            values |= {
                k.GROUPS: plan.groups.ctypes.data,
                k.GROUP_COUNT: len(plan.groups),
                k.PROBES: plan.probes.ctypes.data,
                k.LINES: plan.lines.ctypes.data,
                k.LIMITS: plan.limits.ctypes.data,
                k.BUDGET: self._budget(plan),
            }
        for place, value in values.items():
            work.context[place] = value
        self._set_out(work)
        return work

    def _plan(self, radius: int) -> ProbePlan | None:
        """The probes for a radius; None where every query is scanned flat."""
        if radius not in self._plans:
            radii = self.layout.radii_for(radius)
            self._plans[radius] = None if radii is None else plan_probes(self.layout, radii)
        return self._plans[radius]

    def _budget(self, plan: ProbePlan) -> int:
        """Picoseconds after which a query is given to the flat scan; 0: at once.

        A share of the flat scan; for small lists more, if it is what a query over uniform rows with one match needs
        anyway and far below the flat scan still.
        """
        flat = flat_picoseconds(self.rows, self.bits)
        # A listed hash is found by every chunk.
        match = len(self.layout.widths) * (PRICES.survivor_budget + PRICES.match_budget)
        usual = plan.count * PRICES.probe_budget + plan.entries(self.rows) * PRICES.entry_budget
        if usual > flat / 3:
            return 0
        return int(max(_SHARE * flat, min(1.5 * (usual + match), 0.3 * flat)))

    def _set_out(self, work: _Work) -> None:
        work.context[k.OUT] = work.out.ctypes.data
        work.context[k.ROOM] = len(work.out)


def _neighbours(keys: NDArray[np.int64], scanned: int, queries: int) -> Neighbours:
    """From sorted keys query << 48 | distance << 32 | row."""
    if queries == 1:
        offsets = np.array((0, len(keys)), np.int64)
    else:
        offsets = np.searchsorted(keys, np.arange(queries + 1, dtype=np.int64) << _QUERY)
    return Neighbours(offsets, keys.astype(np.uint32), (keys >> 32).astype(np.uint16), scanned)


_NONE = np.empty(0, np.int64)
_NO_ROWS = np.empty(0, np.uint32)
_NO_DISTANCES = np.empty(0, np.uint16)
_NOBODY = Neighbours(np.zeros(2, np.int64), _NO_ROWS, _NO_DISTANCES)  # near one query


def open_multi_index(parameters: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> MultiIndexEngine:
    """The engine over a snapshot's arrays; raises SnapshotFormatError unless they are what its layout needs.

    Every bucket bound and row number is looked at: the kernels trust them.
    """
    codes = arrays["codes"]
    layout = Layout.of_parameters(codes.shape[1] * 8, parameters)
    wanted = shapes(layout, len(codes))
    fits = layout.holds(len(codes)) and all(
        role in arrays and arrays[role].shape == shape and arrays[role].dtype == np.dtype(dtype)
        for role, (shape, dtype) in wanted.items()
    )
    if fits:
        tables = Tables(arrays["buckets"], arrays["signatures"], arrays["ids"])
        if tables_are_sound(layout, len(codes), tables):
            engine = MultiIndexEngine(layout, codes, tables)
            engine.warm()
            return engine
    raise SnapshotFormatError(
        "The tables of the multi-index are not what its layout needs.",
        next_step="This is a fault of the builder: keep the snapshot, go on serving the last good one, report it.",
    )
