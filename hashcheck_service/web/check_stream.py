"""POST /v1/check/stream: for backfills. A line of JSON for each item in, a line for each out, as they come.

A stream is of a lower class than a check. It has places of its own, its searches run in a thread of the lowest
priority, and while checks come in it works a tenth of the time. It holds a few lines at a time: what the caller does
not read, it does not go on to answer, and what it has not answered, it does not go on to read.

A line that is no item gets a problem for an answer and the stream goes on. What keeps the service from checking at all
ends the stream with a problem; before the first line it is an answer like any other.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.admission.quota import Kind
from hashcheck_service.checking.checker import Asked
from hashcheck_service.checking.hashes import decode_hex, read_batch
from hashcheck_service.checking.schema import ItemIn, ResultOut, StreamAnswer
from hashcheck_service.policy import Action, Verdict
from hashcheck_service.problems import Problem
from hashcheck_service.service import Service
from hashcheck_service.web.answers import tenant
from hashcheck_service.web.bodies import header
from hashcheck_service.web.context import Context, context_of

MEDIA_TYPE: Final = "application/x-ndjson"
_AT_ONCE: Final = (
    128  # lines searched together: more gain nothing, and each search is a stretch without a pause
)
_REST: Final = 9.0  # times what a turn took, while checks come in

_decoder = msgspec.json.Decoder(ItemIn)
_encoder = msgspec.json.Encoder()
_TOO_LONG: Final = None  # stands for a line that was not kept
_Line = tuple[int, bytes | None]


class StreamEndpoint:
    """An ASGI callable, so that it can answer before it has read all."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        context.route = "/v1/check/stream"
        tenant_now = partial(tenant, self._service, scope, KeyScope.STREAM)
        context.tenant = tenant_now()
        kind = header(scope, b"content-type", MEDIA_TYPE.encode()).partition(b";")[0].strip().lower()
        if kind != MEDIA_TYPE.encode():
            raise Problem(415, "unsupported_media_type", f"Send the items as {MEDIA_TYPE}.")
        self._service.usable(context.snapshot)
        self._service.checker.admit(context.tenant, Kind.STREAM_HASHES)
        with self._service.streams.held(context.tenant):
            await _Stream(self._service, context, receive, send, tenant_now).run()


class _Stream:
    def __init__(
        self, service: Service, context: Context, receive: Receive, send: Send, tenant_now: Callable[[], str]
    ) -> None:
        self._service = service
        self._context = context
        self._receive = receive
        self._send = send
        self._tenant_now = tenant_now
        self._line = 0
        self._started = False  # the answer
        self._seen = service.metrics.answers

    async def run(self) -> None:
        try:
            async for lines in self._turns():
                begun = time.perf_counter()
                await self._write(await self._answers(lines), more=True)
                await self._give_way(time.perf_counter() - begun)
            last = []
        except Problem as problem:
            last = [StreamAnswer(self._line, problem=problem.document(self._context.request_id))]
        with contextlib.suppress(Problem):  # who does not read is not told so either
            await self._write(last)

    async def _turns(self) -> AsyncIterator[list[_Line]]:
        """The lines as they come in, numbered, a few at a time; empty ones are left out."""
        limit = self._service.limits.max_line_bytes
        rest, skipping, more = b"", False, True
        while more:
            chunk, more = await self._read()
            *whole, rest = (rest + chunk).split(b"\n")
            if not more and (rest or skipping):
                whole.append(rest)
            lines: list[_Line] = []
            for text in whole:
                self._line += 1
                if skipping or len(text) > limit:
                    lines.append((self._line, _TOO_LONG))
                elif text.strip():
                    lines.append((self._line, text))
                skipping = False
            if len(rest) > limit:
                rest, skipping = b"", True
            for first in range(0, len(lines), _AT_ONCE):
                yield lines[first : first + _AT_ONCE]

    async def _read(self) -> tuple[bytes, bool]:
        """What came in next, and whether more is to come; raises Problem 408 where nothing does."""
        seconds = self._service.limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            raise Problem(408, "body_timeout", f"Nothing came for {seconds:g} s.") from None
        if message["type"] == "http.disconnect":
            raise Problem(400, "client_disconnected", "The client went away.")
        return message.get("body", b""), message.get("more_body", False)

    async def _answers(self, lines: Sequence[_Line]) -> list[StreamAnswer]:
        self._tenant_now()  # a stream lasts for hours, and its key may be taken away meanwhile
        read = [self._item(text) for _, text in lines]
        items = [item for item in read if isinstance(item, ItemIn)]
        service, context = self._service, self._context
        service.checker.admit(context.tenant, Kind.STREAM_HASHES)
        snapshot = service.usable(service.follower.current)
        refs = [item.ref for item in items]
        batch = read_batch(snapshot.tables, refs, [item.hashes for item in items], decode_hex)
        hashes = sum(len(item.hashes) for item in items)
        asked = Asked(snapshot, service.policy, batch, hashes)
        async with service.stream_turns.turn(context.tenant):
            results = await service.checker.check(
                context.tenant, context.request_id, asked, Kind.STREAM_HASHES, service.stream_thread
            )
        answers, place = [], 0
        for (number, _), item in zip(lines, read, strict=True):
            if isinstance(item, Problem):
                answers.append(StreamAnswer(number, problem=item.document(self._context.request_id)))
                continue
            plain = ResultOut(item.ref, Verdict.NO_MATCH, Action.ALLOW, [], [], more_matches=False)
            answers.append(StreamAnswer(number, snapshot.id, results.get(place, plain)))
            place += 1
        return answers

    def _item(self, text: bytes | None) -> ItemIn | Problem:
        limits = self._service.limits
        if text is _TOO_LONG:
            return Problem(413, "line_too_long", f"A line has at most {limits.max_line_bytes} bytes.")
        try:
            item = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Problem(422, "invalid_request", "The line is not an item of this API in JSON.")
        if not 1 <= len(item.hashes) <= limits.max_hashes_per_item or len(item.ref) > limits.max_ref_chars:
            detail = f"An item has 1 to {limits.max_hashes_per_item} hashes and a `ref` of at most "
            return Problem(422, "invalid_request", f"{detail}{limits.max_ref_chars} characters.")
        return item

    async def _write(self, answers: Sequence[StreamAnswer], *, more: bool = False) -> None:
        """Raises Problem 408 where the caller does not read."""
        body = _encoder.encode_lines(answers) if answers else b""
        try:
            async with asyncio.timeout(self._service.limits.body_seconds):
                # Not before there is something to say: Go's ReverseProxy breaks off answers that begin while it still
                # reads the question. So at least a short stream passes through it.
                if not self._started:
                    self._started = True
                    headers = [(b"content-type", MEDIA_TYPE.encode())]
                    await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise Problem(408, "body_timeout", "The answers are not read.") from None

    async def _give_way(self, took: float) -> None:
        """Let what has come in meanwhile go first, and leave it most of the time."""
        await asyncio.sleep(0)
        seen, self._seen = self._seen, self._service.metrics.answers
        if self._seen != seen:
            await asyncio.sleep(took * _REST)
