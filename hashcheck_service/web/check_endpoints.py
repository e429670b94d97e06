"""The checking endpoints in front of the framework's routes: what most requests go through.

An endpoint makes a `Question` of a request's bytes. How it is answered is the same for all of them, and stands here:
`_answer` is that one way. `at_once` drives it as far as it gets without waiting, which is nearly always to its end: no
task, no ASGI message. `__call__` is the ASGI application, for requests that come in parts or are unusual.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hashcheck_service.admission.quota import Kind
from hashcheck_service.checking.checker import Asked
from hashcheck_service.checking.schema import ResultOut
from hashcheck_service.problems import from_status, unavailable
from hashcheck_service.service import Service
from hashcheck_service.web.answers import tenant
from hashcheck_service.web.bodies import authorization, header, read_body
from hashcheck_service.web.context import Context, lines
from hashcheck_service.web.drive import Done, drive
from hashcheck_service.web.fast_head import Head
from hashcheck_service.web.question import Endpoint, Header, Question
from hashcheck_service.web.responses import Refusal, document, problem_of

Response = tuple[int, list[Header], bytes]  # status, headers, body
Written = tuple[int, bytes]  # status; headers, an empty line and the body, as HTTP/1.1 writes them

_LENGTH: Final = b"content-length"
# A larger body waits for its turn: about a hundred hashes take the event loop some tenths of a millisecond.
_SMALL_BYTES: Final = 16 * 1024


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

    def at_once(self, head: Head, body: bytes, connections: int) -> Written | Awaitable[Written]:
        """The answer to a whole request, or what must be awaited for it. `connections`: how many the worker has."""
        path, key, content_type, _ = head
        service, endpoint = self._service, self._endpoints[path]
        started = time.perf_counter()
        context = Context(service, path)
        try:
            context.tenant = tenant(service, key, basic=endpoint.basic)
        except Exception as error:
            return self._written(context, started, _bad(service, context, error))
        if not service.load.admits(context.tenant, connections, asyncio.get_running_loop()):
            service.load.refused += 1
            return 503, self._refusal()
        step = drive(self._answer(endpoint, context, content_type, body))
        service.load.spend(context.tenant, time.perf_counter() - started)
        if isinstance(step, Done):
            return self._written(context, started, step.value)
        return self._later(context, started, step)

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
                response = await self._read_and_answer(endpoint, context, scope, receive)
            except Exception as error:
                response = _bad(service, context, error)
            status, headers, body = response
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            service.metrics.answered(path, status, time.perf_counter() - started)

    async def _read_and_answer(
        self, endpoint: Endpoint, context: Context, scope: Scope, receive: Receive
    ) -> Response:
        service = self._service
        if scope["method"] != "POST":
            raise from_status(405, {"Allow": "POST"})
        context.tenant = tenant(service, authorization(scope), basic=endpoint.basic)
        service.checker.admit(context.tenant)
        limit, seconds = endpoint.max_body, service.limits.body_seconds
        with service.bodies.reading(context.tenant) as held:
            body = await read_body(scope, receive, limit, seconds, held)
            began = time.perf_counter()
            step = drive(self._answer(endpoint, context, header(scope, b"content-type"), body))
            service.load.spend(context.tenant, time.perf_counter() - began)
            return step.value if isinstance(step, Done) else await step

    async def _answer(
        self, endpoint: Endpoint, context: Context, content_type: bytes, body: bytes
    ) -> Response:
        """The one way from a body to its answer. What it raises has become a response."""
        service, name = self._service, context.tenant
        try:
            service.checker.admit(name)
            if len(body) <= _SMALL_BYTES and not service.load.heavy(name):
                question = endpoint.question(context, content_type, body)
                results = await service.checker.check(_asked(context, question))
                return _good(context, question, results)
            with service.checks.held(name):
                async with service.turns.turn(name):
                    question = endpoint.question(context, content_type, body)
                results = await service.checker.check(_asked(context, question))
                async with service.turns.turn(name):
                    return _good(context, question, results)
        except Exception as error:
            return _bad(service, context, error)

    async def _later(self, context: Context, started: float, step: Awaitable[Response]) -> Written:
        return self._written(context, started, await step)

    def _written(self, context: Context, started: float, response: Response) -> Written:
        status, headers, body = response
        self._service.metrics.answered(context.route, status, time.perf_counter() - started)
        return status, b"%b\r\n%b" % (lines(headers), body)


def _asked(context: Context, question: Question) -> Asked:
    return Asked(
        context.tenant,
        context.request_id,
        question.snapshot,
        question.policy,
        question.batch,
        question.hashes,
        Kind.HASHES,
    )


def _good(context: Context, question: Question, results: Mapping[int, ResultOut]) -> Response:
    body = question.answer(results)
    return 200, [question.kind, (_LENGTH, b"%d" % len(body)), *context.headers()], body


def _bad(service: Service, context: Context, error: Exception) -> Response:
    problem = problem_of(service, error, context)
    return problem.status, *document(problem, context)
