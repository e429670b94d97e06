"""uvicorn's h11 protocol with a fast way in front, stricter reading, and closing that loses no answer.

- A whole plain check costs more in parser, task and ASGI messages than in checking. Where the bytes just read are one
  such request, it is answered before the event loop turns to anything else. A request whose body comes apart from its
  head is held for a moment, and then goes the same way. All else goes the usual way.
- What cannot be read as HTTP/1.1 is answered with a problem, counted, and the connection is closed.
- A request that is refused before its body has come is answered first. Then the body is read on and thrown away, within
  bounds, so that a caller who is still sending sees the answer and not a reset.
- An idle connection is closed when it was silent for as long as was promised and a second more. A request in that last
  second is answered, and the answer says that it is the last. At a stop it is the same.

It does not authenticate and does not look into a body.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from hashcheck_service.http1.connection import StrictConnection
from hashcheck_service.http1.fast_head import PlainReader
from hashcheck_service.http1.faults import Fault, problem_of
from hashcheck_service.http1.shared import AT_HAND, SHARED, Shared, Written
from hashcheck_service.problems import Problem

_LINGER_SECONDS: Final = 1.0  # so long a request, or an answer, may be on its way
_HOLD_SECONDS: Final = 0.1  # so long a plain head waits for its body
# So much of a body without a valid key is read on; more only from what all such callers share.
_STRANGERS_BYTES: Final = 256 * 1024
_STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, phrase) for status, phrase in STATUS_PHRASES.items()
}


class CheckProtocol(H11Protocol):
    """One connection. It finds Shared in the lifespan's state."""

    conn: StrictConnection

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        shared: Shared = self.app_state[SHARED]
        self._shared = shared
        self._load, self._checks, self._limits = shared.load, shared.checks, shared.limits
        self.conn = StrictConnection(shared.limits.max_head_bytes)
        self._plain = PlainReader(shared.request_lines)
        self._ready = True  # for a plain request: nothing else is under way, and nothing was read of the next
        self._held = b""  # a plain head, and what has come of its body
        self._hold: Any = None  # the timer that ends this
        self._held_since = 0.0
        self._waits = False  # for the answer to a plain request
        self._early = b""  # what came while it waits
        self._dated: tuple[object, bytes] = (None, b"")
        self._first = True  # nothing was answered here
        self._heard = self.loop.time()  # of the connection, or of its last answer
        self._head_since = 0.0  # when the head under way began; 0 where there is none
        self._stuck_since = 0.0  # that the caller does not read what is written to it
        self._retired = False  # the next answer is the last
        self._left = -1  # bytes that are read on and thrown away; below 0: the connection is in use
        self._timer = self.loop.call_later(self._limits.head_seconds, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        if self._hold is not None:
            self._hold.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The caller sends no more. Whether it may still be waiting for an answer."""
        if not self._waits and (self._is_idle() or self.cycle.more_body):
            return False
        self._retired = self.conn.last = True
        if not self._waits:
            self.cycle.keep_alive = False
        return True

    # Requests

    def data_received(self, data: bytes) -> None:
        if self._ready:
            held = self._held
            if held:
                data, self._held = held + data, b""
            # A caller that does not read its answers, and a worker that is to stop, are the usual way's business.
            if not self.flow.write_paused and not self._load.draining:
                plain = self._plain.whole(data)
                if plain is not None:
                    answer = self._checks.at_once(*plain, len(self.connections), self.client)
                    if isinstance(answer, tuple):
                        self._answer(*answer)
                    else:
                        self._wait_for(answer)
                    return
                if self._plain.begins(data):
                    self._hold_on(data, again=bool(held))
                    return
        elif self._waits:
            self._early += data
            return
        elif self._left >= 0:
            self._throw_away(len(data))
            return
        self._parse(data)

    def _hold_on(self, data: bytes, *, again: bool) -> None:
        self._held = data
        if not again:
            self._held_since = self.loop.time()
            if self._hold is None:
                self._hold = self.loop.call_later(_HOLD_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """What was held for long goes the usual way. The timer is not set and unset for each request."""
        self._hold = None
        if self._held:
            left = self._held_since + _HOLD_SECONDS - self.loop.time()
            if left > 0:
                self._hold = self.loop.call_later(left, self._let_go)
            else:
                held, self._held = self._held, b""
                self._parse(held)

    def _wait_for(self, answer: Awaitable[Written]) -> None:
        """Write the answer when it is there. Nothing more is read before."""
        self._waits, self._ready = True, False
        self.flow.pause_reading()
        task = self.loop.create_task(self._write_later(answer))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _write_later(self, answer: Awaitable[Written]) -> None:
        written = await answer
        self._waits, self._ready = False, not self._retired
        if self.transport.is_closing():
            return
        self._answer(*written)
        self.flow.resume_reading()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)
        elif self._retired or self._load.draining:
            self._retire()

    def _parse(self, data: bytes) -> None:
        """The usual way."""
        self._ready = False
        super().data_received(data)

    def handle_events(self) -> None:
        cycle = self.cycle
        super().handle_events()
        if self.cycle is not cycle:
            self._begin_cycle()
        if self.conn.problem is not None:
            self._refuse(self.conn.problem)
        elif self.conn.in_head:
            if not self._head_since:
                self._head_since = self.loop.time()
                self._look_again(self._limits.head_seconds)
        elif self.conn.their_state is h11.IDLE:
            self._head_since = 0.0  # what was read of one was an empty line
            self._ready = not self._retired

    def _begin_cycle(self) -> None:
        """A request was read as far as its head, and its task will run when the event loop comes to it."""
        self._head_since = 0.0
        self.conn.last = self._retired or self._load.draining
        cycle: Any = self.cycle
        cycle.transport = _CycleTransport(self.transport.write, self.transport.is_closing, self._close)
        if cycle.scope["path"] in self._checks.paths:
            cycle.scope["state"][AT_HAND] = partial(_body_at_hand, cycle)

    def _should_upgrade(self) -> bool:
        return False

    # Answers

    def on_response_complete(self) -> None:
        """As uvicorn's, but that no timer is set and unset for each answer."""
        self.server_state.total_requests += 1
        self._heard, self._first = self.loop.time(), False
        if self._left >= 0 or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.DONE:
            self.conn.start_next_cycle()
            self.handle_events()

    def _answer(self, status: int, written: bytes) -> None:
        """`written`: headers, an empty line and the body."""
        self.server_state.total_requests += 1
        self._heard, self._first = self.loop.time(), False
        self.transport.write(b"%b%b%b" % (_STATUS_LINES[status], self._date(), written))

    def _date(self) -> bytes:
        """What uvicorn puts at the head of every answer; it makes a new list once a second."""
        given = self.server_state.default_headers
        if given is not self._dated[0]:
            self._dated = (given, b"".join([b"%b: %b\r\n" % pair for pair in given]))
        return self._dated[1]

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read, unless an answer is under way, and close."""
        if self._left >= 0 or self.transport.is_closing():
            return
        written = self._shared.refuse(problem)
        if self._is_idle() or not self.cycle.response_started:
            self._answer(problem.status, written)
        if not self._is_idle():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._read_on(_STRANGERS_BYTES, _LINGER_SECONDS)

    # The end

    def _close(self) -> None:
        """Close after the last answer, at once where the whole request was read."""
        if self.transport.is_closing() or self._left >= 0:
            return
        if self.conn.their_state is not h11.SEND_BODY:
            self.transport.close()
        elif self._shared.has_key(self.scope):
            limits = self._limits
            self._read_on(2 * max(limits.max_body_bytes, limits.max_media_bytes), limits.body_seconds)
        else:
            self._read_on(_STRANGERS_BYTES, _LINGER_SECONDS)

    def _read_on(self, size: int, seconds: float) -> None:
        """Say that no more will be sent, and throw away what comes, so much and so long.

        To close while a caller still sends would reset the connection, and a reset can overtake the answer.
        """
        self._ready, self._left = False, size
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _throw_away(self, size: int) -> None:
        self._left = max(0, self._left - size)
        if not self._left and not self._shared.strangers.take(size, self.loop.time()):
            self.flow.pause_reading()  # the caller has until the timer runs out to read its answer

    def shutdown(self) -> None:
        self._load.draining = True
        if self._held:
            held, self._held = self._held, b""
            self._parse(held)
        if self._is_idle():
            self._retire()
        elif not self._waits:
            self.conn.last = True
            self.cycle.keep_alive = False

    def _retire(self) -> None:
        """Let the next answer be the last, and close where no request comes for it."""
        self._retired, self._ready = True, False
        self._look_again(_LINGER_SECONDS)

    def _is_idle(self) -> bool:
        return not self._waits and (self.cycle is None or self.cycle.response_complete)

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        self._look_again(self._limits.head_seconds)
        super().pause_writing()

    def _look_again(self, seconds: float) -> None:
        if self._left < 0:
            self._timer.cancel()
            self._timer = self.loop.call_later(seconds, self._look_after)

    def _look_after(self) -> None:
        """End a connection that is silent, or at a head, or does not read, for too long; else look again."""
        limits, now = self._limits, self.loop.time()
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            left = self._stuck_since + limits.head_seconds - now
            if left <= 0:
                self.transport.abort()  # to close it would wait until all is written
                return
        elif self._held or not self._is_idle():
            left = limits.head_seconds
        elif self._head_since:
            left = self._head_since + limits.head_seconds - now
            if left <= 0:
                self._refuse(problem_of(Fault.HEAD_TIMEOUT))
                return
        elif self._first or self._retired:
            self.transport.close()
            return
        else:
            left = self._heard + limits.keep_alive_seconds - now
            if left <= 0:
                self._retire()
                return
        self._look_again(left)


class _CycleTransport:
    """What uvicorn's cycle of a request and its answer writes to, and closes when it is the last."""

    def __init__(self, write: Any, is_closing: Any, close: Any) -> None:
        self.write, self.is_closing, self.close = write, is_closing, close


def _body_at_hand(cycle: Any) -> bytes | None:
    return None if cycle.more_body or cycle.disconnected else bytes(cycle.body)
