"""Checks per second and latency over loopback, beside a constant answer of the same server and the engine alone.

Server and load generator are pinned to different cores where there are two; with two workers the load shares a core
with one of them, and the result says so. Ratios are what counts: absolute rates on a shared machine prove nothing.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load import Load, closed_loop, request
from benchmarks.machine import describe, spread
from benchmarks.sites import Codes, key_of, site_of, strangers
from hashcheck_service.settings import load_settings
from hashcheck_service.sync.clock import utc_now
from hashcheck_service.sync.dry_run import published_snapshot
from tests.support import Server, Site, serving

FORMATS = {"json": "application/json", "msgpack": "application/msgpack"}
_CORES = os.cpu_count() or 1
_RADIUS = 31


def check_body(codes: Codes, form: str = "json") -> bytes:
    """A request with one item for each code."""
    if form == "json":
        items = [
            {"ref": "r", "hashes": [{"type": "pdq", "value": c.tobytes().hex(), "quality": 100}]}
            for c in codes
        ]
        return msgspec.json.encode({"items": items})
    raw = [{"ref": "r", "hashes": [{"type": "pdq", "value": c.tobytes(), "quality": 100}]} for c in codes]
    return msgspec.msgpack.encode({"items": raw})


def check_requests(key: str, batch: int, form: str = "json") -> list[bytes]:
    """Requests of `batch` items with one random PDQ hash each: hashes no list holds."""
    count = max(20, min(1000, 50_000 // batch))
    codes = strangers(count * batch).reshape(count, batch, -1)
    return [request("/v1/check", check_body(part, form), key, FORMATS[form]) for part in codes]


def engine_rates(site: Site, batches: list[int], seconds: float) -> dict[int, float]:
    """Microseconds a query of the engine in this process, on the server's core, by batch."""
    settings = load_settings(site.root / "service.toml")
    snapshot = published_snapshot(settings, utc_now())
    table = snapshot.tables["pdq"]
    pin(0, 0)
    found = {}
    for batch in batches:
        codes = strangers(20_000 // batch * batch).reshape(-1, batch, 32)
        queries = [np.ascontiguousarray(part) for part in codes]
        done, begin = 0, time.perf_counter()
        while (now := time.perf_counter()) - begin < seconds:
            table.search(queries[done % len(queries)], _RADIUS)
            done += 1
        found[batch] = (now - begin) / (done * batch) * 1e6
    pin(0, 1)
    return found


@contextlib.contextmanager
def constant_server() -> Iterator[tuple[int, int]]:
    """uvicorn with an app that answers a constant, on the core the service is measured on; its port and process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.constant_app:app",
        "--port",
        str(port),
        "--http",
        "httptools",
    ]
    cheapest = ["--log-level", "warning", "--no-access-log", "--no-proxy-headers", "--no-server-header"]
    process = subprocess.Popen([*command, *cheapest], stderr=subprocess.DEVNULL)
    pin(process.pid, 0)
    try:
        uvloop.run(wait_for_port(port))
        yield port, process.pid
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
    """Keep a process, all its threads, to one core where there are several."""
    if _CORES > 1:
        for thread in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


@contextlib.contextmanager
def service(site: Site, workers: int = 1) -> Iterator[Server]:
    """The service of a site: one worker on core 0, several on a core each."""
    with serving(site, "--workers", str(workers), key=key_of(site)) as server:
        pids = server.workers()
        for place, pid in enumerate(pids):
            pin(pid, place % _CORES)
        yield server


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def measure(
    port: int, pids: list[int], requests: list[bytes], options: argparse.Namespace
) -> tuple[Load, float]:
    """The load, and the processor time a request took in processes `pids`, in microseconds."""
    before = processor_seconds(pids)
    load = uvloop.run(closed_loop(port, requests, options.connections, options.seconds))
    return load, (processor_seconds(pids) - before) / max(load.all, 1) * 1e6


def processor_seconds(pids: list[int]) -> float:
    """What all threads of some processes have had of the processors so far."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def run(options: argparse.Namespace) -> dict[str, Any]:
    pin(0, 1)
    lists = []
    for listed in options.rows:
        site = site_of(listed)
        engine = engine_rates(site, options.batches, options.seconds / 3)
        with constant_server() as (port, pid):
            constant, constant_us = measure(port, [pid], check_requests("x", 1), options)
        rows = []
        for workers in options.workers:
            with service(site, workers) as server:
                for form in FORMATS:
                    for batch in options.batches:
                        requests = check_requests(server.key, batch, form)
                        load, micro = measure(port_of(server), server.workers(), requests, options)
                        measured = row(workers, form, batch, load, constant, engine[batch])
                        rows.append({**measured, "processor_us_per_request": round(micro, 1)})
        lists.append(
            {
                "listed": listed,
                "constant_requests_per_second": round(constant.rate, 1),
                "constant_processor_us": round(constant_us, 1),
                "engine_us_per_query": {str(batch): round(us, 2) for batch, us in engine.items()},
                "rows": rows,
            }
        )
    pinned = "worker 1 on core 0, load (and worker 2, where there is one) on core 1" if _CORES > 1 else "no"
    return {
        "benchmark": "serve",
        "machine": describe(),
        "connections": options.connections,
        "seconds": options.seconds,
        "pinned": pinned,
        "lists": lists,
    }


def row(workers: int, form: str, batch: int, load: Load, constant: Load, engine_us: float) -> dict[str, Any]:
    """One measurement. `goal_ratio`: for one hash the time of a constant request and a query over ours, for batches
    the rate of ours over the engine's own."""
    if batch == 1:
        goal = (1 / constant.rate + engine_us / 1e6) * load.rate
    else:
        goal = load.rate * batch * engine_us / 1e6
    return {
        "workers": workers,
        "form": form,
        "batch": batch,
        "requests_per_second": round(load.rate, 1),
        "hashes_per_second": round(load.rate * batch, 1),
        "goal_ratio": round(goal, 3),
        "failed": load.failed,
        **spread(load.good),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks per second and latency over loopback.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000], help="sizes of the list")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="numbers of workers")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=16, help="keep-alive connections")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 16, 256, 1000], help="items in a request"
    )
    parser.add_argument(
        "--short", action="store_true", help="ten thousand hashes, singles, half a second: for CI"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    if options.short:
        options.rows, options.batches, options.seconds = [10_000], [1, 256], 0.5
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    names = [
        "workers",
        "form",
        "batch",
        "requests_per_second",
        "hashes_per_second",
        "goal_ratio",
        "processor_us_per_request",
        "p50_us",
        "p99_us",
    ]
    for one in result["lists"]:
        title = f"{one['listed']:,} listed; constant answer {one['constant_requests_per_second']:,}/s"
        table = Table(*names, title=title)
        for measured in one["rows"]:
            table.add_row(*(str(measured[name]) for name in names))
        Console().print(table)


if __name__ == "__main__":
    main()
