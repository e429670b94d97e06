"""What the endpoints share: who asks, and an answer in JSON."""

import msgspec
from starlette.responses import Response

from hashcheck_service.problems import Problem
from hashcheck_service.processes.connections import shows_key
from hashcheck_service.service import Service


def tenant(service: Service, authorization: bytes, *, basic: bool = False) -> str:
    """Whose key the `Authorization` header bears; raises Problem 401."""
    name = service.keys.bearer(authorization)
    if name is None and basic:
        name = service.keys.basic(authorization)
    if name is None:
        scheme = 'Basic realm="hashcheck"' if basic else 'Bearer realm="hashcheck"'
        raise Problem(
            401,
            "unauthorized",
            "Send a valid API key as `Authorization: Bearer <key>`.",
            {"WWW-Authenticate": scheme},
        )
    shows_key()
    return name


def json_response(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
