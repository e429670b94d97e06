"""The service's ASGI callable called directly, with no server and no socket: what our own code costs, and where."""

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

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.serve import check_body
from benchmarks.sites import key_of, site_of, strangers
from hashcheck_service.app import create_app
from hashcheck_service.logs import configure
from hashcheck_service.settings import load_settings

ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[None]:
    """Run an app's lifespan around what is done inside."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {}, "state": {}}, told.get, heard.put))
    for kind in ("startup", "shutdown"):
        await told.put({"type": f"lifespan.{kind}"})
        message = await heard.get()
        assert message["type"] == f"lifespan.{kind}.complete", message
        if kind == "startup":
            yield
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


async def measure(rows: int, batch: int, seconds: float, *, profile: bool) -> dict[str, Any]:
    site = site_of(rows)
    app = create_app(load_settings(site.root / "service.toml"))
    codes = strangers(500 * batch).reshape(500, batch, -1)
    bodies = [check_body(part) for part in codes]
    scopes = [scope_of("/v1/check", key_of(site), body) for body in bodies]
    async with started(app):

        async def some(count: int) -> float:
            begin = time.perf_counter()
            for i in range(count):
                assert await call(app, scopes[i % 500], bodies[i % 500]) == 200
            return time.perf_counter() - begin

        await some(500)
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
    parser = argparse.ArgumentParser(description="What the ASGI callable costs by itself, and where.")
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
