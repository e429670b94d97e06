"""Load over raw keep-alive connections, cheap enough not to be what is measured: requests are made beforehand, one
is under way on a connection at a time, and of an answer no more is read than its status and its length."""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"content-length: (\d+)\r\n")


@dataclass
class Load:
    """What came back: answers by status; the time of each in seconds, by status; how many never came.

    `seconds`: how long was measured. Times are from the moment a request was to be sent. `all`: answers that came
    before and after were measured too. `unsent`: of those unanswered, so many never found a connection free.
    """

    seconds: float
    times: dict[int, list[float]] = field(default_factory=dict)
    unanswered: int = 0
    unsent: int = 0
    all: int = 0

    def add(self, status: int, took: float) -> None:
        self.times.setdefault(status, []).append(took)

    @property
    def answers(self) -> Counter[int]:
        return Counter({status: len(times) for status, times in self.times.items()})

    @property
    def good(self) -> list[float]:
        return self.times.get(200, [])

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.good) / self.seconds

    @property
    def failed(self) -> int:
        return sum(self.answers.values()) - len(self.good)


def request(path: str, body: bytes, key: str, kind: str = "application/json") -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One connection; `on_answer` hears of every whole answer, and with status 0 of a lost connection."""

    def __init__(self, on_answer: Callable[["Connection", int], None]) -> None:
        self.since = 0.0  # when the request under way was to be sent
        self.busy = False
        self._on_answer = on_answer
        self._transport: asyncio.WriteTransport | None = None
        self._data = b""
        self._missing = 0
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, data: bytes, since: float) -> None:
        assert self._transport is not None
        self.since, self.busy = since, True
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            self._data += data
            end = self._data.find(b"\r\n\r\n")
            length = _LENGTH.search(self._data, 0, end + 2)
            if end < 0 or length is None:
                return
            self._status = int(self._data[9:12])
            self._missing = end + 4 + int(length[1])
            data, self._data = self._data, b""
        self._missing -= len(data)
        if not self._missing:
            self.busy = False
            self._on_answer(self, self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_answer(self, 0)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _connect(port: int, count: int, on_answer: Callable[[Connection, int], None]) -> list[Connection]:
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(count):
        _, connection = await loop.create_connection(lambda: Connection(on_answer), "127.0.0.1", port)
        connections.append(connection)
    return connections


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Each connection sends its next request when the last is answered; the first tenth warms up."""
    load = Load(seconds)
    begin = time.perf_counter() + seconds * 0.1
    end = begin + seconds
    sent, open_now, over = 0, 0, asyncio.Event()

    def answered(connection: Connection, status: int) -> None:
        nonlocal open_now
        now = time.perf_counter()
        load.all += 1
        if begin <= now < end:
            load.add(status, now - connection.since)
        if status and now < end:
            next_one(connection, now)
            return
        open_now -= 1
        if not open_now:
            over.set()

    def next_one(connection: Connection, now: float) -> None:
        nonlocal sent
        sent += 1
        connection.send(requests[sent % len(requests)], now)

    made = await _connect(port, connections, answered)
    open_now = len(made)
    for connection in made:
        next_one(connection, time.perf_counter())
    while (
        not over.is_set()
    ):  # never asleep: to wake it would be the server's time, and on a virtual machine a lot of it
        await asyncio.sleep(0)
    for connection in made:
        connection._on_answer = lambda *_: None
        connection.close()
    return load


async def open_loop(
    port: int,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int = 512,
    patience: float = 5.0,
) -> Load:
    """Requests are sent at fixed times, `rate` a second, whatever becomes of the others.

    One that finds no connection free waits for one, and its time runs from when it was to be sent: a stall of the
    server counts in full. What has no answer `patience` seconds after the last is unanswered.
    """
    load = Load(seconds)
    idle: deque[Connection] = deque()
    waiting: deque[float] = deque()
    sent = under_way = 0

    def answered(connection: Connection, status: int) -> None:
        nonlocal under_way
        under_way -= 1
        load.add(status, time.perf_counter() - connection.since)
        if not status:
            return
        if waiting:
            start(connection, waiting.popleft())
        else:
            idle.append(connection)

    def start(connection: Connection, due: float) -> None:
        nonlocal sent, under_way
        sent += 1
        under_way += 1
        connection.send(requests[sent % len(requests)], due)

    made = await _connect(port, connections, answered)
    idle.extend(made)
    begin = time.perf_counter() + 0.05
    total = int(rate * seconds)
    due = 0
    while due < total:
        now = time.perf_counter()
        while due < total and begin + due / rate <= now:
            if idle:
                start(idle.popleft(), begin + due / rate)
            else:
                waiting.append(begin + due / rate)
            due += 1
        await asyncio.sleep(0)
    end = time.perf_counter() + patience
    while (under_way or waiting) and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    load.unanswered, load.unsent = under_way + len(waiting), len(waiting)
    for connection in made:
        connection._on_answer = lambda *_: None
        connection.close()
    return load
