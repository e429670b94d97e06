"""A build of made-up CSV feeds of several sizes, as a process of its own: seconds, memory, disk, and each step's share.

The feed is PDQ hashes drawn at random, one entry a row, so nothing is held or rejected; the time is from the start of
the program to a snapshot that is verified, its gates passed. A hundred million rows take 20 GB of disk meanwhile, and
`--folder` says where.

Two peaks of memory are told: all that was resident, as the system counts it, and the part that is the program's own.
The rest is mapped files, which the kernel takes back when it needs room.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

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
_LOOK_EVERY = 0.2  # seconds
# The first words that a build tells of each step; it begins by reading.
STEPS: Final = {
    "sorting": "sorting",
    "gate complete": "gates",
    "wrote": "writing",
    "verifying": "verifying and last gates",
}


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


class _Watch:
    """Looks at a running build now and then: its own memory, and the room it takes on disk."""

    def __init__(self, process: int, folder: Path) -> None:
        self.own_kib = self.disk = 0
        self._status = Path(f"/proc/{process}/status")
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            with suppress(OSError, StopIteration):
                lines = self._status.read_text().splitlines()
                own = next(line for line in lines if line.startswith("RssAnon:"))
                self.own_kib = max(self.own_kib, int(own.split()[1]))
            with suppress(OSError):  # files come and go
                files = [path.stat() for path in self._folder.rglob("*")]
                self.disk = max(self.disk, sum(file.st_blocks * 512 for file in files))

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def measure(folder: Path, rows: int) -> dict[str, Any]:
    write_rows(folder / "feed.csv", rows)
    (folder / "feeds.toml").write_text(CONFIG)
    program = [sys.executable, "-m", "index_builder.cli"]
    subprocess.run([*program, "keygen", "keys/builder"], cwd=folder, check=True, capture_output=True)
    begun = time.perf_counter()
    command = [*program, "build", "--config", "feeds.toml", "--out", "snapshots"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    watch = _Watch(process.pid, folder / "snapshots")
    steps: dict[str, float] = {"reading": begun}
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            step = next((name for words, name in STEPS.items() if line.startswith(words)), None)
            if step is not None:
                steps.setdefault(step, time.perf_counter())
    _, status, usage = os.wait4(process.pid, 0)
    ended = time.perf_counter()
    watch.end()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the build of {rows} rows exited with {process.returncode}")
    [snapshot] = (folder / "snapshots").glob("0*")
    bounds = [*steps.values(), ended]
    return {
        "rows": rows,
        "feed_bytes": (folder / "feed.csv").stat().st_size,
        "seconds": round(ended - begun, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_mib": round(usage.ru_maxrss / 1024),
        "peak_own_memory_mib": round(watch.own_kib / 1024),
        "peak_disk_bytes": watch.disk,
        "snapshot_bytes": sum(file.stat().st_size for file in snapshot.iterdir()),
        "steps": {name: round(bounds[i + 1] - bounds[i], 2) for i, name in enumerate(steps)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, help="where feeds and snapshots are made; default: TMPDIR")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results.append(measure(Path(folder), rows))
    if options.json:
        print(json.dumps({"machine": describe(), "build": results}, indent=2))
        return
    table = Table("rows", "seconds", "CPU s", "peak MiB", "own MiB", "feed MB", "disk MB", "snapshot MB")
    for one in results:
        megabytes = (f"{one[key] / 1e6:,.1f}" for key in ("feed_bytes", "peak_disk_bytes", "snapshot_bytes"))
        numbers = (f"{one[key]:,}" for key in ("rows", "seconds", "cpu_seconds"))
        memory = (f"{one[key]:,}" for key in ("peak_memory_mib", "peak_own_memory_mib"))
        table.add_row(*numbers, *memory, *megabytes)
    Console().print(table)
    for one in results:
        Console().print(
            f"{one['rows']:,} rows: " + ", ".join(f"{name} {s} s" for name, s in one["steps"].items())
        )


if __name__ == "__main__":
    main()
