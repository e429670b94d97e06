"""The checking endpoints as bare ASGI, in front of the framework's routes: what most requests go through.

A request to one of them meets no router, no middleware and no request object: head and body go to the endpoint, its
answer goes out. Whatever is not one of them is the framework's. What a check itself does stands in routes/check.py.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hashcheck_service.envelope import Context, problem_of, send_problem
from hashcheck_service.problems import from_status
from hashcheck_service.service import Service

# The content type, as a header, and the body of a 200; raises what becomes a problem.
Answer = tuple[tuple[bytes, bytes], bytes]
Endpoint = Callable[[Context, Scope, Receive], Awaitable[Answer]]

_LENGTH: Final = b"content-length"


class HotPath:
    """`endpoints` by path, all for POST."""

    def __init__(self, service: Service, endpoints: Mapping[str, Endpoint], rest: ASGIApp) -> None:
        self._service = service
        self._endpoints = dict(endpoints)
        service.gate.paths = frozenset(endpoints)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        endpoint = self._endpoints.get(path)
        if endpoint is None or scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        started = time.perf_counter()
        self._service.gate.begun += 1
        context = Context(self._service, path)
        status = 0
        try:
            if scope["method"] != "POST":
                raise from_status(405, {"Allow": "POST"})
            kind, body = await endpoint(context, scope, receive)
        except Exception as error:
            problem = problem_of(self._service, error, context)
            status = problem.status
            await send_problem(problem, context, send)
        else:
            status = 200
            headers = [kind, (_LENGTH, b"%d" % len(body)), *context.headers()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            self._service.metrics.answered(context.route, status, time.perf_counter() - started)
