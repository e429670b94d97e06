"""What a hit costs: new hits and repeats a second beside no-matches, and bytes of the hit log.

All three are measured in turns, in one run, with one item a request. Then the flood that once wrote 31 MB a second:
eight connections, each with the same batch of fifty listed hashes again and again.
"""

import argparse
import itertools
import json
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.hostile import CONNECTIONS, batch
from benchmarks.load import Load, closed_loop, request
from benchmarks.machine import describe
from benchmarks.serve import pin, port_of
from benchmarks.sites import Codes, codes_of, key_of, site_of, strangers
from tests.support import serving

_A_ROUND = 6_000  # requests that are made beforehand; a match is new only the first time it is asked


def requests_of(key: str, codes: Codes, refs: Iterator[int], count: int) -> list[bytes]:
    """Requests of one item each, every one with a ref of its own."""
    made = []
    for place, ref in zip(range(count), refs, strict=False):
        value = codes[place % len(codes)].tobytes().hex()
        item = {"ref": f"{ref:032x}", "hashes": [{"type": "pdq", "value": value, "quality": 100}]}
        made.append(request("/v1/check", msgspec.json.encode({"items": [item]}), key))
    return made


def size_of(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.glob("hits-*.jsonl"))


def run(options: argparse.Namespace) -> dict[str, Any]:
    site = site_of(options.rows)
    log = site.root / "hits"
    shutil.rmtree(log, ignore_errors=True)
    key = key_of(site)
    listed, unlisted = codes_of(options.rows)[60:160], strangers(1000)
    refs = itertools.count()
    rates: dict[str, list[float]] = {"no_match": [], "new hit": [], "repeat": []}
    fresh = hits = 0
    pin(0, 1)
    # Nothing is to be refused, however busy the machine is with something else.
    with serving(
        site, key=key, HASHCHECK_LIMITS__MATCHES_PER_MINUTE="1000000000", HASHCHECK_LIMITS__TURN_SECONDS="60"
    ) as server:
        for pid in server.workers():
            pin(pid, 0)
        port = port_of(server)

        def measure(requests: list[bytes], seconds: float, connections: int) -> Load:
            load = uvloop.run(closed_loop(port, requests, connections, seconds))
            if load.failed:
                raise SystemExit(f"not all were answered: {dict(load.answers)}")
            return load

        for _ in range(options.rounds):
            kinds = {"no_match": unlisted, "new hit": listed, "repeat": listed}
            for name, codes in kinds.items():
                requests = requests_of(key, codes, refs, 100 if name == "repeat" else _A_ROUND)
                before = size_of(log)
                load = measure(requests, options.seconds, options.connections)
                rates[name].append(load.rate)
                if name == "new hit":
                    if load.all > _A_ROUND:
                        raise SystemExit("some were asked twice: take fewer --seconds")
                    fresh += size_of(log) - before
                    hits += load.all
        before = size_of(log)
        values = [code.tobytes().hex() for code in listed[:50]]
        flood = measure([request("/v1/check", batch(values, 1), key)], 5.0, CONNECTIONS)
        flooded = size_of(log) - before
    median = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "benchmark": "hits",
        "machine": describe(),
        "connections": options.connections,
        "per_second": {name: round(rate) for name, rate in median.items()},
        "cost_of_a_new_hit": round(median["no_match"] / median["new hit"], 2),
        "cost_of_a_repeat": round(median["no_match"] / median["repeat"], 2),
        "bytes_a_hit": round(fresh / hits),
        "flood": {
            "batches_per_second": round(flood.rate),
            "bytes_per_second": round(flooded / flood.seconds),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What a hit costs.")
    parser.add_argument("--rows", type=int, default=100_000, help="size of the list")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table("", "a second", "cost, in no-matches")
    costs = {"no_match": 1, "new hit": result["cost_of_a_new_hit"], "repeat": result["cost_of_a_repeat"]}
    for name, cost in costs.items():
        table.add_row(name, f"{result['per_second'][name]:,}", str(cost))
    console = Console()
    console.print(table)
    console.print(f"{result['bytes_a_hit']} bytes a hit; the flood: {result['flood']}")


if __name__ == "__main__":
    main()
