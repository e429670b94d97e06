"""h11's connection, made strict: a request that RFC 9112 forbids is refused and not read.

h11 reads what is left: heads that passed `head_rules`, and bodies of a known length. Chunks are read by
`chunked_body`.
"""

import re
from typing import Any, Final

import h11

from hashcheck_service.http1.chunked_body import ChunkedBody
from hashcheck_service.http1.faults import Fault, problem_of
from hashcheck_service.http1.head_rules import checked_head
from hashcheck_service.problems import Problem

_END: Final = re.compile(rb"\n\r?\n")  # of a head. One with bare line feeds ends too: it is refused at once.
_CLOSE: Final = (b"connection", b"close")
_ALL: Final = 1 << 40  # bytes: whatever there is


class StrictConnection(h11.Connection):
    """The server's side of a connection.

    `problem` says why no more can be read: `next_event` gives nothing from then on. With `last` set the next answer
    says that the connection ends; so does an answer that begins before the whole request was read.
    """

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self.problem: Problem | None = None
        self.last = False
        self._max_head_bytes = max_head_bytes
        self._head = bytearray()  # of the next request, as far as it has come
        self._searched = 0  # so much of it, for its end

    @property
    def in_head(self) -> bool:
        """Whether a request has begun and its head is not whole."""
        return bool(self._head)

    def receive_data(self, data: bytes) -> None:
        if self.their_state is h11.IDLE:
            self._head += data
        elif self.their_state not in (
            h11.MUST_CLOSE,
            h11.CLOSED,
        ):  # what follows the last request is not read
            super().receive_data(data)

    def start_next_cycle(self) -> None:
        behind = self.trailing_data[0]
        super().__init__(h11.SERVER, self._max_head_bytes)  # a new connection has an empty buffer
        self._head += behind

    def next_event(self) -> Any:
        """As h11's, but it raises nothing: see `problem`."""
        if self.problem is not None or self.their_state in (h11.MUST_CLOSE, h11.CLOSED):
            return h11.NEED_DATA
        try:
            if self.their_state is h11.IDLE and not self._pass_head():
                return h11.NEED_DATA
            event = super().next_event()
        except Problem as problem:
            self.problem = problem
            return h11.NEED_DATA
        except h11.RemoteProtocolError:  # the head has passed our rules, and not h11's
            self.problem = problem_of(Fault.MALFORMED_HEADER)
            return h11.NEED_DATA
        if type(event) is h11.Request and (b"transfer-encoding", b"chunked") in list(event.headers):
            self._reader = _Chunks()
        return event

    def send(self, event: Any) -> Any:
        if type(event) is h11.Response and (self.last or self.their_state is h11.SEND_BODY):
            headers = [pair for pair in event.headers if pair[0] != b"connection"]
            event = h11.Response(
                status_code=event.status_code, headers=[*headers, _CLOSE], reason=event.reason
            )
        return super().send(event)

    def _pass_head(self) -> bool:
        """Give h11 the head, once it is whole; raises Problem where it breaks a rule."""
        head = self._head
        while head.startswith(b"\r\n"):  # RFC 9112, 2.2: empty lines before a request
            del head[:2]
            self._searched = 0
        if not head:
            return False
        end = _END.search(head, max(0, self._searched - 3))
        if (end.end() if end else len(head)) > self._max_head_bytes:
            raise problem_of(Fault.HEAD_TOO_LARGE)
        if end is None:
            if not 0x21 <= head[0] <= 0x7E and head != b"\r":  # TLS, as a rule
                raise problem_of(Fault.MALFORMED_REQUEST_LINE)
            self._searched = len(head)
            return False
        behind = bytes(head[end.end() :])
        whole = bytes(head[: end.end()])
        self._head, self._searched = bytearray(), 0
        super().receive_data(checked_head(whole) + behind)
        return True


class _Chunks:
    """A reader as h11 calls them: a buffer in, the next event out, or None where there is none yet."""

    def __init__(self) -> None:
        self._body = ChunkedBody()
        self._over = False

    def __call__(self, buffer: Any) -> h11.Data | h11.EndOfMessage | None:
        if self._over:
            return h11.EndOfMessage()
        data = buffer.maybe_extract_at_most(_ALL)
        if data is None:
            return None
        content, behind = self._body.feed(bytes(data))
        if behind is not None:
            self._over = True
            buffer += behind
        if content:
            return h11.Data(data=content)
        return h11.EndOfMessage() if self._over else None

    def read_eof(self) -> None:
        raise h11.RemoteProtocolError("the body ends early")
