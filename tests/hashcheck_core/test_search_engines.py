"""Every engine through one module: rows and distances equal to FAISS's own IndexBinaryFlat."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcheck_core.search.exact import SortedEngine
from hashcheck_core.search.flat import FlatEngine
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


@pytest.mark.parametrize("engine_name", ["flat"])
@settings(max_examples=120, deadline=None)
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
    engine = open_engine(engine_name, {"codes": codes})
    found = engine.search(queries, radius)
    assert engine.bits == bits
    assert engine.rows == n
    for query, expected in enumerate(oracle(codes, queries, radius)):
        rows, distances = found.of(query)
        pairs = list(zip(distances.tolist(), rows.tolist(), strict=True))
        assert {(row, d) for d, row in pairs} == expected
        assert pairs == sorted(pairs)


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
