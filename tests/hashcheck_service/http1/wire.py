"""One connection in memory: what a protocol makes of bytes that come in such and such parts, without a socket."""

import asyncio
import re
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from hashcheck_service.admission.api_keys import Client
from hashcheck_service.admission.load import Load
from hashcheck_service.http1.fast_head import Head, request_lines
from hashcheck_service.http1.protocol import CheckProtocol
from hashcheck_service.http1.shared import SHARED, Shared, Written
from hashcheck_service.problems import Problem
from hashcheck_service.settings import Limits

PLAIN = frozenset({"/v1/check", "/v1/check/md5"})
EARLY = "/early"  # is answered before its body is read
_TURNS = (
    12  # of the event loop, after which an application that waits for nothing but bytes has done all it can
)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

Request = tuple[str, str, bytes]  # method, path, body


@dataclass
class Heard:
    """What became of the bytes."""

    requests: list[Request] = field(default_factory=list)  # as the application had them, each whole
    at_once: int = 0  # of them, so many went the fast way
    written: bytes = b""
    codes: list[str] = field(default_factory=list)  # of what could not be read
    closed: bool = False  # or half closed

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.written)]


class Echo:
    """An application that notes what it is asked. It never repeats a body, so each `HTTP/1.1` is an answer's own."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard
        self.paths = PLAIN

    def at_once(
        self, head: Head, body: bytes, connections: int, caller: Client
    ) -> Written | Awaitable[Written]:
        self.heard.at_once += 1
        self.heard.requests.append(("POST", head.path, body))
        return 200, b"content-length: 2\r\n\r\nok"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", scope["path"] != EARLY
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.heard.requests.append((scope["method"], scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Wire(asyncio.Transport):
    """Hands bytes to a protocol while it reads, and keeps the rest for when it reads again."""

    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard
        self._protocol: Any = None
        self._paused = False
        self._waiting: list[bytes] = []

    def connect(self, protocol: Any) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        if self._paused:
            self._waiting.append(data)
        elif not self._heard.closed:
            self._protocol.data_received(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._feed_rest)

    def _feed_rest(self) -> None:
        while self._waiting and not self._paused:
            self.feed(self._waiting.pop(0))

    def write(self, data: Any) -> None:
        self._heard.written += bytes(data)

    def write_eof(self) -> None:
        self._heard.closed = True

    def close(self) -> None:
        self._heard.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self._heard.closed


def heard_by(kind: type[CheckProtocol] | type[H11Protocol], parts: Iterable[bytes]) -> Heard:
    """Give `parts` to a new connection of this kind, one after the other."""
    return asyncio.run(_heard_by(kind, parts))


async def _heard_by(kind: type[CheckProtocol] | type[H11Protocol], parts: Iterable[bytes]) -> Heard:
    heard = Heard()
    app = Echo(heard)
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")

    def refuse(problem: Problem) -> bytes:
        heard.codes.append(problem.code)
        return b"content-length: 0\r\nconnection: close\r\n\r\n"

    shared = Shared(Limits(), Load(1.0), app, request_lines(PLAIN), refuse, lambda scope: False)
    protocol = kind(config, ServerState(), {SHARED: shared}, asyncio.get_running_loop())
    wire = Wire(heard)
    wire.connect(protocol)
    for part in parts:
        wire.feed(part)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
    closed = heard.closed
    protocol.connection_lost(None)
    heard.closed = closed
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    return heard


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in parts, cut at these places of it, each taken by its remainder."""
    at = sorted({place % len(data) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(at)]
