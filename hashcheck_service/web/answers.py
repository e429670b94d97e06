"""What the endpoints share: who asks, and an answer in JSON."""

from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from hashcheck_service.problems import Problem
from hashcheck_service.service import Service
from hashcheck_service.web.bodies import authorization

_BEARER: Final = 'Bearer realm="hashcheck"'
_BASIC: Final = 'Basic realm="hashcheck"'


def tenant(service: Service, authorization: bytes, *, basic: bool = False) -> str:
    """Whose key the `Authorization` header bears; raises Problem 401."""
    name = service.keys.bearer(authorization)
    if name is None and basic:
        name = service.keys.basic(authorization)
    if name is None:
        schemes, detail = _BEARER, "Send a valid API key as `Authorization: Bearer <key>`."
        if basic:
            schemes = f"{_BASIC}, {_BEARER}"
            detail += (
                " Basic authentication will do too: the tenant's name is the user, the key is the password."
            )
        raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": schemes})
    return name


def has_key(service: Service, scope: Scope) -> bool:
    """Whether a request bears a valid key, in either way."""
    given = authorization(scope)
    return service.keys.bearer(given) is not None or service.keys.basic(given) is not None


def json_response(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
