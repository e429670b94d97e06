"""The checking endpoints in front of the framework's routes: what most requests go through.

An endpoint makes a `Question` of a request's bytes; how it is answered is the same for all of them, and stands here.
`at_once` answers a whole request where nothing has to be waited for, as nearly always: no task, no ASGI message.
`__call__` is the ASGI application: it waits for bodies, for long searches and for the hit log, and hands whatever is
no check to the framework. Both take the same steps.
"""

import time
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hashcheck_service.checking.schema import ResultOut
from hashcheck_service.problems import from_status
from hashcheck_service.service import Service
from hashcheck_service.web.answers import tenant, verdicts, verdicts_at_once
from hashcheck_service.web.bodies import authorization, header, read_body
from hashcheck_service.web.context import Context, lines
from hashcheck_service.web.fast_head import Head
from hashcheck_service.web.question import Endpoint, Header, Question
from hashcheck_service.web.responses import document, problem_of

Response = tuple[int, list[Header], bytes]  # status, headers, body
Written = tuple[int, bytes]  # status; headers, an empty line and the body, as HTTP/1.1 writes them

_LENGTH: Final = b"content-length"
# A body that may be answered at once: about a hundred hashes. More are searched in a thread, as a rule.
_AT_ONCE_BYTES: Final = 16 * 1024


class HotPath:
    """`endpoints` by path, all for POST."""

    def __init__(self, service: Service, endpoints: Mapping[str, Endpoint], rest: ASGIApp) -> None:
        self._service = service
        self._endpoints = dict(endpoints)
        service.gate.paths = frozenset(endpoints)
        self._rest = rest

    def at_once(self, head: Head, body: bytes) -> Written | None:
        """The answer; None where it has to be waited for, and then nothing has happened."""
        path, key, content_type, _ = head
        service, endpoint = self._service, self._endpoints[path]
        if len(body) > _AT_ONCE_BYTES or len(body) > endpoint.max_body:
            return None
        started = time.perf_counter()
        context = Context(service, path)
        try:
            context.tenant = tenant(service, key, basic=endpoint.basic)
            question = endpoint.question(context, content_type, body)
            service.quota.look(context.tenant, question.hashes)
            results = verdicts_at_once(service, question.snapshot, question.batch, question.policy)
            if results is None:
                return None
            service.quota.spend(context.tenant, question.hashes)
            answer = question.answer(results)
            written = b"%b: %b\r\ncontent-length: %d\r\n%b\r\n%b" % (
                *question.kind,
                len(answer),
                context.lines(),
                answer,
            )
            status = 200
        except Exception as error:
            status, headers, answer = _bad(service, context, error)
            written = b"%b\r\n%b" % (lines(headers), answer)
        service.metrics.answered(path, status, time.perf_counter() - started)
        return status, written

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        endpoint = self._endpoints.get(path)
        if endpoint is None or scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        started = time.perf_counter()
        service = self._service
        service.gate.begun += 1
        context = Context(service, path)
        status = 0
        try:
            try:
                response = await self._wait(endpoint, context, scope, receive)
            except Exception as error:
                response = _bad(service, context, error)
            status, headers, body = response
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            service.metrics.answered(path, status, time.perf_counter() - started)

    async def _wait(self, endpoint: Endpoint, context: Context, scope: Scope, receive: Receive) -> Response:
        service = self._service
        if scope["method"] != "POST":
            raise from_status(405, {"Allow": "POST"})
        context.tenant = tenant(service, authorization(scope), basic=endpoint.basic)
        with service.checks:
            body = await read_body(scope, receive, endpoint.max_body, service.limits.body_seconds)
            question = endpoint.question(context, header(scope, b"content-type"), body)
            service.quota.spend(context.tenant, question.hashes)
            results = await verdicts(service, context, question.snapshot, question.batch, question.policy)
        return _good(context, question, results)


def _good(context: Context, question: Question, results: Mapping[int, ResultOut]) -> Response:
    body = question.answer(results)
    return 200, [question.kind, (_LENGTH, b"%d" % len(body)), *context.headers()], body


def _bad(service: Service, context: Context, error: Exception) -> Response:
    problem = problem_of(service, error, context)
    return problem.status, *document(problem, context)
