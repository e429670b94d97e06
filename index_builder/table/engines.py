"""Which engine serves the hashes of a type, and its plan: chosen from their number and from the hashes themselves."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.hash_types import HashKind, HashType
from hashcheck_core.search.engine import SearchEngine
from hashcheck_core.search.exact import SortedEngine
from hashcheck_core.search.flat import FlatEngine
from hashcheck_core.search.multi_index.correlation import SAMPLE_ROWS, choose_permutation
from hashcheck_core.search.multi_index.cost import expected_nanoseconds
from hashcheck_core.search.multi_index.engine import MultiIndexEngine
from hashcheck_core.search.multi_index.layout import Layout
from hashcheck_core.search.multi_index.planner import choose_layout
from hashcheck_core.search.multi_index.tables import build_tables, index_bytes
from hashcheck_core.search.registry import open_engine
from hashcheck_core.snapshot.manifest import EngineSpec
from hashcheck_core.snapshot.writer import Allocate

_TABLES_PAY = (
    20_000_000_000  # comparisons; about as long as it takes to build the tables of ten million hashes
)

TableBuilder = Callable[[Allocate], Mapping[str, NDArray[Any]]]


def choose_engine(
    hash_type: HashType, codes: NDArray[np.uint8], on_step: Callable[[str], None] = lambda _: None
) -> tuple[EngineSpec, TableBuilder]:
    """The engine for `codes`, uint8 (n, bits / 8), distinct and ascending, and what builds its tables.

    `on_step` hears how far the tables are.

    Exact types are bisected. Perceptual ones get the multi-index that the cost model likes best for their radius, or
    the flat scan where there are too few for a table to pay.
    """
    if hash_type.kind is HashKind.EXACT:
        return EngineSpec(SortedEngine.name), _no_tables
    layout = choose_layout(len(codes), hash_type.bits, hash_type.radius)
    if layout is None:
        return EngineSpec(FlatEngine.name), _no_tables
    sample = codes[np.linspace(0, len(codes) - 1, min(len(codes), SAMPLE_ROWS)).astype(np.int64)]
    layout = replace(layout, permutation=choose_permutation(sample, layout))

    def build(allocate: Allocate) -> Mapping[str, NDArray[Any]]:
        def on_chunk(done: int, of: int) -> None:
            on_step(f"{hash_type.name}: table {done} of {of}")

        tables = build_tables(layout, codes, allocate=allocate, on_chunk=on_chunk)
        return {"buckets": tables.buckets, "signatures": tables.signatures, "ids": tables.ids}

    return EngineSpec(MultiIndexEngine.name, layout.parameters()), build


def engine_for(hash_type: HashType, codes: NDArray[np.uint8], queries: int) -> SearchEngine:
    """An engine over `codes` (distinct, ascending) in memory, for about so many queries: tables where they pay."""
    if hash_type.kind is HashKind.EXACT:
        return SortedEngine(codes)
    if len(codes) * queries < _TABLES_PAY:
        return FlatEngine(codes)
    spec, build = choose_engine(hash_type, codes)
    tables = build(lambda _, shape, dtype: np.zeros(shape, dtype))
    return open_engine(spec.name, spec.parameters, {"codes": codes, **tables})


def describe_plan(hash_type: HashType, engine: EngineSpec, rows: int) -> str:
    """One line about an engine: what it is, and what it takes and is expected to cost."""
    if engine.name == SortedEngine.name:
        return "bisection in a sorted array"
    if engine.name == FlatEngine.name:
        return "flat scan: too few for tables to pay"
    layout = Layout.of_parameters(hash_type.bits, engine.parameters)
    cost = expected_nanoseconds(layout, rows) / 1000
    return (
        f"multi-index for radius {layout.radius}: {len(layout.widths)} chunks addressed by up to "
        f"{max(layout.address)} bits{'' if layout.permutation is None else ', bits spread by correlation'}; "
        f"{index_bytes(layout, rows) / rows:.0f} bytes a hash, about {cost:.0f} µs a query by the model"
    )


def _no_tables(_: Allocate) -> Mapping[str, NDArray[Any]]:
    return {}
