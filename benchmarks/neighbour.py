"""What one tenant's flood does to another: its checks of listed and of unlisted hashes, alone and beside each flood.

The service has one core, the callers the other: the neighbour at a high priority and the hostile at a low one, so that
the neighbour's times are the service's and not those of its own core. Ratios to the neighbour's own times, alone in
the same run, are what counts.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.hostile import modes
from benchmarks.load import request
from benchmarks.machine import describe, spread
from benchmarks.serve import pin, port_of
from benchmarks.sites import codes_of, site_of, strangers
from examples.photographs import photograph
from tests.support import serving


def one(key: str, value: bytes) -> bytes:
    item = {"ref": "r", "hashes": [{"type": "pdq", "value": value.hex(), "quality": 100}]}
    return request("/v1/check", msgspec.json.encode({"items": [item]}), key)


def ask(port: int, kinds: "dict[str, list[bytes]]", seconds: float, rate: float) -> dict[str, Any]:
    """Ask at a fixed rate, of each kind in turn, over one connection a kind; what came back, by kind."""
    connections = {name: socket.create_connection(("127.0.0.1", port)) for name in kinds}
    for raw in connections.values():
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answers: dict[str, Counter[str]] = {name: Counter() for name in kinds}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    begin, asked = time.perf_counter(), 0
    while (now := time.perf_counter()) - begin < seconds:
        due = begin + asked / rate
        if now < due:
            time.sleep(due - now)
        name = list(kinds)[asked % len(kinds)]
        requests = kinds[name]
        sent = time.perf_counter()
        try:
            connections[name].sendall(requests[asked // len(kinds) % len(requests)])
            answer = read_answer(connections[name])
        except OSError:
            answers[name]["lost"] += 1
            connections[name] = socket.create_connection(("127.0.0.1", port))
        else:
            times[name].append(time.perf_counter() - sent)
            verdict = next((v for v in ("no_match", "match", "unknown") if f'"{v}"' in answer), "")
            answers[name][f"{answer[9:12]} {verdict}".strip()] += 1
        asked += 1
    for raw in connections.values():
        raw.close()
    return {name: {"answers": dict(answers[name]), **spread(times[name])} for name in kinds}


def read_answer(raw: socket.socket) -> str:
    """A whole answer; raises ConnectionError where it does not come."""
    data = b""
    while True:
        more = raw.recv(1 << 16)
        if not more:
            raise ConnectionError
        data += more
        head, end, body = data.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return data.decode("latin-1")


@contextlib.contextmanager
def hostile(mode: str, port: int, key: str, rows: int) -> Iterator[None]:
    """A hostile caller at work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile", mode, str(port), key, str(rows)],
        stdin=subprocess.PIPE,
    )
    try:
        time.sleep(3.0)
        pin(process.pid, 1)
        yield
    finally:
        process.kill()
        process.communicate()


def run(options: argparse.Namespace) -> dict[str, Any]:
    site = site_of(options.rows)
    keys = {name: site.add_key(name) for name in ("hostile", "neighbour")}
    pin(0, 1)
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    listed = codes_of(options.rows)[60:160]
    kinds = {
        "listed": [one(keys["neighbour"], code.tobytes()) for code in listed],
        "unlisted": [one(keys["neighbour"], code.tobytes()) for code in strangers(1000, seed=5)],
    }
    if options.pictures:
        kinds["picture"] = [
            request(
                "/v1/check/media", photograph("camera.png"), keys["neighbour"], "application/octet-stream"
            )
        ]
    rows = []
    with serving(site, key=keys["neighbour"]) as server:
        for pid in server.workers():
            pin(pid, 0)
        port = port_of(server)
        ask(port, kinds, 1.0, options.rate)  # warm
        for mode in options.modes or modes(0, "", options.rows):
            alone = ask(port, kinds, options.seconds, options.rate)
            with hostile(mode, port, keys["hostile"], options.rows):
                beside = ask(port, kinds, options.seconds, options.rate)
            time.sleep(1.0)
            ratio = {name: round(beside[name]["p99_us"] / alone[name]["p99_us"], 2) for name in kinds}
            rows.append({"flood": mode, "alone": alone, "beside": beside, "p99_ratio": ratio})
    return {"benchmark": "neighbour", "machine": describe(), "listed": options.rows, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description="What one tenant's flood does to another.")
    parser.add_argument("--rows", type=int, default=100_000, help="size of the list")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each measurement")
    parser.add_argument("--rate", type=float, default=200.0, help="the neighbour's checks a second")
    parser.add_argument("--pictures", action="store_true", help="every third of them a picture")
    parser.add_argument("--modes", nargs="+", help="kinds of flood; all without it")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table("flood", "hash", "answers", "p50 alone", "p50", "p99 alone", "p99", "p99 ratio")
    for row in result["rows"]:
        for name, beside in row["beside"].items():
            alone = row["alone"][name]
            answers = ", ".join(f"{count} x {what}" for what, count in beside["answers"].items())
            numbers = (alone["p50_us"], beside["p50_us"], alone["p99_us"], beside["p99_us"])
            table.add_row(row["flood"], name, answers, *map(str, numbers), str(row["p99_ratio"][name]))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
