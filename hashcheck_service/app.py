"""create_app(settings): the whole service as one ASGI application.

FastAPI holds the routes that people and operators read. In front of it stand the checking endpoints
(`web.check_endpoints`, docs/adr/0005-hot-path.md): bare ASGI over msgspec, and for plain requests not even that; and
the one for pictures.
Request ids, problems, headers and metrics are the same on all ways.
"""

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hashcheck_core import __version__
from hashcheck_service.http1.fast_head import request_lines
from hashcheck_service.http1.shared import SHARED, Shared
from hashcheck_service.problems import MEDIA_TYPE, from_status
from hashcheck_service.processes.uplink import Uplink
from hashcheck_service.service import Service
from hashcheck_service.settings import Settings
from hashcheck_service.sync.clock import utc_now
from hashcheck_service.web.admin import admin_router
from hashcheck_service.web.answers import has_key
from hashcheck_service.web.check import CheckEndpoint
from hashcheck_service.web.check_endpoints import HotPath
from hashcheck_service.web.check_media import PATH as MEDIA
from hashcheck_service.web.check_media import media_app
from hashcheck_service.web.check_stream import StreamEndpoint
from hashcheck_service.web.check_text import hashcheck_endpoints
from hashcheck_service.web.context import context_of
from hashcheck_service.web.malformed import Malformed
from hashcheck_service.web.responses import Envelope
from hashcheck_service.web.status import status_router


def create_app(
    settings: Settings, clock: Callable[[], datetime] = utc_now, uplink: Uplink | None = None
) -> ASGIApp:
    """The app; its lifespan loads the snapshot and starts the hit log. Without `uplink` it is alone.

    Raises ConfigError or TransportError for keys that cannot be read; a missing or bad snapshot is no error
    here: the app then answers 503 until there is a good one.
    """
    service = Service(settings, clock, uplink)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with service.running():
            yield {
                SHARED: Shared(
                    settings.limits,
                    service.load,
                    hot_path,
                    request_lines(hot_path.paths),
                    Malformed(service),
                    partial(has_key, service),
                )
            }

    app = FastAPI(
        title="hashcheck",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,  # openapi.yaml is written by hand and served as it is
        exception_handlers={HTTPException: _framework_error},
        redirect_slashes=False,
    )
    app.include_router(status_router(service))
    app.include_router(admin_router(service))
    app.router.routes += [
        Route("/openapi.yaml", _openapi, methods=["GET"]),
        Route("/v1/check/stream", StreamEndpoint(service), methods=["POST"]),
    ]
    app.add_middleware(Envelope, service=service)
    media = Envelope(media_app(service), service)

    async def rest(scope: Scope, receive: Receive, send: Send) -> None:
        await (media if scope.get("path") == MEDIA else app)(scope, receive, send)

    hot_path = HotPath(service, {"/v1/check": CheckEndpoint(service), **hashcheck_endpoints(service)}, rest)
    return hot_path


def worker_app(settings: Settings, uplink: Uplink) -> ASGIApp:
    """The app of one worker process of `hashcheck-service serve`."""
    app = create_app(settings, uplink=uplink)
    # What a worker holds by now it holds to its end, and requests leave no cycles: looking for some after every few
    # hundred objects took a twentieth of a batch's time, and looking in all there are holds up requests for 50 ms.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    sys.setswitchinterval(0.0005)  # a thread that works for a large batch hands the GIL over as soon
    return app


def openapi_yaml() -> bytes:
    """openapi.yaml: beside the code in an installed package, at the root in a checkout."""
    packaged = resources.files("hashcheck_service") / "openapi.yaml"
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).parents[1] / "openapi.yaml").read_bytes()


async def _openapi(request: Request) -> Response:
    context_of(request.scope).route = "/openapi.yaml"
    return Response(openapi_yaml(), media_type="application/yaml")


async def _framework_error(request: Request, error: Exception) -> Response:
    """An error the framework found, in our shape. Its own text is dropped: it may quote the request."""
    assert isinstance(error, HTTPException)
    problem = from_status(error.status_code)
    body = problem.body(context_of(request.scope).request_id)
    return Response(body, error.status_code, error.headers, MEDIA_TYPE)
