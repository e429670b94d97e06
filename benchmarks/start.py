"""How long from starting the program to ready, and what a worker holds for itself, by the size of the list."""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.machine import describe
from benchmarks.serve import service
from benchmarks.sites import site_of
from tests.support import Site


def seconds_to_ready(site: Site) -> float:
    """From the command to the first 200 of /readyz."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hashcheck_service.cli", "serve", "--port", str(port)]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--config", str(site.root / "service.toml")], stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                if (
                    httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code
                    == httpx.codes.OK
                ):
                    return time.perf_counter() - begin
            except httpx.TransportError:
                time.sleep(0.01)
    finally:
        process.terminate()
        process.wait()


def memory_mib(pid: int) -> dict[str, float]:
    """Of a process, in MiB: what is its own, and what it shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return {
        "private": round(sizes["Private_Clean"] + sizes["Private_Dirty"], 1),
        "shared": round(sizes["Shared_Clean"] + sizes["Shared_Dirty"], 1),
        "proportional": round(sizes["Pss"], 1),
    }


def measure(rows: int, times: int) -> dict[str, Any]:
    site = site_of(rows)
    found = sorted(seconds_to_ready(site) for _ in range(times))
    with service(site, 2) as server:
        memory = [memory_mib(pid) for pid in server.workers()]
    size = sum(file.stat().st_size for file in site.snapshots.rglob("*") if file.is_file())
    return {
        "listed": rows,
        "snapshot_mib": round(size / 2**20, 1),
        "seconds_to_ready": [round(one, 2) for one in found],
        "workers_mib": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Start to ready, and memory of each of two workers.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--times", type=int, default=3, help="starts of each")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    rows = [measure(rows, options.times) for rows in options.rows]
    result = {"benchmark": "start", "machine": describe(), "rows": rows}
    print(json.dumps(result, indent=2) if options.json else "\n".join(map(str, rows)))


if __name__ == "__main__":
    main()
