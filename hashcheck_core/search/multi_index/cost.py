"""What a search costs, in a few prices: to choose a plan, and to know when a query is better scanned flat.

The prices were fitted on one kind of machine (2 cores of an AMD EPYC 9005 with AVX-512) and rank plans; they do
not predict times elsewhere. `scripts/bench search` prints model beside measurement.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

from hashcheck_core.search.multi_index.layout import Layout


@dataclass(frozen=True, slots=True)
class Prices:
    """Nanoseconds, but the four of the budget, which are picoseconds and meant to be no less than the truth.

    `*_memory` is added where the array is larger than `cache_bytes`.
    """

    call: float = 1000.0
    probe: float = 7.65
    probe_memory: float = 8.1
    line: float = 0.05  # a cache line of signatures scanned
    line_memory: float = 3.65
    entry: float = 0.002
    survivor: float = 11.4
    flat_byte: float = 0.95 / 32
    flat_byte_in_cache: float = 0.5 / 32
    flat_call: float = 2000.0
    cache_bytes: float = 8e6
    probe_budget: int = 8_000
    entry_budget: int = 40
    survivor_budget: int = 25_000
    match_budget: int = 250_000


PRICES: Final = Prices()


def flat_picoseconds(rows: int, bits: int) -> float:
    """The flat scan of one query."""
    size = rows * bits / 8
    return 1000 * size * (PRICES.flat_byte if size > 2 * PRICES.cache_bytes else PRICES.flat_byte_in_cache)


def flat_nanoseconds(rows: int, bits: int) -> float:
    """One query by the flat engine, call and all."""
    return PRICES.flat_call + flat_picoseconds(rows, bits) / 1000


@dataclass(frozen=True, slots=True)
class Work:
    """What one query over uniform rows is expected to touch."""

    probes: float
    lines: float
    entries: float
    survivors: float


def expected_work(layout: Layout, rows: int) -> Work:
    """At the planned radius."""
    thresholds = layout.thresholds(layout.radii)
    probes = lines = entries = survivors = 0.0
    for address, radius, threshold in zip(layout.address, layout.radii, thresholds, strict=True):
        in_bucket = rows / 2.0**address
        for turned in range(radius + 1):
            buckets = math.comb(address, turned)
            probes += buckets
            lines += buckets * in_bucket * 2 / 64
            entries += buckets * in_bucket
            survivors += buckets * in_bucket * _share_within(threshold - turned, layout.signature_bits)
    return Work(probes, lines, entries, survivors)


def expected_nanoseconds(layout: Layout, rows: int) -> float:
    """The cost model: one query over uniform rows at the planned radius."""
    work = expected_work(layout, rows)
    bounds = _in_memory(4.0 * layout.table_starts[-1])
    signatures = _in_memory(2.0 * rows * len(layout.widths))
    return (
        PRICES.call
        + work.probes * (PRICES.probe + bounds * PRICES.probe_memory)
        + work.lines * (PRICES.line + signatures * PRICES.line_memory)
        + work.entries * PRICES.entry
        + work.survivors * PRICES.survivor
    )


def _in_memory(size: float) -> float:
    """How much of an array's reads go to memory rather than cache; smooth, for a plan must not hang on a byte."""
    return size / (size + PRICES.cache_bytes)


@cache
def _share_within(distance: int, bits: int) -> float:
    """The share of uniform `bits`-bit values within `distance` of one of them."""
    return sum(math.comb(bits, k) for k in range(distance + 1)) / 2.0**bits
