"""What reading a request costs, in whatever pieces it comes: processor time of a worker for each kind of request.

With `--beside` the same is measured of another checkout of the project, turn by turn in the same run. Ratios count.
"""

import argparse
import json
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.load import request
from benchmarks.machine import describe
from benchmarks.serve import check_body, pin, processor_seconds
from benchmarks.sites import key_of, site_of, strangers
from tests.support import Server, serving

_MEDIA_BYTES = 13_000_000
Parts = list[bytes]


def parts_of(key: str, lines: int) -> dict[str, tuple[int, Parts]]:
    """By name: how many requests are sent in a turn, and the parts of one, each sent by itself."""
    check = request("/v1/check", check_body(strangers(1)), key)
    end = check.index(b"\r\n\r\n") + 4
    [item] = msgspec.json.decode(check[end:])["items"]
    line = msgspec.json.encode(item) + b"\n"
    kind = "application/x-ndjson"
    return {
        "plain": (5000, [check]),
        "in two pieces": (3000, [check[:end], check[end:]]),
        "in chunks": (3000, [chunked("/v1/check", [check[end:]], key)]),
        "media of 13 MB": (10, [request("/v1/check/media", bytes(_MEDIA_BYTES), key, "image/png")]),
        "stream": (1, [request("/v1/check/stream", line * lines, key, kind)]),
        "stream, a chunk each line": (1, [chunked("/v1/check/stream", [line] * lines, key, kind)]),
    }


def chunked(path: str, chunks: list[bytes], key: str, kind: str = "application/json") -> bytes:
    head = request(path, b"", key, kind).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return head + b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"


def send(server: Server, count: int, parts: Parts) -> None:
    """Send the same request again and again over one connection, and read each answer to its end."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(600)
        for _ in range(count):
            for part in parts[:-1]:
                raw.sendall(part)
                time.sleep(0.0005)  # the service reads it before the next comes
            answer = _send_and_read(raw, parts[-1])
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]


def _send_and_read(raw: socket.socket, data: bytes) -> bytes:
    """What comes back, to its end; a stream's answer comes while its question is sent."""
    answer, view = bytearray(), memoryview(data)
    raw.setblocking(False)
    while True:
        if view:
            try:
                view = view[raw.send(view[: 1 << 18]) :]
            except BlockingIOError:
                time.sleep(0.0002)
        try:
            answer += raw.recv(1 << 20)
        except BlockingIOError:
            if view:
                continue
            raw.settimeout(600)
            answer += raw.recv(1 << 20)
            raw.setblocking(False)
        if not view and _is_whole(answer):
            raw.settimeout(600)
            return bytes(answer)


def _is_whole(answer: bytearray) -> bool:
    head = answer.find(b"\r\n\r\n") + 4
    if head < 4:
        return False
    fields = bytes(answer[:head]).lower()
    if b"transfer-encoding: chunked" in fields:
        return answer.endswith(b"0\r\n\r\n")
    return len(answer) - head >= int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0])


def measure(server: Server, count: int, parts: Parts) -> float:
    """Microseconds of processor a request took the worker."""
    pids = server.workers()
    before = processor_seconds(pids)
    send(server, count, parts)
    return (processor_seconds(pids) - before) / count * 1e6


def run(options: argparse.Namespace) -> dict[str, Any]:
    pin(0, 1)
    site = site_of(options.rows)
    trees: dict[str, Path | None] = {"this": None}
    if options.beside:
        trees["other"] = options.beside.resolve()
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        servers = {}
        for name, tree in trees.items():
            environment = {
                "HASHCHECK_STATE": str(site.root / f"state-{name}"),
                "HASHCHECK_HIT_LOG": str(site.root / f"hits-{name}"),
                **({"PYTHONPATH": str(tree)} if tree else {}),
            }
            server = stack.enter_context(serving(site, key=key_of(site), cwd=tree, **environment))
            pin(server.workers()[0], 0)
            servers[name] = server
        cases = parts_of(key_of(site), options.lines)
        for turn in range(options.turns + 1):  # the first warms up
            for case, (count, parts) in cases.items():
                if options.cases and case not in options.cases:
                    continue
                for name, server in servers.items():
                    took = measure(server, max(1, count // options.share), parts)
                    if turn:
                        found.setdefault(case, {}).setdefault(name, []).append(took)
    return {"benchmark": "wire", "machine": describe(), "lines": options.lines, "rows": rows_of(found)}


def rows_of(found: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    rows = []
    middle: Callable[[list[float]], float] = statistics.median
    for case, took in found.items():
        row: dict[str, Any] = {"case": case, "processor_us": round(middle(took["this"]), 1)}
        if "other" in took:
            ratios = [one / other for one, other in zip(took["this"], took["other"], strict=True)]
            row |= {"other_us": round(middle(took["other"]), 1), "ratio": round(middle(ratios), 3)}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Processor time of a worker by kind of request.")
    parser.add_argument("--rows", type=int, default=100_000, help="size of the list")
    parser.add_argument("--lines", type=int, default=200_000, help="of a stream")
    parser.add_argument("--turns", type=int, default=5, help="measurements of each kind")
    parser.add_argument("--share", type=int, default=1, help="send so many times fewer requests")
    parser.add_argument("--cases", nargs="+", default=[], help="only these")
    parser.add_argument("--beside", type=Path, help="another checkout to measure in turn")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table("kind of request", "processor µs", "other µs", "ratio")
    for row in result["rows"]:
        table.add_row(*(str(row.get(name, "")) for name in ("case", "processor_us", "other_us", "ratio")))
    Console().print(table)


if __name__ == "__main__":
    main()
