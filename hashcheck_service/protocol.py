"""uvicorn's HTTP protocol with three things of our own: under too much load a check is refused before it is parsed, a
connection that does not speak is closed, and a stop drops no request.

- Refusing a request the usual way costs most of what answering it does, and a worker offered twice what it can do would
  spend its time on refusals. Where the gate says no, and the bytes just read are one whole check, a ready-made 503 goes
  out instead. Whatever is not plainly that goes the usual way.
- A request head must be whole within some seconds, also the first (bodies have their own limit).
- At a stop a connection is not closed while a request may be on its way on it: the next answer says that it is the
  last, and only a connection that stays silent for a while is closed.

It does not authenticate and does not look into a body.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hashcheck_service.bodies import AT_HAND
from hashcheck_service.gate import Gate

_LINGER_SECONDS: Final = 1.0  # how long after the word to stop a request may have been on its way
_CHECK: Final = re.compile(rb"POST /v1/(?:test/)?check(?:/(?:md5|sha1|sha256))? HTTP/1\.1\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d{1,9}) *\r\n", re.IGNORECASE)
# With one of these what follows the head is not simply a body of that length, or not simply on its way.
_UNUSUAL: Final = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade|connection)[ \t]*:", re.IGNORECASE)


class CheckProtocol(HttpToolsProtocol):
    """Finds the worker's Gate and what makes a refusal in the lifespan's state: `gate`, `refusal`, `head_seconds`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gate: Gate = self.app_state["gate"]
        self._refusal: Callable[[], bytes] = self.app_state["refusal"]
        self._between = True  # requests: nothing of the next has been parsed
        self._in_head = False
        self._heard = self.loop.time()  # of the last answer, or refusal, on this connection
        self._head_seconds: float = self.app_state["head_seconds"]
        self._timer = self.loop.call_later(self._head_seconds, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._between and self._is_idle() and not self._gate.admits(len(data)) and _is_one_check(data):
            self._refuse()
        else:
            super().data_received(data)

    def on_message_begin(self) -> None:
        self._between, self._in_head = False, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        if self._gate.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if cycle.scope["path"] in self._gate.paths:
            self._gate.announced += 1
            cycle.scope["state"][AT_HAND] = partial(_body_at_hand, cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """As uvicorn's, but that no timer is set and unset for each answer."""
        self.server_state.total_requests += 1
        self._heard = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        self._gate.draining = True
        if self._is_idle():
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._between and self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def _look_after(self) -> None:
        """Close the connection if it has been silent for too long, or is at a head for too long; else look again."""
        if self.transport.is_closing():
            return
        limit = self._head_seconds if self._in_head or self.cycle is None else self.timeout_keep_alive
        left = limit - (self.loop.time() - self._heard) if self._is_idle() else limit
        if left <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(left, self._look_after)

    def _refuse(self) -> None:
        self._gate.refused += 1
        self._heard = self.loop.time()
        date = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\n" + date + self._refusal())


def _body_at_hand(cycle: Any) -> bytes | None:
    return None if cycle.more_body or cycle.disconnected else bytes(cycle.body)


def _is_one_check(data: bytes) -> bool:
    """Whether `data` is one whole request for a check and nothing else, of the plainest kind."""
    if _CHECK.match(data) is None:
        return False
    end = data.find(b"\r\n\r\n") + 2
    length = _LENGTH.search(data, 0, end)
    return (
        length is not None and end + 2 + int(length[1]) == len(data) and _UNUSUAL.search(data, 0, end) is None
    )
