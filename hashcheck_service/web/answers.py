"""What the endpoints share: who asks, and an answer in JSON."""

from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from hashcheck_service.admission.api_keys import ApiKey, Client, KeyFault, KeyRefusedError
from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.problems import Problem, unavailable
from hashcheck_service.processes.connections import shows_key
from hashcheck_service.service import Service
from hashcheck_service.web.bodies import authorization, client

_BEARER: Final = 'Bearer realm="hashcheck"'
_BASIC: Final = 'Basic realm="hashcheck"'


def key_of(
    service: Service,
    given: bytes,
    caller: Client,
    needs: KeyScope | None,
    *,
    basic: bool = False,
) -> ApiKey:
    """The key that the `Authorization` header `given` bears, if it may be used for this; None needs no scope.

    Raises Problem 401, 403 or 503.
    """
    try:
        key = service.keys.current.admit(given, caller, needs, service.clock, basic=basic)
    except KeyRefusedError as error:
        service.key_refusals.note(error)
        raise _problem(error.fault, needs, basic=basic) from None
    shows_key()
    return key


def tenant(service: Service, scope: Scope, needs: KeyScope) -> str:
    """Whose key a request bears; raises as `key_of` does."""
    return key_of(service, authorization(scope), client(scope), needs).tenant


def known(service: Service, scope: Scope, needs: KeyScope) -> str | None:
    """As `tenant`; None for a request without such a key, where that is no fault."""
    try:
        return tenant(service, scope, needs) if authorization(scope) else None
    except Problem:
        return None


def _problem(fault: KeyFault, needs: KeyScope | None, *, basic: bool) -> Problem:
    if fault is KeyFault.UNAVAILABLE:
        return unavailable(fault, "The service cannot tell at present which API keys are valid.")
    if fault is KeyFault.NO_SCOPE:
        return Problem(403, fault, f"This key has no {needs} scope.")
    if fault is KeyFault.WRONG_NETWORK:
        return Problem(403, fault, "This API key may not be used from this network.")
    detail = "Send a valid API key as `Authorization: Bearer <key>`."
    if basic:
        detail += " Basic authentication will do too: the tenant's name is the user, the key is the password."
    if fault is KeyFault.EXPIRED:
        detail = "This API key has expired. Ask the operator of the service for a new one."
    schemes = f"{_BASIC}, {_BEARER}" if basic else _BEARER
    return Problem(401, fault, detail, {"WWW-Authenticate": schemes})


def has_key(service: Service, scope: Scope) -> bool:
    """Whether a request bears a valid key, in either way, whatever it may be used for."""
    try:
        service.keys.current.admit(authorization(scope), client(scope), None, service.clock, basic=True)
    except KeyRefusedError:
        return False
    return True


def json_response(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
