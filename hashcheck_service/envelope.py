"""What every answer has: a request id, the id of the snapshot, and one shape for every error.

A plain ASGI layer, the outermost of ours. It reads the reference to the snapshot once, so that the verdict,
the header and the body of one answer speak of the same one through any swap.
"""

import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashcheck_core.errors import HashcheckError
from hashcheck_service.logs import log_crash
from hashcheck_service.problems import MEDIA_TYPE, Problem, from_error
from hashcheck_service.service import Service

CONTEXT = "hashcheck"
SNAPSHOT_HEADER = b"hashcheck-snapshot"
REQUEST_ID_HEADER = b"hashcheck-request-id"


class Context:
    """What is known of one request. `route` is a fixed name for metrics, set by the handler."""

    __slots__ = ("request_id", "route", "snapshot", "tenant")

    def __init__(self, service: Service) -> None:
        self.request_id = secrets.token_hex(16)
        self.snapshot = service.follower.current
        self.route = "other"
        self.tenant = ""


class Envelope:
    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        context = scope[CONTEXT] = Context(self._service)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(context)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if status:
                log_crash("answer_broken_off", error, request_id=context.request_id)
                self._service.metrics.crashes.inc()
                raise
            await _send_problem(self._problem(error, context), context, send_with_headers)
        finally:
            took = time.perf_counter() - started
            self._service.metrics.requests.labels(context.route, str(status)).observe(took)

    def _problem(self, error: Exception, context: Context) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, HashcheckError):
            return from_error(error)
        log_crash("crash", error, request_id=context.request_id, route=context.route)
        self._service.metrics.crashes.inc()
        return Problem(500, "internal_error", "The service failed at this request; it has been logged.")


def context_of(scope: Any) -> Context:
    """The context of a request's scope."""
    context = scope[CONTEXT]
    assert isinstance(context, Context)
    return context


def _headers(context: Context) -> list[tuple[bytes, bytes]]:
    headers = [(REQUEST_ID_HEADER, context.request_id.encode())]
    if context.snapshot is not None:
        headers.append((SNAPSHOT_HEADER, context.snapshot.id.encode()))
    return headers


async def _send_problem(problem: Problem, context: Context, send: Send) -> None:
    body = problem.body(context.request_id)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
