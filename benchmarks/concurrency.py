"""Where a search should run, and whether single checks should be gathered: measured in one process on one core.

- `gather`: 64 single searches one after the other, as the event loop does them, beside the same as one batch with a
  future for each that waits: what gathering saves in the engine, and what it costs to hand out.
- `threads`: single checks and batches of 1,000 at once through the ASGI callable, the batches searched on the event
  loop or in a thread: what a single then waits, and what either gets done.
"""

import argparse
import asyncio
import json
import time
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.in_process import call, scope_of, started
from benchmarks.machine import describe, spread
from benchmarks.serve import check_body, pin
from benchmarks.sites import key_of, site_of, strangers
from hashcheck_core.search.engine import SearchEngine
from hashcheck_service.app import create_app
from hashcheck_service.checking import checker
from hashcheck_service.logs import configure
from hashcheck_service.settings import load_settings
from hashcheck_service.sync.clock import utc_now
from hashcheck_service.sync.dry_run import published_snapshot

_AT_ONCE = 64
_RADIUS = 31


async def gathering(engine: SearchEngine, seconds: float) -> dict[str, float]:
    """Microseconds a query: alone, and gathered with all that it takes to hand out the answers."""
    queries = [np.ascontiguousarray(code) for code in strangers(20_000).reshape(-1, 1, 32)]
    loop = asyncio.get_running_loop()

    async def alone(first: int) -> None:
        for place in range(first, first + _AT_ONCE):
            await asyncio.ensure_future(one(place))

    async def one(place: int) -> bool:
        return not len(engine.search(queries[place % len(queries)], _RADIUS).rows)

    async def gathered(first: int) -> None:
        waiting: list[tuple[int, asyncio.Future[bool]]] = []

        async def ask(place: int) -> bool:
            future: asyncio.Future[bool] = loop.create_future()
            waiting.append((place, future))
            if len(waiting) == 1:
                loop.call_soon(search)
            return await future

        def search() -> None:
            batch = np.concatenate([queries[place % len(queries)] for place, _ in waiting])
            found = np.diff(engine.search(batch, _RADIUS).offsets)
            for (_, future), count in zip(waiting, found.tolist(), strict=True):
                future.set_result(not count)

        await asyncio.gather(*(ask(place) for place in range(first, first + _AT_ONCE)))

    result = {}
    for name, way in (("one_by_one_us", alone), ("gathered_us", gathered)):
        rounds, begin = 0, time.perf_counter()
        while (now := time.perf_counter()) - begin < seconds:
            await way(rounds * _AT_ONCE)
            rounds += 1
        result[name] = round((now - begin) / (rounds * _AT_ONCE) * 1e6, 2)
    return result


async def beside_batches(rows: int, seconds: float) -> list[dict[str, Any]]:
    """Singles and batches at once, for either place of the batches' searches."""
    site = site_of(rows)
    key = key_of(site)
    singles = [check_body(code) for code in strangers(500).reshape(-1, 1, 32)]
    batches = [check_body(part) for part in strangers(20_000, seed=3).reshape(20, 1000, 32)]
    usual = checker.INLINE_SECONDS
    found = []
    app = create_app(load_settings(site.root / "service.toml"))
    async with started(app):
        for where, inline in (("event loop", float("inf")), ("thread", usual)):
            checker.INLINE_SECONDS = inline
            times: list[float] = []
            done = 0
            end = time.perf_counter() + seconds

            async def single() -> None:
                place = 0
                while (now := time.perf_counter()) < end:  # noqa: B023
                    body = singles[place % 500]
                    assert await call(app, scope_of("/v1/check", key, body), body) == 200
                    times.append(time.perf_counter() - now)  # noqa: B023
                    place += 1
                    await asyncio.sleep(0)

            async def batch() -> None:
                nonlocal done
                while time.perf_counter() < end:  # noqa: B023
                    body = batches[done % 20]
                    assert await call(app, scope_of("/v1/check", key, body), body) == 200
                    done += 1
                    await asyncio.sleep(0)

            await asyncio.gather(single(), batch())
            found.append(
                {
                    "batches_searched_in": where,
                    "singles_per_second": round(len(times) / seconds),
                    "batches_per_second": round(done / seconds, 1),
                    **{f"single_{name}": value for name, value in spread(times).items()},
                }
            )
    checker.INLINE_SECONDS = usual
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Inline, in threads or gathered.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000], help="sizes of the list")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    configure()
    pin(0, 0)
    lists = []
    for rows in options.rows:
        settings = load_settings(site_of(rows).root / "service.toml")
        snapshot = published_snapshot(settings, utc_now())
        gather = uvloop.run(gathering(snapshot.tables["pdq"].engine, options.seconds))
        threads = uvloop.run(beside_batches(rows, options.seconds))
        lists.append({"listed": rows, "gather": gather, "threads": threads})
    result = {"benchmark": "concurrency", "machine": describe(), "lists": lists}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for one in lists:
        Console().print(f"{one['listed']:,} listed: {one['gather']}")
        table = Table(*one["threads"][0])
        for row in one["threads"]:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
