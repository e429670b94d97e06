"""uvicorn's HTTP protocol with four things of our own: a whole plain check is answered straight from the bytes read,
under too much load it is refused the same way, a connection that does not speak is closed, and a stop drops no request.

- What a check costs by way of parser, task and ASGI messages is more than the check itself. Where the bytes just read
  are one whole plain request for a check, and its answer need not be waited for, the answer goes out before the event
  loop turns to anything else. Whatever is not plainly that goes the usual way.
- Refusing the usual way costs most of what answering costs, and a worker offered twice what it can do would spend its
  time on refusals. Where the gate says no, a ready-made 503 goes out instead.
- A request head must be whole within some seconds, also the first, and has its limit (bodies have their own); who does
  not read its answers for as long is left.
- At a stop a connection is not closed while a request may be on its way on it: the next answer says that it is the
  last, and only a connection that stays silent for a while is closed.

It does not authenticate and does not look into a body.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from hashcheck_service.admission.load import Load
from hashcheck_service.web.bodies import AT_HAND
from hashcheck_service.web.check_endpoints import HotPath, Written
from hashcheck_service.web.context import lines
from hashcheck_service.web.fast_head import PlainReader

_LINGER_SECONDS: Final = 1.0  # how long after the word to stop a request may have been on its way


class CheckProtocol(HttpToolsProtocol):
    """Finds in the lifespan's state the worker's Load, and what answers checks:
    `load`, `request_lines`, `checks`, `head_too_long`, `head_seconds`, `max_head_bytes`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._load: Load = self.app_state["load"]
        self._plain = PlainReader(self.app_state["request_lines"])
        self._checks: HotPath = self.app_state["checks"]
        self._waits = False  # for the answer to a plain request
        self._early = b""  # what came while it waits
        self._dated: tuple[object, bytes] = (None, b"")
        self._between = True  # requests: nothing of the next has been parsed
        self._in_head = True  # or before the first
        self._heard = self.loop.time()  # of the last answer, or refusal, on this connection
        self._messages = 0  # begun on this connection
        self._head_bytes = 0  # of a head that does not end
        self._max_head_bytes: int = self.app_state["max_head_bytes"]
        self._too_long: Callable[[], bytes] = self.app_state["head_too_long"]
        self._stuck_since = 0.0  # that the caller does not read what is written to it
        self._head_seconds: float = self.app_state["head_seconds"]
        self._timer = self.loop.call_later(self._head_seconds, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # A caller that does not read its answers, and a worker that is to stop, are the usual way's business.
        if self._waits:
            self._early += data
            return
        if self._between and self._is_idle() and not self.flow.write_paused and not self._load.draining:
            plain = self._plain.whole(data)
            if plain is not None:
                answer = self._checks.at_once(*plain, len(self.connections), self.client)
                if isinstance(answer, tuple):
                    self._answer(*answer)
                else:
                    self._wait_for(answer)
                return
        self._parse(data)

    def _wait_for(self, answer: Awaitable[Written]) -> None:
        """Write the answer when it is there. Nothing more is read before."""
        self._waits = True
        self.flow.pause_reading()
        task = self.loop.create_task(self._write_later(answer))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _write_later(self, answer: Awaitable[Written]) -> None:
        written = await answer
        self._waits = False
        if self.transport.is_closing():
            return
        self._answer(*written)
        self.flow.resume_reading()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)
        elif self._load.draining:
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)

    def _parse(self, data: bytes) -> None:
        """The usual way, with a limit on a head: the parser keeps all of one."""
        message = self._messages
        super().data_received(data)
        if self._between or not self._in_head:
            self._head_bytes = 0
        elif self._messages == message:  # all of `data` is of a head that goes on
            self._head_bytes += len(data)
            if self._head_bytes > self._max_head_bytes and not self.transport.is_closing():
                self._answer(431, self._too_long())
                self.transport.close()

    def on_message_begin(self) -> None:
        self._between, self._in_head = False, True
        self._messages += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []  # what comes behind a body in chunks is no part of the head
        if self._load.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if cycle.scope["path"] in self._checks.paths:
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
        self._load.draining = True
        if self._is_idle():
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        elif not self._waits:
            self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return not self._waits and (self.cycle is None or self.cycle.response_complete)

    def _close_if_idle(self) -> None:
        if self._between and self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def _look_after(self) -> None:
        """Close the connection if it has been silent for too long, is at a head for too long, or does not read what it
        is sent; else look again."""
        if self.transport.is_closing():
            return
        limit = self._head_seconds if self._in_head else self.timeout_keep_alive
        left = limit - (self.loop.time() - self._heard) if self._is_idle() else limit
        if self.flow.write_paused:
            left = self._head_seconds - (self.loop.time() - self._stuck_since)
            if left <= 0:
                self.transport.abort()  # to close it would wait until all is written
                return
        if left <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(left, self._look_after)

    def _date(self) -> bytes:
        """What uvicorn puts at the head of every answer; it makes a new list once a second."""
        given = self.server_state.default_headers
        if given is not self._dated[0]:
            self._dated = (given, lines(given))
        return self._dated[1]

    def _answer(self, status: int, written: bytes) -> None:
        """`written`: headers, an empty line and the body."""
        self.server_state.total_requests += 1
        self._heard, self._in_head = self.loop.time(), False
        self.transport.write(b"%b%b%b" % (STATUS_LINE[status], self._date(), written))


def _body_at_hand(cycle: Any) -> bytes | None:
    return None if cycle.more_body or cycle.disconnected else bytes(cycle.body)
