"""Every engine through one module: rows and distances equal to FAISS's own IndexBinaryFlat."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcheck_core.errors import SnapshotFormatError
from hashcheck_core.search.engine import SearchEngine
from hashcheck_core.search.exact import SortedEngine
from hashcheck_core.search.flat import FlatEngine
from hashcheck_core.search.multi_index.correlation import choose_permutation
from hashcheck_core.search.multi_index.engine import MultiIndexEngine
from hashcheck_core.search.multi_index.layout import Layout
from hashcheck_core.search.multi_index.planner import choose_layout, memory_limit
from hashcheck_core.search.multi_index.tables import build_tables, index_bytes
from hashcheck_core.search.registry import open_engine

Codes = NDArray[np.uint8]


def oracle(codes: Codes, queries: Codes, radius: int) -> list[set[tuple[int, int]]]:
    """(row, distance) of every row within the radius of each query, by FAISS's index."""
    index: Any = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    if len(codes):
        index.add(codes)
    limits, distances, rows = index.range_search(queries, radius + 1)
    return [
        {(int(rows[i]), int(distances[i])) for i in range(limits[q], limits[q + 1])}
        for q in range(len(queries))
    ]


def make_codes(kind: str, n: int, width: int, rng: np.random.Generator) -> Codes:
    codes = rng.integers(0, 256, (n, width), dtype=np.uint8)
    if kind == "clustered" and n:
        codes[:] = codes[0]
        codes[np.arange(n), rng.integers(0, width, n)] ^= rng.integers(0, 256, n, dtype=np.uint8)
    elif kind == "zeros":
        codes[:] = 0
    elif kind == "ones":
        codes[:] = 255
    elif kind == "duplicates" and n:
        codes[:] = codes[rng.integers(0, max(1, n // 8), n)]
    return codes


def make_queries(codes: Codes, radius: int, rng: np.random.Generator) -> Codes:
    """Rows turned at exactly 0, radius and radius + 1 bits, a stranger, all zeros and all ones."""
    width = codes.shape[1]
    queries = [
        np.zeros(width, np.uint8),
        np.full(width, 255, np.uint8),
        rng.integers(0, 256, width, np.uint8),
    ]
    if len(codes):
        for flips in (0, radius, min(radius + 1, width * 8)):
            bits = np.unpackbits(codes[rng.integers(0, len(codes))])
            bits[rng.permutation(width * 8)[:flips]] ^= 1
            queries.append(np.packbits(bits))
    return np.array(queries, np.uint8)


def any_layout(bits: int, radius: int, rng: np.random.Generator) -> Layout:
    """A random layout that loses nothing at `radius`: any widths, addresses, radii and order of bits."""
    fewest = radius // 4 + 1
    m = int(rng.integers(fewest, max(fewest, min(bits // 8, 40)) + 1))
    cuts = (
        np.sort(rng.choice(np.arange(1, bits // 4), m - 1, replace=False)) * 4 if m > 1 else np.array([], int)
    )
    widths = np.diff(np.concatenate([[0], cuts, [bits]])).tolist()
    address = [int(rng.integers(min(w, 3), min(w, 12) + 1)) for w in widths]
    radii = [-1] * m
    for _ in range(radius + 1):
        radii[int(rng.choice([c for c in range(m) if radii[c] < 3]))] += 1
    permutation = tuple(rng.permutation(bits).tolist()) if rng.random() < 0.7 else None
    signature_bits = int(rng.integers(8, 17))
    return Layout(bits, tuple(widths), tuple(address), tuple(radii), radius, signature_bits, permutation)


def multi_index(codes: Codes, layout: Layout) -> MultiIndexEngine:
    """Opened as a snapshot opens it: from the manifest's parameters and the arrays."""
    tables = build_tables(layout, codes)
    arrays: dict[str, Any] = {
        "codes": codes,
        "buckets": tables.buckets,
        "signatures": tables.signatures,
        "ids": tables.ids,
    }
    engine = open_engine("multi_index", layout.parameters(), arrays)
    assert isinstance(engine, MultiIndexEngine)
    return engine


def make_engine(name: str, codes: Codes, radius: int, rng: np.random.Generator) -> SearchEngine:
    if name == "flat":
        return open_engine("flat", {}, {"codes": codes})
    # Planned for some radius, asked for another: exact all the same.
    planned = max(0, radius + int(rng.integers(-3, 4))) if rng.random() < 0.3 else radius
    return multi_index(codes, any_layout(codes.shape[1] * 8, planned, rng))


def assert_equals_oracle(engine: SearchEngine, codes: Codes, queries: Codes, radius: int) -> int:
    """Rows, distances and their order equal FAISS's, for the batch and one by one; how many were scanned."""
    found = engine.search(queries, radius)
    for query, expected in enumerate(oracle(codes, queries, radius)):
        for rows, distances in (found.of(query), engine.search(queries[query : query + 1], radius).of(0)):
            pairs = list(zip(distances.tolist(), rows.tolist(), strict=True))
            assert {(row, d) for d, row in pairs} == expected
            assert len(pairs) == len(expected)
            assert pairs == sorted(pairs)
    return found.scanned


@pytest.mark.parametrize("engine_name", ["flat", "multi_index"])
@settings(max_examples=150, deadline=None)
@given(
    bits=st.sampled_from([64, 72, 96, 128, 144, 256, 320, 512]),
    n=st.sampled_from([0, 1, 2, 3, 16, 64, 257, 1024]),
    kind=st.sampled_from(["uniform", "clustered", "zeros", "ones", "duplicates"]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_perceptual_engines_find_exactly_what_faiss_finds(
    engine_name: str, bits: int, n: int, kind: str, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = make_codes(kind, n, bits // 8, rng)
    radius = round(share * bits / 3)
    queries = make_queries(codes, radius, rng)
    engine = make_engine(engine_name, codes, radius, rng)
    assert engine.bits == bits
    assert engine.rows == n
    assert_equals_oracle(engine, codes, queries, radius)


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("n", [5_000, 60_000])
def test_the_planned_layout_finds_neighbours_at_every_distance(bits: int, n: int) -> None:
    rng = np.random.default_rng(n + bits)
    codes = make_codes("uniform", n, bits // 8, rng)
    radius = {64: 4, 256: 31}[bits]
    layout = choose_layout(n, bits, radius)
    assert layout is not None
    queries = []
    for distance in range(radius + 2):
        flipped = np.unpackbits(codes[int(rng.integers(n))])
        flipped[rng.permutation(bits)[:distance]] ^= 1
        queries.append(np.packbits(flipped))
    engine = multi_index(codes, layout)
    assert_equals_oracle(engine, codes, np.array(queries), radius)


def families(n: int, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """A list that is half one family of near-equal rows and equal ones, and queries in it, beside it and far off."""
    codes = rng.integers(0, 256, (n, 32), np.uint8)
    noise = np.zeros((n // 3, 256), np.uint8)
    for _ in range(5):
        noise[np.arange(n // 3), rng.integers(0, 256, n // 3)] ^= 1
    codes[: n // 3] = codes[0] ^ np.packbits(noise, axis=1)
    codes[n // 3 : n // 2] = codes[-1]
    half = np.concatenate([codes[0, :16], rng.integers(0, 256, 16, np.uint8)])
    striped = np.where(np.arange(32) // 2 % 2 == 0, codes[0], half)
    queries = [make_queries(codes[:1], 31, rng), make_queries(codes[-1:], 31, rng), half[None], striped[None]]
    order = rng.permutation(n)
    return codes[order], np.ascontiguousarray(np.concatenate(queries).astype(np.uint8))


def test_crowded_buckets_are_bounded_by_a_flat_scan_and_stay_exact() -> None:
    rng = np.random.default_rng(5)
    codes, queries = families(80_000, rng)
    layout = choose_layout(len(codes), 256, 31)
    assert layout is not None
    engine = multi_index(codes, layout)
    scanned = assert_equals_oracle(engine, codes, queries, 31)
    assert 0 < scanned < len(queries)


def test_a_query_its_matches_abandoned_stays_abandoned() -> None:
    """One long bucket: first rows that match, sparse enough that their price is known only when they are compared,
    then rows that only look near. What follows must not bring the query back without the matches passed over; no
    other chunk finds those."""
    rng = np.random.default_rng(10)
    layout = Layout(256, (16,) * 16, (16,) * 16, (1,) * 16, 31, 16)
    codes = rng.integers(0, 256, (400_000, 32), np.uint8)
    query = rng.integers(0, 256, 32, np.uint8)
    codes[:40_000, :2] = query[:2]  # the first chunk's address: all in one bucket
    codes[:10_000:32] = query
    codes[:10_000:32, 2:] ^= np.uint8(1) << rng.integers(
        0, 8, (313, 30), np.uint8
    )  # two bits off in each other chunk
    codes[10_000:40_000:64, :4] = query[:4]  # address and signature, and nothing more
    engine, queries = multi_index(codes, layout), query[None]
    assert len(FlatEngine(codes).search(queries, 31).rows) == 313
    assert assert_equals_oracle(engine, codes, queries, 31) == 1


def test_a_batch_of_many_crowded_queries_among_others_is_exact() -> None:
    """Crowded tasks follow each other in the pipeline, blocks fill up, and the answer outgrows its buffer."""
    rng = np.random.default_rng(6)
    codes, some = families(9_000, rng)
    queries = np.concatenate(
        [some[rng.integers(0, len(some), 1300)], rng.integers(0, 256, (1300, 32), np.uint8)]
    )
    queries = np.ascontiguousarray(queries[rng.permutation(len(queries))])
    layout = choose_layout(len(codes), 256, 31)
    assert layout is not None
    found, expected = multi_index(codes, layout).search(queries, 31), FlatEngine(codes).search(queries, 31)
    assert np.array_equal(found.offsets, expected.offsets)
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.distances, expected.distances)


def test_a_radius_beyond_the_plan_is_answered_exactly() -> None:
    rng = np.random.default_rng(7)
    codes = make_codes("uniform", 20_000, 32, rng)
    layout = choose_layout(len(codes), 256, 31)
    assert layout is not None
    engine = multi_index(codes, layout)
    assert engine.planned_radius == 31
    for radius in (32, 40, 64, 200):
        assert_equals_oracle(engine, codes, make_queries(codes, radius, rng), radius)


def test_many_threads_may_ask_one_engine() -> None:
    rng = np.random.default_rng(8)
    codes, some = families(20_000, rng)
    layout = choose_layout(len(codes), 256, 31)
    assert layout is not None
    engine, flat = multi_index(codes, layout), FlatEngine(codes)
    batches = [some[rng.integers(0, len(some), 20)] for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: engine.search(batch, 31), batches))
    for batch, answer in zip(batches, answers, strict=True):
        assert np.array_equal(answer.rows, flat.search(batch, 31).rows)


def test_correlated_bits_are_spread_and_independent_ones_left_in_place() -> None:
    rng = np.random.default_rng(9)
    layout = choose_layout(100_000, 256, 31)
    assert layout is not None
    assert choose_permutation(rng.integers(0, 256, (5000, 32), np.uint8), layout) is None
    field = rng.standard_normal((5000, 256))
    for bit in range(1, 256):
        field[:, bit] = 0.7 * field[:, bit - 1] + 0.71 * field[:, bit]
    codes = np.packbits(field > 0, axis=1)
    permutation = choose_permutation(codes, layout)
    assert permutation is not None
    assert sorted(permutation) == list(range(256))
    chunks = np.split(np.array(permutation), np.cumsum(layout.widths)[:-1])
    neighbours = sum(int((np.abs(np.diff(np.sort(chunk))) <= 1).sum()) for chunk in chunks)
    assert neighbours < 10
    engine = multi_index(codes, replace(layout, permutation=permutation))
    assert_equals_oracle(engine, codes, make_queries(codes, 31, rng), 31)


def test_plans_keep_to_their_memory_and_small_lists_are_scanned() -> None:
    assert choose_layout(100, 256, 31) is None
    for n, limit in ((1_000_000, 125 + 4), (10_000_000, 125.4), (131_000_000, 90.0)):
        layout = choose_layout(n, 256, 31)
        assert layout is not None
        assert layout.holds(n)
        assert index_bytes(layout, n) / n <= limit
        assert memory_limit(n) <= 125


PLANNED = choose_layout(20_000, 256, 31)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_hostile_parameters_are_refused(data: st.DataObject) -> None:
    assert PLANNED is not None
    parameters = PLANNED.parameters()
    key = data.draw(st.sampled_from(sorted(parameters)))
    hostile = st.one_of(
        st.none(), st.integers(), st.text(), st.lists(st.integers(-5, 300), max_size=300), st.floats()
    )
    parameters[key] = data.draw(hostile)
    try:
        read = Layout.of_parameters(256, parameters)
    except SnapshotFormatError:
        return
    assert sum(read.widths) == 256
    assert sum(t + 1 for t in read.radii) == read.radius + 1


def test_tables_are_the_same_however_many_keys_are_made_at_once() -> None:
    codes = make_codes("clustered", 3000, 32, np.random.default_rng(8))
    layout = any_layout(256, 31, np.random.default_rng(8))
    whole, in_parts = build_tables(layout, codes), build_tables(layout, codes, keys_at_once=700)
    for role in ("buckets", "signatures", "ids"):
        assert np.array_equal(getattr(whole, role), getattr(in_parts, role))


def test_tables_out_of_range_are_refused() -> None:
    codes = make_codes("uniform", 3000, 32, np.random.default_rng(3))
    layout = choose_layout(100_000, 256, 31)
    assert layout is not None
    for role, spoil in (("buckets", 7), ("ids", 100), ("buckets", -1), ("signatures", None)):
        tables = build_tables(layout, codes)
        arrays: dict[str, Any] = {
            "codes": codes,
            "buckets": tables.buckets,
            "signatures": tables.signatures,
            "ids": tables.ids,
        }
        if spoil is None:
            arrays[role] = arrays[role][:, :-1]
        else:
            arrays[role].reshape(-1)[spoil if spoil >= 0 else layout.table_starts[1] - 16 :][:3] = 255
        with pytest.raises(SnapshotFormatError):
            open_engine("multi_index", layout.parameters(), arrays)


def test_flat_over_a_mapped_read_only_file(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 256, (5000, 32), np.uint8)
    codes.tofile(tmp_path / "codes.bin")
    mapped = np.memmap(tmp_path / "codes.bin", np.uint8, "r").reshape(-1, 32)
    rows, distances = FlatEngine(mapped).search(codes[77:78], 31).of(0)
    assert (rows.tolist(), distances.tolist()) == ([77], [0])


def test_reference_needles_have_250_pairs_within_31(pdq_reference: Path) -> None:
    def load(name: str) -> Codes:
        lines = (pdq_reference / name).read_text().split()
        return np.frombuffer(b"".join(map(bytes.fromhex, lines)), np.uint8).reshape(-1, 32)

    haystack, needles = load("haystack.txt"), load("needles.txt")
    engine = FlatEngine(haystack)
    assert {r: len(engine.search(needles, r).rows) for r in (0, 15, 31, 47, 63)} == {
        0: 50,
        15: 151,
        31: 250,
        47: 287,
        63: 352,
    }


@settings(max_examples=100, deadline=None)
@given(
    width=st.sampled_from([16, 20, 32, 64]),
    n=st.integers(0, 300),
    trailing=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_sorted_finds_a_value_exactly_where_it_is(width: int, n: int, trailing: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, (n, width), dtype=np.uint8)
    if trailing:
        codes[:, 1:] = 0  # bytes that numpy's string type would strip
    values = sorted({row.tobytes() for row in codes})
    table = np.frombuffer(b"".join(values), np.uint8).reshape(-1, width)
    strangers = rng.integers(0, 256, (20, width), dtype=np.uint8)
    queries = np.concatenate([table, strangers, np.zeros((1, width), np.uint8)])
    found = SortedEngine(table).search(queries, 0)
    for place, query in enumerate(queries):
        expected = [values.index(query.tobytes())] if query.tobytes() in values else []
        assert found.of(place)[0].tolist() == expected


def test_wrong_shapes_are_a_mistake_of_the_program() -> None:
    flat = FlatEngine(np.zeros((4, 32), np.uint8))
    with pytest.raises(ValueError, match="queries"):
        flat.search(np.zeros((1, 16), np.uint8), 3)
    with pytest.raises(ValueError, match="contiguous"):
        flat.search(np.zeros((2, 64), np.uint8)[:, ::2], 3)
    with pytest.raises(ValueError, match="radius 0"):
        SortedEngine(np.zeros((1, 16), np.uint8)).search(np.zeros((1, 16), np.uint8), 1)
    with pytest.raises(ValueError, match="codes"):
        FlatEngine(np.zeros(4, np.uint8))


@pytest.mark.parametrize("rows", [100_000, 200_000])
def test_a_listed_hash_is_found_without_a_scan_of_the_whole_list(rows: int) -> None:
    """Every chunk finds it, and on a list of this size that was more than the query might cost."""
    codes = np.random.default_rng(7).integers(0, 256, (rows, 32), dtype=np.uint8)
    layout = choose_layout(rows, 256, 31)
    assert layout is not None
    engine = MultiIndexEngine(layout, codes, build_tables(layout, codes))
    assert assert_equals_oracle(engine, codes, codes[:40], 31) == 0
