"""A closed-loop load over raw keep-alive connections: cheap enough not to be what is measured."""

import asyncio
import time
from dataclasses import dataclass

_MAX_HEAD = 64 * 1024


@dataclass(frozen=True)
class Load:
    """Answers a second, the time each took in seconds, and how many were not 200."""

    rate: float
    times: list[float]
    failed: int


def request(path: str, body: bytes, key: str, kind: str = "application/json") -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def closed_loop(port: int, requests: list[bytes], connections: int, seconds: float) -> Load:
    """Each connection sends its next request when the last is answered; the first tenth warms up."""
    times: list[float] = []
    failed = 0
    begin = time.perf_counter() + seconds * 0.1
    end = begin + seconds

    async def one(place: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_MAX_HEAD)
        try:
            while (started := time.perf_counter()) < end:
                writer.write(requests[place % len(requests)])
                place += connections
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                if started >= begin:
                    times.append(time.perf_counter() - started)
                    failed += not head.startswith(b"HTTP/1.1 200 ")
        finally:
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(one(place) for place in range(connections)))
    return Load(len(times) / seconds, times, failed)
