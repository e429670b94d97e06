"""Exact search on a mapped file, on sealed memory with small pages, and with huge pages: ratios in one run."""

import argparse
import hashlib
import json
import mmap
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe, spread
from benchmarks.search import uniform
from hashcheck_core.hash_types import HashKind, HashType
from hashcheck_core.search.registry import open_engine
from hashcheck_core.snapshot.manifest import FileEntry
from hashcheck_core.snapshot.sealed import map_sealed, seal, sealed_head
from index_builder.table.engines import choose_engine

_RADIUS = 31
_ROUNDS = 5
_SHMEM = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


def written(codes: NDArray[np.uint8], folder: Path) -> tuple[Any, list[FileEntry]]:
    """The engine of a list and its files."""
    spec, build = choose_engine(HashType("bench", codes.shape[1] * 8, HashKind.PERCEPTUAL, _RADIUS), codes)
    arrays = {"codes": codes, **build(lambda _, shape, dtype: np.zeros(shape, dtype))}
    entries = []
    for name, array in arrays.items():
        (folder / name).write_bytes(array.tobytes())
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        entries.append(FileEntry(name, array.nbytes, digest, array.dtype.str, array.shape))
    return spec, entries


def opened(spec: Any, entries: list[FileEntry], view: Callable[[FileEntry], Any]) -> Any:
    arrays = {entry.name: np.frombuffer(view(entry), entry.dtype).reshape(entry.shape) for entry in entries}
    return open_engine(spec.name, spec.parameters, arrays)


def mapped(folder: Path) -> Callable[[FileEntry], Any]:
    def view(entry: FileEntry) -> Any:
        with (folder / entry.name).open("rb") as file:
            return mmap.mmap(file.fileno(), entry.size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)

    return view


def sealed(descriptor: int, entries: list[FileEntry]) -> Callable[[FileEntry], Any]:
    whole = map_sealed(descriptor)
    manifest, signature = sealed_head(descriptor)
    end = 16 + len(manifest) + len(signature)
    starts = {}
    for entry in entries:
        starts[entry.name] = start = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
        end = start + entry.size
    return lambda entry: whole[starts[entry.name] : starts[entry.name] + entry.size]


def meminfo(*names: str) -> dict[str, float]:
    """GiB, by name in /proc/meminfo."""
    text = Path("/proc/meminfo").read_text()
    return {name: round(int(re.findall(rf"{name}:\s+(\d+)", text)[0]) / 2**20, 3) for name in names}


def run(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(10)
    queries = uniform(4096, 256, rng)
    memory = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        spec, entries = written(uniform(rows, 256, rng), Path(folder))
        os.sync()
        engines = {"mapped file": opened(spec, entries, mapped(Path(folder)))}
        for query in queries[:256]:
            engines["mapped file"].search(query[None], _RADIUS)
        memory["mapped"] = meminfo("Cached", "Shmem", "ShmemHugePages")
        began = time.perf_counter()
        small = seal(Path(folder), b"{}", b"", entries, huge=False)
        seconds = time.perf_counter() - began
        memory["sealed"] = meminfo("Cached", "Shmem", "ShmemHugePages")
        large = seal(Path(folder), b"{}", b"", entries)
        engines["sealed"] = opened(spec, entries, sealed(small, entries))
        engines["sealed, huge pages"] = opened(spec, entries, sealed(large, entries))
        memory["huge"] = meminfo("Cached", "Shmem", "ShmemHugePages")
        taken: dict[str, list[float]] = {name: [] for name in engines}
        for round_ in range(_ROUNDS + 1):
            for name, engine in engines.items():
                for query in queries:
                    start = time.perf_counter()
                    engine.search(query[None], _RADIUS)
                    if round_:  # the first one brings the pages in
                        taken[name].append(time.perf_counter() - start)
        size = sum(entry.size for entry in entries)
    base = float(np.median(taken["mapped file"]))
    return {
        "rows": rows,
        "mib": round(size / 2**20),
        "copy_seal_hash_seconds": round(seconds, 2),
        "shmem_enabled": _SHMEM.read_text().split("[")[1].split("]")[0],
        "search": {
            name: {**spread(one), "ratio_p50": round(float(np.median(one)) / base, 3)}
            for name, one in taken.items()
        },
        "memory_gib": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    rows = [run(rows) for rows in options.rows]
    result = {"benchmark": "served_memory", "machine": describe(), "rows": rows}
    print(json.dumps(result, indent=2) if options.json else "\n".join(map(str, rows)))


if __name__ == "__main__":
    main()
