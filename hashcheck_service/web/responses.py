"""What every answer has: a request id, the id of the snapshot, and one shape for every error.

`Envelope` puts it around the routes that the framework serves, `HotPath` (check_endpoints.py) around its own. The
reference to the snapshot is read once for each request, so that the verdict, the header and the body of one answer
speak of the same one through any swap.
"""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashcheck_core.errors import HashcheckError
from hashcheck_service.logs import log_crash
from hashcheck_service.problems import MEDIA_TYPE, Problem, from_error
from hashcheck_service.service import Service
from hashcheck_service.web.context import CONTEXT, Context, lines
from hashcheck_service.web.request_ids import new_id


class Envelope:
    """A plain ASGI layer, the outermost of ours around the framework's routes."""

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
                message["headers"] = [*message.get("headers", ()), *context.headers()]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if status:
                crashed(self._service, error, context, "answer_broken_off")
                raise
            problem = problem_of(self._service, error, context)
            status = problem.status
            await send_problem(problem, context, send)
        finally:
            self._service.metrics.answered(context.route, status, time.perf_counter() - started)
            # A connection that idles keeps its last scope, and must not keep a snapshot with it.
            del scope[CONTEXT]


def problem_of(service: Service, error: Exception, context: Context) -> Problem:
    """What an error is to the caller; one that nobody foresaw is logged and counted."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HashcheckError):
        return from_error(error)
    crashed(service, error, context, "crash")
    return Problem(500, "internal_error", "The service failed at this request; it has been logged.")


def crashed(service: Service, error: Exception, context: Context, event: str) -> None:
    log_crash(event, error, request_id=context.request_id, route=context.route)
    service.metrics.crashes.inc()


def document(problem: Problem, context: Context) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a problem."""
    body = problem.body(context.request_id)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return [*headers, *context.headers()], body


class Refusal:
    """The answer to a request that is not even parsed: headers, an empty line and the body. All of it is the same each
    time but the request's id: who asks is not known, so nothing is told of the list."""

    def __init__(self, service: Service, problem: Problem) -> None:
        context = Context(service)
        headers, body = document(problem, context)
        # What stands around the request's id.
        self._parts = (lines(headers) + b"\r\n" + body).split(context.request_id.encode())

    def __call__(self) -> bytes:
        return new_id().encode().join(self._parts)


async def send_problem(problem: Problem, context: Context, send: Send) -> None:
    headers, body = document(problem, context)
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
