"""The checking endpoints in front of the framework's routes: what most requests go through.

An endpoint makes a `Question` of a request's bytes. How it is answered is the same for all of them, and stands here:
`_answer` is that one way. `at_once` drives it as far as it gets without waiting, which is nearly always to its end: no
task, no ASGI message. `__call__` is the ASGI application, for requests that come in parts or are unusual.
"""

import time
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hashcheck_service.admission.api_keys import ApiKey, Client
from hashcheck_service.http1.fast_head import Head
from hashcheck_service.http1.shared import Written
from hashcheck_service.problems import from_status, unavailable
from hashcheck_service.service import Service
from hashcheck_service.web.answers import key_of
from hashcheck_service.web.bodies import authorization, client, header, read_body, too_large
from hashcheck_service.web.context import Context, lines
from hashcheck_service.web.drive import Done, drive
from hashcheck_service.web.question import Endpoint, Header
from hashcheck_service.web.responses import Refusal, document, problem_of

Answer = tuple[Header, bytes]  # content type and body

_LENGTH: Final = b"content-length"
_HEAD: Final = b"%b: %b\r\ncontent-length: %d\r\n%b\r\n%b"
# A larger body waits for its turn: about a hundred hashes take the event loop some tenths of a millisecond.
_SMALL_BYTES: Final = 16 * 1024
_SECONDS_PER_BYTE: Final = 2e-9  # that reading a larger body takes


class HotPath:
    """`endpoints` by path, all for POST."""

    def __init__(self, service: Service, endpoints: Mapping[str, Endpoint], rest: ASGIApp) -> None:
        self._service = service
        self._endpoints = dict(endpoints)
        self._rest = rest
        self._refusal = Refusal(
            service, unavailable("overloaded", "Too many checks are in hand.", retry_after=1)
        )
        self.paths = frozenset(endpoints)

    def at_once(
        self, head: Head, body: bytes, connections: int, caller: Client
    ) -> Written | Awaitable[Written]:
        """The answer to a whole request, or what must be awaited for it.

        Args:
            connections: How many the worker has.
            caller: The other end of this one.
        """
        started = time.perf_counter()
        service, endpoint = self._service, self._endpoints[head.path]
        context = Context(service, head.path)
        try:
            context.tenant = name = self._key(endpoint, head, caller).tenant
            if not service.load.admits(name, connections, started):
                service.load.refused += 1
                return 503, self._refusal()
            try:
                step = drive(self._answer(endpoint, context, head.content_type, body))
            finally:  # what is refused took its time as well
                now = time.perf_counter()
                service.load.spend(name, now - started, now)
        except Exception as error:
            return self._bad(context, started, error)
        if not isinstance(step, Done):
            return self._later(context, started, step)
        kind, answer = step.value
        service.metrics.answered(head.path, 200, now - started)
        return 200, _HEAD % (*kind, len(answer), context.lines(), answer)

    def _key(self, endpoint: Endpoint, head: Head, caller: Client) -> ApiKey:
        """The key of a head. What was found for it stands while the keys are the same and its time is not over: the
        head, and whoever sent it, are those of one connection."""
        service = self._service
        keys, held = service.keys.current, head.key
        if held is not None and held[0] is keys:
            ends = held[1].expires_at
            if ends is None or service.clock() < ends:
                return held[1]
        found = key_of(service, head.authorization, caller, endpoint.scope, basic=endpoint.basic)
        head.key = (keys, found)
        return found

    async def _later(self, context: Context, started: float, step: Awaitable[Answer]) -> Written:
        try:
            kind, answer = await step
        except Exception as error:
            return self._bad(context, started, error)
        self._service.metrics.answered(context.route, 200, time.perf_counter() - started)
        return 200, _HEAD % (*kind, len(answer), context.lines(), answer)

    def _bad(self, context: Context, started: float, error: Exception) -> Written:
        status, headers, body = _problem(self._service, context, error)
        self._service.metrics.answered(context.route, status, time.perf_counter() - started)
        return status, b"%b\r\n%b" % (lines(headers), body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        endpoint = self._endpoints.get(path)
        if endpoint is None or scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        started = time.perf_counter()
        service = self._service
        context = Context(service, path)
        status = 0
        try:
            try:
                kind, body = await self._read_and_answer(endpoint, context, scope, receive)
                status, headers = 200, [kind, (_LENGTH, b"%d" % len(body)), *context.headers()]
            except Exception as error:
                status, headers, body = _problem(service, context, error)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            service.metrics.answered(path, status, time.perf_counter() - started)

    async def _read_and_answer(
        self, endpoint: Endpoint, context: Context, scope: Scope, receive: Receive
    ) -> Answer:
        service = self._service
        if scope["method"] != "POST":
            raise from_status(405, {"Allow": "POST"})
        given = authorization(scope), client(scope)
        context.tenant = key_of(service, *given, endpoint.scope, basic=endpoint.basic).tenant
        service.checker.admit(context.tenant)
        limit, seconds = endpoint.max_body, service.limits.body_seconds
        with service.bodies.reading(context.tenant) as held:
            body = await read_body(scope, receive, limit, seconds, held)
            began = time.perf_counter()
            try:
                step = drive(self._answer(endpoint, context, header(scope, b"content-type"), body))
            finally:
                now = time.perf_counter()
                service.load.spend(context.tenant, now - began, now)
            return step.value if isinstance(step, Done) else await step

    async def _answer(self, endpoint: Endpoint, context: Context, content_type: bytes, body: bytes) -> Answer:
        """The one way from a body to its answer. Raises what becomes a problem."""
        service, name = self._service, context.tenant
        if len(body) > endpoint.max_body:
            raise too_large(endpoint.max_body, whole=True)
        if len(body) <= _SMALL_BYTES and not service.load.heavy(name):
            question = endpoint.question(context, content_type, body)
            results = await service.checker.check(name, context.request_id, question)
            return question.kind, question.answer(results)
        service.checker.admit(name)
        with service.checks.held(name):
            if len(body) <= _SMALL_BYTES:
                async with service.turns.turn(name):
                    question = endpoint.question(context, content_type, body)
            else:
                read = partial(endpoint.question, context, content_type, body)
                question = await service.checker.in_thread(name, len(body) * _SECONDS_PER_BYTE, read)
            results = await service.checker.check(name, context.request_id, question)
            async with service.turns.turn(name):
                return question.kind, question.answer(results)


def _problem(service: Service, context: Context, error: Exception) -> tuple[int, list[Header], bytes]:
    problem = problem_of(service, error, context)
    return problem.status, *document(problem, context)
