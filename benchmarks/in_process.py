"""The server's end of a connection given requests directly, with no socket: what our own code costs, and where."""

import argparse
import asyncio
import cProfile
import json
import pstats
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from rich.console import Console
from rich.table import Table
from uvicorn.server import ServerState

from benchmarks.machine import describe
from benchmarks.serve import check_requests
from benchmarks.sites import key_of, site_of
from hashcheck_service.app import create_app
from hashcheck_service.http1.protocol import CheckProtocol
from hashcheck_service.logs import configure
from hashcheck_service.settings import load_settings

ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Run an app's lifespan around what is done inside, which is given its state."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    state: dict[str, Any] = {}
    task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {}, "state": state}, told.get, heard.put))
    for kind in ("startup", "shutdown"):
        await told.put({"type": f"lifespan.{kind}"})
        message = await heard.get()
        assert message["type"] == f"lifespan.{kind}.complete", message
        if kind == "startup":
            yield state
    await task


def scope_of(path: str, key: str, body: bytes, kind: str = "application/json") -> dict[str, Any]:
    """A POST as uvicorn describes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50000),
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"authorization", b"Bearer " + key.encode()),
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
        ],
        "state": {},
    }


async def call(app: Any, scope: dict[str, Any], body: bytes) -> int:
    """The status of one request."""
    message = {"type": "http.request", "body": body, "more_body": False}
    status = 0

    async def receive() -> dict[str, Any]:
        return message

    async def send(sent: Any) -> None:
        nonlocal status
        status = sent.get("status", status)

    await app(dict(scope), receive, send)
    return status


class Nowhere(asyncio.Transport):
    """Takes what is written and does nothing with it; says when there was something, and its status."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()
        self.status = b""

    def write(self, data: Any) -> None:
        if data.startswith(b"HTTP/1.1 "):
            self.status = data[9:12]
        self.written.set()

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None:
        pass


def connection(app: Any, state: dict[str, Any]) -> tuple[CheckProtocol, Nowhere]:
    """The server's end of a connection whose answers go nowhere."""
    config = uvicorn.Config(app, access_log=False, log_config=None, server_header=False)
    config.load()
    server = ServerState()
    server.default_headers = [(b"date", b"Tue, 24 Nov 2026 09:00:00 GMT")]
    protocol = CheckProtocol(config, server, app_state=state)
    nowhere = Nowhere()
    protocol.connection_made(nowhere)
    return protocol, nowhere


async def answer(protocol: CheckProtocol, nowhere: Nowhere, request: bytes) -> None:
    """Read `request` and wait until it is answered: mostly it is already."""
    before = protocol.server_state.total_requests
    protocol.data_received(request)
    while protocol.server_state.total_requests == before:
        nowhere.written.clear()
        await nowhere.written.wait()


async def measure(rows: int, batch: int, seconds: float, *, profile: bool) -> dict[str, Any]:
    site = site_of(rows)
    app = create_app(load_settings(site.root / "service.toml"))
    requests = check_requests(key_of(site), batch)
    async with started(app) as state:
        protocol, nowhere = connection(app, state)

        async def some(count: int) -> float:
            begin = time.perf_counter()
            for i in range(count):
                await answer(protocol, nowhere, requests[i % len(requests)])
                assert nowhere.status == b"200"
                if i % 32 == 0:
                    await asyncio.sleep(0)  # as many as a turn of the event loop may bring
            return time.perf_counter() - begin

        await some(len(requests))
        count = max(50, int(seconds / (await some(200) / 200)))
        took = await some(count) / count
        result: dict[str, Any] = {"listed": rows, "batch": batch, "us_per_request": round(took * 1e6, 1)}
        if profile:
            profiler = cProfile.Profile()
            profiler.enable()
            await some(count)
            profiler.disable()
            result["profile"] = top(profiler, count)
    return result


def top(profiler: cProfile.Profile, count: int, most: int = 25) -> list[dict[str, Any]]:
    """The functions that take the most time of their own. The profiler adds its own cost to every call."""
    stats: Any = pstats.Stats(profiler)
    found = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:most]
    return [
        {
            "function": f"{_place(file)}:{name}",
            "calls": round(calls / count, 2),
            "own_us": round(own / count * 1e6, 2),
            "with_callees_us": round(total / count * 1e6, 2),
        }
        for (file, _, name), (_, calls, own, total, _) in found
    ]


def _place(file: str) -> str:
    """Where a function lives, from the package on."""
    path = Path(file)
    if path.is_relative_to(ROOT) and ".venv" not in path.parts:
        return str(path.relative_to(ROOT))
    return "/".join(path.parts[-2:]) if path.is_absolute() else file


def main() -> None:
    parser = argparse.ArgumentParser(description="What our own code costs by itself, and where.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="listed PDQ hashes")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 256], help="items in a request")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    configure()
    rows = [
        uvloop.run(measure(options.rows, batch, options.seconds, profile=True)) for batch in options.batches
    ]
    if options.json:
        print(json.dumps({"benchmark": "profile", "machine": describe(), "rows": rows}, indent=2))
        return
    for row in rows:
        title = f"{row['batch']} in a request, {row['listed']:,} listed: {row['us_per_request']} µs"
        table = Table("function", "calls", "own µs", "with callees µs", title=title)
        for one in row["profile"]:
            table.add_row(*(str(value) for value in one.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
