"""Every search engine side by side in one run: time of one query and of a batch, memory, build, and what it misses.

One thread, pinned to a core where there are several. FAISS's flat scan is the yardstick and the truth: a query's
neighbours that an engine does not give are counted as missing. Ratios are what counts.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.random_reads import line_nanoseconds
from hashcheck_core.hash_types import HashKind, HashType
from hashcheck_core.search.engine import Neighbours
from hashcheck_core.search.multi_index.cost import expected_nanoseconds, expected_work
from hashcheck_core.search.multi_index.layout import Layout
from hashcheck_core.search.multi_index.tables import index_bytes
from hashcheck_core.search.registry import open_engine
from index_builder.table.engines import choose_engine

PAIRS = 26  # of adversarial queries, ours and FAISS's in turn; the first is not counted

Codes = NDArray[np.uint8]
Found = Callable[[Codes], list[set[int]]]  # the rows within the radius of each query


@dataclass
class Built:
    """An engine over a list: how to ask it, and what it took. `ask` answers in its own form, `rows` as sets."""

    ask: Callable[[Codes], Any]
    rows: Found
    bytes_per_hash: float
    more: dict[str, Any]


def faiss_rows(index: Any, radius: int) -> Found:
    def rows(queries: Codes) -> list[set[int]]:
        limits, _, labels = index.range_search(queries, radius + 1)
        return [set(labels[limits[i] : limits[i + 1]].tolist()) for i in range(len(queries))]

    return rows


def faiss_flat(codes: Codes, radius: int) -> Built:
    index: Any = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(codes)
    return Built(lambda q: index.range_search(q, radius + 1), faiss_rows(index, radius), codes.shape[1], {})


def faiss_multihash(codes: Codes, radius: int) -> Built:
    bits = codes.shape[1] * 8
    before = _resident()
    index: Any = faiss.IndexBinaryMultiHash(bits, bits // 16, 16)
    index.nflip = max(0, (radius + 1 + bits // 16 - 1) // (bits // 16) - 1)
    index.add(codes)
    size = (_resident() - before) / len(codes)
    more = {"parameters": f"{bits // 16} x 16 bits, nflip {index.nflip}"}
    return Built(lambda q: index.range_search(q, radius + 1), faiss_rows(index, radius), size, more)


def faiss_hnsw(codes: Codes, radius: int) -> Built:
    before = _resident()
    index: Any = faiss.IndexBinaryHNSW(codes.shape[1] * 8, 16)
    index.add(codes)
    size = (_resident() - before) / len(codes)

    def rows(queries: Codes) -> list[set[int]]:
        distances, labels = index.search(queries, 10)
        return [set(row[d <= radius].tolist()) for row, d in zip(labels, distances, strict=True)]

    return Built(lambda q: index.search(q, 10), rows, size, {"parameters": "M 16, efSearch 16, 10 nearest"})


def usearch(codes: Codes, radius: int, *, exact: bool) -> Built:
    import usearch.index as library

    before = _resident()
    index: Any = library.Index(ndim=codes.shape[1] * 8, metric="hamming", dtype="b1", expansion_search=64)
    index.add(np.arange(len(codes)), codes, threads=1)
    size = (_resident() - before) / len(codes)

    def search(queries: Codes) -> Any:
        return index.search(queries, 10, threads=1, exact=exact)

    def rows(queries: Codes) -> list[set[int]]:
        found = []
        for query in queries:
            matches = search(query)
            found.append(set(matches.keys[matches.distances <= radius].tolist()))
        return found

    return Built(search, rows, size, {"parameters": "10 nearest" + ("" if exact else ", expansion 64")})


def ours(codes: Codes, radius: int) -> Built:
    """What index_builder chooses for such a list."""
    kind = HashType("bench", codes.shape[1] * 8, HashKind.PERCEPTUAL, radius)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    spec, build = choose_engine(kind, codes)
    arrays = {"codes": codes, **build(_zeros)}
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
    engine = open_engine(spec.name, spec.parameters, arrays)

    def rows(queries: Codes) -> list[set[int]]:
        found: Neighbours = engine.search(queries, radius)
        return [set(found.of(i)[0].tolist()) for i in range(len(queries))]

    more: dict[str, Any] = {"parameters": spec.name, "peak_build_gib": round(peak / 2**20, 2)}
    size = float(codes.shape[1])
    if spec.parameters:
        layout = Layout.of_parameters(kind.bits, spec.parameters)
        size = index_bytes(layout, len(codes)) / len(codes)
        more |= model(layout, len(codes))
    return Built(lambda q: engine.search(q, radius), rows, size, more)


def model(layout: Layout, rows: int) -> dict[str, Any]:
    """The plan, what the cost model expects of it, and the floor: its cache lines at the price of a random read."""
    work = expected_work(layout, rows)
    runs = max(1, round(work.lines / work.probes))
    table, signatures = 4 * layout.table_starts[-1], 2 * rows * len(layout.widths)
    ids, codes = 3 * rows * len(layout.widths), rows * layout.bits // 8
    floor = (
        work.probes * line_nanoseconds(table, 1)
        + max(work.lines, work.probes) * line_nanoseconds(signatures, runs)
        + work.survivors * (line_nanoseconds(ids, 1) + line_nanoseconds(codes, 1))
    )
    shape = f"{len(layout.widths)} chunks, address {max(layout.address)}, radii {sorted(set(layout.radii))}"
    return {
        "parameters": f"{shape}, signature {layout.signature_bits}",
        "permuted": layout.permutation is not None,
        "probes": round(work.probes),
        "survivors": round(work.survivors, 1),
        "model_us": round(expected_nanoseconds(layout, rows) / 1000, 2),
        "floor_us": round(floor / 1000, 2),
    }


def _zeros(_: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.zeros(shape, dtype) if np.prod(shape) < 1 << 16 else _lines(shape, dtype)


def _lines(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """On whole cache lines, as a mapped file is."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


ENGINES: dict[str, tuple[Callable[[Codes, int], Built], int]] = {  # and the most rows it is asked to hold
    "hashcheck": (ours, 1 << 40),
    "faiss flat": (faiss_flat, 1 << 40),
    "faiss multihash": (faiss_multihash, 1_000_000),
    "faiss hnsw": (faiss_hnsw, 100_000),
    "usearch exact": (lambda codes, radius: usearch(codes, radius, exact=True), 100_000),
    "usearch hnsw": (lambda codes, radius: usearch(codes, radius, exact=False), 100_000),
}


def uniform(n: int, bits: int, rng: np.random.Generator) -> Codes:
    return rng.integers(0, 256, (n, bits // 8), np.uint8)


def family(n: int, bits: int, rng: np.random.Generator) -> Codes:
    """Uniform, but 1 % of the rows lie within six bits of one hash, and as many are equal as 5,000 or 5 %."""
    codes = uniform(n, bits, rng)
    kin, same = max(n // 100, 1), min(5000, n // 20)
    noise = np.zeros((kin, bits), np.uint8)
    for _ in range(6):
        noise[np.arange(kin), rng.integers(0, bits, kin)] ^= 1
    codes[:kin] = codes[0] ^ np.packbits(noise, axis=1)
    codes[kin : kin + same] = codes[-1]
    return codes[rng.permutation(n)]


def planted(codes: Codes, radius: int, count: int, rng: np.random.Generator) -> Codes:
    """Queries at every distance from 0 to radius + 1 of a listed hash."""
    bits = np.unpackbits(codes[rng.integers(0, len(codes), count)], axis=1)
    for i in range(count):
        bits[i, rng.permutation(bits.shape[1])[: i % (radius + 2)]] ^= 1
    return np.packbits(bits, axis=1)


def adversarial(codes: Codes, radius: int, rng: np.random.Generator) -> Iterator[tuple[str, Codes]]:
    """Queries meant to meet the crowded buckets of a family."""
    values, counts = np.unique(codes, axis=0, return_counts=True)
    block = values[int(np.argmax(counts))]
    sample = codes[rng.integers(0, len(codes), 2000)]
    apart = np.bitwise_count(sample[:, None] ^ sample[None, :]).sum(axis=2)
    near = (apart > 0) & (apart <= 12)
    centre = sample[int(np.argmax(near.sum(axis=1)))]
    width = codes.shape[1]
    stranger = rng.integers(0, 256, width, np.uint8)
    for name, base in (("family", centre), ("equal rows", block)):
        yield name, base
        for flips in (radius, radius + 1, 2 * radius):
            yield f"{name}, {flips} bits off", planted_at(base, flips, rng)
        yield f"half of {name}", np.where(np.arange(width) < width // 2, base, stranger)
        yield f"three quarters of {name}", np.where(np.arange(width) < width * 3 // 4, base, stranger)
        yield f"every second byte pair of {name}", np.where(np.arange(width) // 2 % 2 == 0, base, stranger)


def planted_at(code: Codes, flips: int, rng: np.random.Generator) -> Codes:
    bits = np.unpackbits(code)
    bits[rng.permutation(len(bits))[:flips]] ^= 1
    return np.packbits(bits)


def times(ask: Callable[[Codes], Any], queries: list[Codes], seconds: float) -> NDArray[np.float64]:
    """Microseconds of each call, for at least `seconds` or all queries, whichever is first."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    for query in queries:
        start = time.perf_counter()
        ask(query)
        now = time.perf_counter()
        taken.append(now - start)
        if now > end and len(taken) >= 5:
            break
    return np.array(taken) * 1e6


def measure(engine: str, codes: Codes, radius: int, data: str, options: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    start = time.perf_counter()
    built = ENGINES[engine][0](codes, radius)
    build_seconds = time.perf_counter() - start
    queries = options.queries[data](2048)
    checked = queries[:0]
    missing = 0
    if engine != "faiss flat":  # which is the truth
        checked = np.concatenate([planted(codes, radius, options.checked, rng), queries[:32]])
        truth = faiss_rows(_flat_index(codes), radius)(checked)
        missing = sum(
            not expected <= found for expected, found in zip(truth, built.rows(checked), strict=True)
        )
    times(built.ask, [query[None] for query in queries[:64]], 1.0)
    single = times(built.ask, [query[None] for query in queries], options.seconds)
    size = 256 if np.median(single) < 20_000 else 8  # a batch of a scan is but its sum
    batches = [queries[i : i + size] for i in range(0, 2048, size)] * 3
    batch = times(built.ask, batches, options.seconds) / size
    return {
        "engine": engine,
        "bits": codes.shape[1] * 8,
        "n": len(codes),
        "radius": radius,
        "data": data,
        "build_s": round(build_seconds, 2),
        "bytes_per_hash": round(built.bytes_per_hash, 1),
        "p50_us": round(float(np.median(single)), 2),
        "p99_us": round(float(np.percentile(single, 99)), 2),
        "batch256_us": round(float(np.median(batch)), 2),
        "queries_checked": len(checked),
        "queries_missing_some": missing,
        **built.more,
    }


def _flat_index(codes: Codes) -> Any:
    index: Any = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(codes)
    return index


def worst_case(codes: Codes, radius: int) -> list[dict[str, Any]]:
    """Adversarial queries: our time against FAISS's flat scan of the same query."""
    rng = np.random.default_rng(12)
    our, flat = ours(codes, radius), faiss_flat(codes, radius)
    rows = []
    for name, code in adversarial(codes, radius, rng):
        query = np.ascontiguousarray(code[None])
        pairs = [(times(our.ask, [query], 0)[0], times(flat.ask, [query], 0)[0]) for _ in range(PAIRS)]
        mine, theirs = np.median(np.array(pairs[1:]), axis=0)
        rows.append(
            {
                "query": name,
                "n": len(codes),
                "ours_us": round(float(mine), 1),
                "faiss_flat_us": round(float(theirs), 1),
                "ratio": round(float(mine / theirs), 3),
                "matches": len(our.rows(query)[0]),
                "same_answer": our.rows(query) == flat.rows(query),
            }
        )
    return rows


def cases(options: argparse.Namespace) -> Iterator[tuple[str, int, Codes]]:
    """(data, radius, list) of every case."""
    rng = np.random.default_rng(10)
    for n in options.rows:
        yield "uniform", 31, uniform(n, 256, rng)
    for n in [n for n in options.rows if 10_000 <= n <= 10_000_000]:
        yield "family", 31, family(n, 256, rng)
    for n in [n for n in options.rows if n <= 10_000_000]:
        for radius in (4, 8):
            yield "uniform", radius, uniform(n, 64, rng)
    if options.photographs:
        from benchmarks.photo_hashes import photo_hashes

        hashes = photo_hashes(options.photographs + 4096)
        options.queries["photographs"] = lambda count: hashes[-count:].copy()
        yield "photographs", 31, np.ascontiguousarray(hashes[:-4096])


def run(options: argparse.Namespace) -> dict[str, Any]:
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {os.cpu_count() - 1})  # type: ignore[operator]
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(13)
    rows: list[dict[str, Any]] = []
    worst: list[dict[str, Any]] = []
    console = Console(stderr=True)
    for data, radius, codes in cases(options):
        bits = codes.shape[1] * 8
        if data != "photographs":
            options.queries[data] = lambda count, bits=bits: uniform(count, bits, rng)
        yardstick = None
        for engine in ["faiss flat", *(name for name in options.engines if name != "faiss flat")]:
            if len(codes) > ENGINES[engine][1] or (
                data == "family" and engine not in ("hashcheck", "faiss flat")
            ):
                continue
            row = measure(engine, codes, radius, data, options)
            yardstick = yardstick or row["p50_us"]
            row["times_faster_than_faiss_flat"] = round(yardstick / row["p50_us"], 1)
            rows.append(row)
            console.log(row)
        if data == "family":
            worst += worst_case(codes, radius)
            console.log(
                {"worst ratio to the flat scan": max(one["ratio"] for one in worst if one["n"] == len(codes))}
            )
    return {"benchmark": "search", "machine": describe(), "threads": 1, "rows": rows, "adversarial": worst}


def main() -> None:
    parser = argparse.ArgumentParser(description="Every search engine side by side in one run.")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="list sizes"
    )
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument(
        "--photographs", type=int, default=0, help="also this many hashes of real photographs"
    )
    parser.add_argument("--checked", type=int, default=132, help="planted queries checked against FAISS")
    parser.add_argument("--seconds", type=float, default=2.0, help="longest time for each measurement")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file too")
    parser.add_argument("--plot", type=Path, help="write a plot of cost against list size to this file")
    options = parser.parse_args()
    options.queries = {}
    result = run(options)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        from benchmarks.plot import plot_search

        plot_search(result, options.plot)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    names = ["engine", "bits", "radius", "data", "n", "p50_us", "p99_us", "batch256_us", "bytes_per_hash"]
    names += ["queries_missing_some", "times_faster_than_faiss_flat"]
    table = Table(*names, title=result["machine"]["cpu"])
    for one in result["rows"]:
        table.add_row(*(str(one[name]) for name in names))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
