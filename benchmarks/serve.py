"""Checks per second and latency of one worker over loopback, beside a constant answer of the same server.

The load generator and the server are pinned to different cores where there are two. Ratios are what counts:
absolute rates on a shared machine prove nothing.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load import Load, closed_loop, request
from benchmarks.machine import describe, spread
from tests.support import Site, done, serving


def make_site(folder: Path, rows: int) -> Site:
    """A published list of `rows` uniform random PDQ hashes."""
    site = Site(folder)
    done("index_builder", "keygen", folder / "keys" / "builder")
    codes = np.random.default_rng(1).integers(0, 256, (rows, 32), np.uint8)
    lines = (f"pdq {bytes(code).hex()}\n" for code in codes)
    (folder / "list.txt").write_text("".join(lines))
    (folder / "feeds.toml").write_text(
        '[snapshot]\nexpires_after = "7d"\nsigning_key = "keys/builder.pem"\n'
        '[[feed]]\nname = "bench"\nformat = "lines"\npath = "list.txt"\ncategory = "baseline"\n'
    )
    site.write_settings()
    site.publish(site.build())
    return site


def check_requests(key: str, batch: int, count: int = 500) -> list[bytes]:
    """Requests of `batch` items with one random PDQ hash each: hashes no list holds."""
    codes = np.random.default_rng(2).integers(0, 256, (count, batch, 32), np.uint8)
    return [
        request("/v1/check", json.dumps({"items": [item(bytes(code)) for code in codes[i]]}).encode(), key)
        for i in range(count)
    ]


def item(code: bytes) -> dict[str, Any]:
    return {"ref": "r", "hashes": [{"type": "pdq", "value": code.hex(), "quality": 100}]}


@contextmanager
def constant_server(port: int) -> Iterator[None]:
    """uvicorn with an app that answers a constant, on the core the service is measured on."""
    command = [sys.executable, "-m", "uvicorn", "benchmarks.constant_app:app", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "--no-access-log"], stderr=subprocess.DEVNULL
    )
    pin(process.pid, 0)
    try:
        uvloop.run(wait_for_port(port))
        yield
    finally:
        process.terminate()
        process.wait()


async def wait_for_port(port: int) -> None:
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens on port {port}")


def pin(pid: int, core: int) -> None:
    """Keep a process to one core where there are several."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def measure(port: int, requests: list[bytes], options: argparse.Namespace) -> Load:
    return uvloop.run(closed_loop(port, requests, options.connections, options.seconds))


def run(options: argparse.Namespace) -> dict[str, Any]:
    pin(0, 1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder), options.rows)
        with constant_server(8799):
            yardstick = measure(8799, check_requests("x", 1), options)
        rows.append(row("constant answer", 1, yardstick, yardstick))
        with serving(site) as server:
            pin(server.process.pid, 0)
            port = int(server.url.rpartition(":")[2])
            for batch in options.batches:
                load = measure(port, check_requests(server.key, batch), options)
                rows.append(row("POST /v1/check", batch, load, yardstick))
    return {
        "benchmark": "serve",
        "machine": describe(),
        "listed": options.rows,
        "connections": options.connections,
        "seconds": options.seconds,
        "pinned": "server on core 0, load on core 1" if (os.cpu_count() or 1) > 1 else "no",
        "rows": rows,
    }


def row(what: str, batch: int, load: Load, yardstick: Load) -> dict[str, Any]:
    return {
        "what": what,
        "batch": batch,
        "requests_per_second": round(load.rate, 1),
        "hashes_per_second": round(load.rate * batch, 1),
        "ratio_to_constant": round(load.rate / yardstick.rate, 3),
        "failed": load.failed,
        **spread(load.times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks per second and latency of one worker over loopback.")
    parser.add_argument("--rows", type=int, default=100_000, help="listed PDQ hashes")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=8, help="keep-alive connections")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256], help="items in a request")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    names = [
        "what",
        "batch",
        "requests_per_second",
        "hashes_per_second",
        "ratio_to_constant",
        "p50_us",
        "p99_us",
    ]
    table = Table(*names, title=f"{result['machine']['cpu']}, {result['listed']:,} listed, one worker")
    for one in result["rows"]:
        table.add_row(*(str(one[name]) for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
