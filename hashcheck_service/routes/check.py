"""POST /v1/check: a batch of items, each with the hashes of one upload."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hashcheck_service.checks import read_item
from hashcheck_service.envelope import context_of
from hashcheck_service.problems import Problem
from hashcheck_service.routes.common import json_response, read_body, snapshot_ref, tenant, verdicts
from hashcheck_service.service import Service
from hashcheck_service.settings import Limits
from hashcheck_service.wire import CheckRequest, CheckResponse

Handler = Callable[[Request], Awaitable[Response]]

_decoder = msgspec.json.Decoder(CheckRequest)


def check_handler(service: Service) -> Handler:
    async def handle(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/v1/check"
        context.tenant = tenant(service, request)
        with service.checks.place():
            _expect_json(request)
            body = await read_body(request, service.limits.max_body_bytes, service.limits.body_seconds)
            asked = read_request(body, service.limits)
            service.quota.spend(context.tenant, sum(len(item.hashes) for item in asked.items))
            snapshot = service.usable(context.snapshot)
            items = [read_item(snapshot, item.ref, item.hashes) for item in asked.items]
            results = await verdicts(service, context, snapshot, items, service.policy)
        return json_response(CheckResponse(context.request_id, snapshot_ref(snapshot), results))

    return handle


def read_request(body: bytes, limits: Limits) -> CheckRequest:
    """The request in `body`; raises Problem 400 where it is not JSON, 422 where it is not a check."""
    try:
        asked = _decoder.decode(body)
    except msgspec.ValidationError as error:
        # msgspec's sentences name our fields and types; the one thing they quote is an unknown field's name.
        text = str(error)
        unknown = text.startswith("Object contains unknown field")
        raise _invalid("An object has a field that is not of this API" if unknown else text) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Problem(400, "malformed_json", "The body is not JSON.") from None
    if not 1 <= len(asked.items) <= limits.max_items:
        raise _invalid(f"`items` has 1 to {limits.max_items} items, not {len(asked.items)}")
    for item in asked.items:
        if not 1 <= len(item.hashes) <= limits.max_hashes_per_item:
            raise _invalid(f"`hashes` has 1 to {limits.max_hashes_per_item} hashes")
        if len(item.ref) > limits.max_ref_chars:
            raise _invalid(f"`ref` has at most {limits.max_ref_chars} characters")
        for given in item.hashes:
            if given.quality is not None and not 0 <= given.quality <= 100:
                raise _invalid("`quality` is 0 to 100")
    return asked


def _expect_json(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "unsupported_media_type", "Send the check as application/json.")


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid_request", f"{detail}.")
