"""A build of made-up CSV feeds of several sizes, as a process of its own: seconds, peak memory, bytes.

The feed is PDQ hashes drawn at random, one entry a row, so nothing is held or rejected; the time is from the start of
the program to a snapshot that is verified, its gates passed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe

CONFIG = """[snapshot]
expires_after = "7d"
signing_key = "keys/builder.pem"

[[feed]]
name = "benchmark"
format = "csv"
path = "feed.csv"
categories = {A = "baseline", B = "national"}
"""
_PART = 100_000


def write_rows(path: Path, rows: int) -> None:
    """A feed of `rows` rows, always the same."""
    rng = np.random.default_rng(4)
    with path.open("w") as file:
        file.write("id,type,value,quality,category\n")
        for start in range(0, rows, _PART):
            count = min(_PART, rows - start)
            text = rng.bytes(32 * count).hex()
            file.writelines(
                f"entry-{start + i},pdq,{text[64 * i : 64 * i + 64]},100,{'AB'[i & 1]}\n"
                for i in range(count)
            )


def measure(folder: Path, rows: int) -> dict[str, Any]:
    write_rows(folder / "feed.csv", rows)
    (folder / "feeds.toml").write_text(CONFIG)
    program = [sys.executable, "-m", "index_builder.cli"]
    subprocess.run([*program, "keygen", "keys/builder"], cwd=folder, check=True, capture_output=True)
    begun = time.perf_counter()
    command = [*program, "build", "--config", "feeds.toml", "--out", "snapshots"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the build of {rows} rows exited with {process.returncode}")
    [snapshot] = (folder / "snapshots").glob("0*")
    return {
        "rows": rows,
        "feed_bytes": (folder / "feed.csv").stat().st_size,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(usage.ru_maxrss / 1024),
        "snapshot_bytes": sum(file.stat().st_size for file in snapshot.iterdir()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(Path(folder), rows))
    if options.json:
        print(json.dumps({"machine": describe(), "build": results}, indent=2))
        return
    table = Table("rows", "seconds", "peak MiB", "feed MB", "snapshot MB")
    for one in results:
        megabytes = (f"{one[key] / 1e6:,.1f}" for key in ("feed_bytes", "snapshot_bytes"))
        table.add_row(f"{one['rows']:,}", str(one["seconds"]), f"{one['peak_memory_mib']:,}", *megabytes)
    Console().print(table)


if __name__ == "__main__":
    main()
