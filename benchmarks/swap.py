"""Snapshots swapped under constant load: no answer may fail or be false to the snapshot it names.

Every other list holds one known hash, and each answer about it is held against the snapshot the answer names. Load
comes at a fixed rate, and a time counts from when its request was due, so that a stall is not hidden by what it
holds up. Swaps and as long a rest after each take turns, so that whatever else the machine does meets both alike.
Ratios are what counts: absolute times on a shared machine prove nothing.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load import request
from benchmarks.machine import describe, spread
from benchmarks.sites import write_list
from tests.support import Server, Site, done, eventually, serving

KNOWN = "35ca" * 16
_MAX_HEAD = 64 * 1024
_LETTING_GO = 0.1  # seconds after a swap that are still part of it: the snapshot before is unmapped


@dataclass
class Seen:
    """What came back: times by phase, which snapshot was named last, and what was wrong."""

    times: dict[str, list[float]] = field(default_factory=dict)
    phase: str = "warm"
    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # by phase and by what came instead of an answer
    wrong: int = 0
    snapshot: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


def make_lists(folder: Path, rows: int, count: int) -> tuple[Site, list[Path]]:
    """`count` lists of `rows` uniform random PDQ hashes each; the odd ones hold KNOWN too."""
    site = Site(folder)
    done("index_builder", "keygen", folder / "keys" / "builder")
    path = site.write_settings(f"keep_snapshots = {count + 1}\n")
    path.write_text(path.read_text().replace("poll_seconds = 0.1", "poll_seconds = 0.02"))
    known = np.frombuffer(bytes.fromhex(KNOWN), np.uint8)[None, :]
    built = []
    for version in range(1, count + 1):
        codes = np.random.default_rng(version).integers(0, 256, (rows, 32), np.uint8)
        codes = np.concatenate([codes, known]) if version % 2 else codes
        codes = np.ascontiguousarray(codes[np.lexsort(codes.view(">u8").T[::-1])])
        built.append(write_list(site, codes, version))
    return site, built


async def load(port: int, key: str, rate: float, connections: int, seen: Seen, stop: asyncio.Event) -> None:
    """`rate` requests a second over `connections`, until `stop`."""
    item = {"ref": "r", "hashes": [{"type": "pdq", "value": KNOWN, "quality": 100}]}
    data = request("/v1/check", json.dumps({"items": [item]}).encode(), key)

    async def one(place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_MAX_HEAD)
        due = time.perf_counter() + place / rate
        while not stop.is_set():
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            phase = seen.phase
            try:
                writer.write(data)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError):
                seen.failures[f"{phase}: connection lost"] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_MAX_HEAD)
                continue
            seen.times.setdefault(phase, []).append(time.perf_counter() - due)
            judge(head, body, seen, phase)
            due = max(due + connections / rate, time.perf_counter() - 1.0)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one(place) for place in range(connections)))


def judge(head: bytes, body: bytes, seen: Seen, phase: str) -> None:
    seen.answers += 1
    if not head.startswith(b"HTTP/1.1 200 "):
        seen.failures[f"{phase}: {head[9:12].decode()} {json.loads(body).get('code')}"] += 1
        return
    content = json.loads(body)
    snapshot, verdict = content["snapshot"], content["results"][0]["verdict"]
    named = f"hashcheck-snapshot: {snapshot['id']}".encode() in head.lower()
    if not named or verdict != ("match" if snapshot["version"] % 2 else "no_match"):
        seen.wrong += 1
    if snapshot["id"] != seen.snapshot:
        seen.snapshot = snapshot["id"]
        seen.changed.set()


def memory(server: Server, store: Path) -> dict[str, float]:
    """What the one worker holds, in MB: resident, private, and mapped from snapshots."""
    rollup = Path(f"/proc/{server.workers()[0]}/smaps_rollup").read_text()
    kilobytes = {
        line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:] if line.endswith("kB")
    }
    mapped = 0
    for line in Path(f"/proc/{server.workers()[0]}/maps").read_text().splitlines():
        if "memfd:hashcheck-" in line:
            low, high = line.split()[0].split("-")
            mapped += int(high, 16) - int(low, 16)
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {
        "resident_mb": round(kilobytes["Rss"] / 1024, 1),
        "private_mb": round(private / 1024, 1),
        "mapped_snapshots_mb": round(mapped / 2**20, 1),
    }


async def swaps(site: Site, built: list[Path], server: Server, options: argparse.Namespace) -> dict[str, Any]:
    seen, stop = Seen(), asyncio.Event()
    port = int(server.url.rpartition(":")[2])
    loading = asyncio.create_task(load(port, server.key, options.rate, options.connections, seen, stop))
    sequence, took = 1, []

    async def swap(number: int) -> None:
        nonlocal sequence
        sequence += 1
        target = built[number % len(built)]
        started = time.perf_counter()
        site.point_at(target, sequence)
        while seen.snapshot != target.name:
            seen.changed.clear()
            await asyncio.wait_for(seen.changed.wait(), 600)
        took.append(time.perf_counter() - started)

    for number in range(1, len(built) + 1):  # so that every list is on this machine, and has been mapped once
        await swap(number)
    took.clear()
    await asyncio.sleep(1.0)
    seen.phase = "steady"
    await asyncio.sleep(options.seconds)
    before = memory(server, site.root)
    for number in range(1, options.swaps + 1):
        seen.phase = "swapping"
        await swap(number)
        await asyncio.sleep(_LETTING_GO)
        seen.phase = "between swaps"
        await asyncio.sleep(took[-1] + _LETTING_GO)
    seen.phase = "settling"
    await asyncio.sleep(1.0)
    after = memory(server, site.root)
    seen.phase = "steady again"
    await asyncio.sleep(options.seconds)
    stop.set()
    await loading
    names = ("steady", "swapping", "between swaps", "steady again")
    phases = {name: spread(seen.times[name]) for name in names}
    return {
        "swaps": options.swaps,
        "answers": seen.answers,
        "failed": seen.failures.total(),
        "failures": dict(seen.failures),
        "wrong": seen.wrong,
        "latency": phases,
        "p99_during_to_steady": round(phases["swapping"]["p99_us"] / phases["between swaps"]["p99_us"], 2),
        "swap_seconds": {
            "median": round(float(np.median(took)), 3),
            "p99": round(float(np.percentile(took, 99)), 3),
        },
        "memory_before": before,
        "memory_after": after,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        site, built = make_lists(Path(folder), options.rows, options.lists)
        site.point_at(built[0], 1)
        with serving(site) as server:
            eventually(lambda: server.client.get("/readyz").status_code == 200, "a start", 300.0)
            if cores > 1:
                for task in Path(f"/proc/{server.workers()[0]}/task").iterdir():
                    os.sched_setaffinity(int(task.name), {0} if options.pin_server else set(range(cores)))
                os.sched_setaffinity(0, {cores - 1})
            result = uvloop.run(swaps(site, built, server, options))
    return {
        "benchmark": "swap",
        "machine": describe(),
        "listed": options.rows,
        "rate": options.rate,
        "connections": options.connections,
        "pinned": "server on core 0, load on the last core"
        if options.pin_server and cores > 1
        else "load on the last core",
        **result,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Snapshots swapped under constant load.")
    parser.add_argument("--rows", type=int, default=100_000, help="listed PDQ hashes")
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--lists", type=int, default=4, help="different lists that are swapped around")
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=8, help="keep-alive connections")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each steady phase")
    parser.add_argument("--folder", help="where the lists lie meanwhile; default: the temporary folder")
    parser.add_argument(
        "--pin-server", action="store_true", help="keep the server, loading included, to one core"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(
        "phase", "p50_us", "p99_us", "p999_us", title=f"{result['swaps']} swaps of {result['listed']:,}"
    )
    for name, times in result["latency"].items():
        table.add_row(name, *(str(times[p]) for p in ("p50_us", "p99_us", "p999_us")))
    console = Console()
    console.print(table)
    console.print(
        {key: result[key] for key in ("answers", "failed", "wrong", "memory_before", "memory_after")}
    )


if __name__ == "__main__":
    main()
