"""Open loop: requests at a fixed rate whatever becomes of them, at 50 %, 90 % and 200 % of what the service can do.

A request's time runs from when it was to be sent, so that a stall of the service counts in full. Capacity is what a
closed loop gets out of it in the same run.
"""

import argparse
import json
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load import Load, closed_loop, open_loop
from benchmarks.machine import describe, spread
from benchmarks.serve import check_requests, pin, port_of, service
from benchmarks.sites import site_of

_SHARES = (0.5, 0.9, 2.0)


def run(options: argparse.Namespace) -> dict[str, Any]:
    pin(0, 1)
    rows = []
    with service(site_of(options.rows)) as server:
        port = port_of(server)
        for batch in options.batches:
            requests = check_requests(server.key, batch)
            peak = uvloop.run(closed_loop(port, requests, 32, options.seconds)).rate
            for share in _SHARES:
                load = uvloop.run(
                    open_loop(port, requests, peak * share, options.seconds, options.connections)
                )
                rows.append(row(batch, share, peak, load))
    return {
        "benchmark": "overload",
        "machine": describe(),
        "connections": options.connections,
        "listed": options.rows,
        "rows": rows,
    }


def row(batch: int, share: float, peak: float, load: Load) -> dict[str, Any]:
    refused = load.times.get(503, [])
    other = sum(count for status, count in load.answers.items() if status not in (200, 503))
    return {
        "batch": batch,
        "offered_share": share,
        "offered_per_second": round(peak * share),
        "peak_per_second": round(peak),
        "goodput_per_second": round(load.rate),
        "goodput_share_of_peak": round(load.rate / peak, 3),
        "refused_503": len(refused),
        "other_answers": other,
        "unanswered": load.unanswered,
        "unsent": load.unsent,
        **spread(load.good),
        **({f"refused_{name}": value for name, value in spread(refused).items()} if refused else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency and goodput at fixed rates of arrival.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="size of the list")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=4096, help="keep-alive connections")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256], help="items in a request")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    names = [
        "batch",
        "offered_share",
        "goodput_share_of_peak",
        "refused_503",
        "unanswered",
        "p50_us",
        "p99_us",
    ]
    table = Table(*names)
    for one in result["rows"]:
        table.add_row(*(str(one[name]) for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
