"""Minutes under everything at once: new snapshots, bad requests, callers that send a byte a second, connections that
say nothing, pictures, and workers killed. Counted: answers that failed, were wrong, or never came. All must be 0.

An answer fails if a good request has another status than 200 (or 503 `overloaded`, which is counted apart), is wrong if
its verdict or its problem is not the expected one or its header names another snapshot than its body, and is lost if
the connection ends before it. A request under way while a worker is killed, on a connection to any worker, may be lost:
those are counted apart.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.load import request
from benchmarks.machine import describe
from benchmarks.serve import check_body, port_of
from benchmarks.sites import CACHE, codes_of, key_of, site_of, strangers, write_list
from examples.photographs import photograph
from tests.support import Server, Site, serving

_ROWS = 100_000
_KILL_SECONDS = 1.5  # around a kill: what is lost then may have been under way at the worker

Answer = tuple[int, bytes, bytes]  # status, head, body


class Soak:
    """What all callers share."""

    def __init__(self, server: Server, seconds: float) -> None:
        self.server = server
        self.port = port_of(server)
        self.end = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []
        self.killed_at: list[float] = []

    def going(self) -> bool:
        return time.monotonic() < self.end

    def bad(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: {what[:300]}")

    def lost(self, since: float) -> None:
        near = any(since - _KILL_SECONDS <= at <= time.monotonic() + 0.1 for at in self.killed_at)
        self.counts["lost_under_way_at_a_kill" if near else "lost"] += 1


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> Answer:
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), head.lower(), await reader.readexactly(length)


async def caller(soak: Soak, requests: list[tuple[bytes, int, bytes]], pause: float) -> None:
    """Asks, again and again, what has a known answer: (request, status, what the body holds)."""
    chosen = random.Random(1)
    while soak.going():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", soak.port)
        except OSError:
            soak.counts["connections_refused"] += 1
            await asyncio.sleep(0.05)
            continue
        with contextlib.closing(writer):
            for _ in range(chosen.randint(1, 400)):
                if not soak.going():
                    return
                data, status, holds = chosen.choice(requests)
                since = time.monotonic()
                try:
                    async with asyncio.timeout(30):
                        got, head, body = await ask(reader, writer, data)
                except TimeoutError:
                    soak.bad("failed", "no answer for 30 s")
                    break
                except (OSError, EOFError, RuntimeError):
                    soak.lost(since)
                    break
                if got == 503 and b"overloaded" in body:
                    soak.counts["refused_overloaded"] += 1
                elif got != status:
                    soak.bad("failed", f"{got} for {status}: {body!r}")
                elif holds not in body or not _one_snapshot(head, body):
                    soak.bad("wrong", f"{head!r} {body!r}")
                else:
                    soak.counts["right"] += 1
                if b"connection: close" in head:
                    break
                await asyncio.sleep(pause)


def _one_snapshot(head: bytes, body: bytes) -> bool:
    """Whether header and body speak of the same snapshot, where the body speaks of one."""
    if b'"snapshot":{"id":"' not in body:
        return True
    named = body.partition(b'"snapshot":{"id":"')[2].partition(b'"')[0]
    return b"hashcheck-snapshot: " + named in head


async def trickler(soak: Soak, data: bytes) -> None:
    """Sends a byte a second and expects to be cut off or timed out, never to harm anyone."""
    while soak.going():
        with contextlib.suppress(OSError, EOFError, RuntimeError):  # uvloop says so of a closed connection
            _, writer = await asyncio.open_connection("127.0.0.1", soak.port)
            with contextlib.closing(writer):
                for byte in data:
                    if not soak.going():
                        return
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1)
        soak.counts["tricklers_cut_off"] += 1


async def silent(soak: Soak) -> None:
    """Opens connections, says nothing or half a request, and leaves without a word."""
    while soak.going():
        with contextlib.suppress(OSError, RuntimeError):
            _, writer = await asyncio.open_connection("127.0.0.1", soak.port)
            writer.write(random.choice([b"", b"POST /v1/check HTTP/1.1\r\n", b"\x16\x03\x01", b"GET"]))
            await asyncio.sleep(random.random() * 3)
            writer.transport.abort()
            soak.counts["connections_dropped"] += 1


async def publisher(soak: Soak, site: Site, names: list[str], every: float) -> None:
    """Puts the next version in force, again and again; after the last, the versions are written anew."""
    for name in names:
        await asyncio.sleep(every)
        if not soak.going():
            return
        site.point_at(site.snapshots / name, time.time_ns())
        soak.counts["snapshots_published"] += 1


async def killer(soak: Soak, every: float) -> None:
    """Kills a worker with its connections."""
    while soak.going():
        await asyncio.sleep(every)
        workers = soak.server.workers()
        if len(workers) == 2 and soak.going():
            soak.killed_at.append(time.monotonic())
            os.kill(random.choice(workers), signal.SIGKILL)
            soak.counts["workers_killed"] += 1


def private_mib(server: Server) -> list[float]:
    """Private memory of each worker, in MiB."""
    found = []
    for pid in server.workers():
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024)
    return [round(one, 1) for one in found]


def known_requests(key: str) -> list[tuple[bytes, int, bytes]]:
    listed, strange = codes_of(_ROWS)[::200], strangers(500)
    picture = photograph("camera.png")
    return [
        *((request("/v1/check", check_body(one.reshape(1, -1)), key), 200, b'"no_match"') for one in strange),
        *(
            (request("/v1/check", check_body(one.reshape(1, -1)), key), 200, b'"match"')
            for one in listed[:20]
        ),
        *(
            (request("/v1/check", check_body(strange[n : n + 16]), key), 200, b'"no_match"')
            for n in range(0, 480, 16)
        ),
        (request("/v1/check", b"not json", key), 400, b"malformed_json"),
        (request("/v1/check", b'{"items":[]}', key), 422, b"invalid_request"),
        (request("/v1/check", check_body(strange[:1]), "wrong"), 401, b"unauthorized"),
        (request("/v1/check", b"x", key, "text/xml"), 415, b"unsupported_media_type"),
        (request("/v1/check/md5", b"ab" * 16, key), 503, b"type_not_listed"),
        (request("/v1/check/md5", b"short", key), 503, b"type_not_listed"),  # the list has PDQ alone
        (request("/v1/nowhere", b"", key), 404, b"not_found"),
        (request("/v1/check/media", picture, key, "image/png"), 200, b'"no_match"'),
        (request("/v1/check/media", picture[:5000], key, "image/png"), 200, b'"undecodable_image"'),
    ]


async def run_all(
    server: Server, site: Site, names: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    seconds = options.minutes * 60
    soak = Soak(server, seconds)
    requests = known_requests(server.key)
    callers = [caller(soak, requests, options.pause) for _ in range(options.connections)]
    before: list[float] = []

    async def look() -> None:
        await asyncio.sleep(min(20.0, seconds / 10))
        before.extend(private_mib(server))

    await asyncio.gather(
        *callers,
        *(trickler(soak, requests[place][0]) for place in range(8)),
        *(silent(soak) for _ in range(4)),
        publisher(soak, site, names, seconds / (len(names) + 1)),
        killer(soak, max(10.0, seconds / 8)),
        look(),
    )
    return {
        "counts": {
            **dict.fromkeys(("right", "failed", "wrong", "lost"), 0),
            **dict(sorted(soak.counts.items())),
        },
        "examples": soak.examples,
        "private_mib_start": before,
        "private_mib_end": private_mib(server),
        "crashes_logged": sum('"crash"' in line for line in server.log),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Minutes under everything at once; failed, wrong, lost must be 0."
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=24, help="callers of good and bad requests")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds a caller rests after an answer")
    parser.add_argument("--versions", type=int, default=20, help="snapshots published on the way")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    built = site_of(_ROWS)
    site = Site(CACHE / "soak")
    shutil.rmtree(site.root, ignore_errors=True)
    shutil.copytree(built.root, site.root)
    shutil.rmtree(site.root / "hits", ignore_errors=True)
    codes = codes_of(_ROWS)
    names = [write_list(site, codes, version).name for version in range(2, options.versions + 2)]
    with serving(site, "--workers", "2", key=key_of(built)) as server:
        result = uvloop.run(run_all(server, site, names, options))
    result = {"benchmark": "soak", "machine": describe(), "minutes": options.minutes, "workers": 2, **result}
    print(json.dumps(result, indent=2))
    if any(result["counts"][kind] for kind in ("failed", "wrong", "lost")) or result["crashes_logged"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
