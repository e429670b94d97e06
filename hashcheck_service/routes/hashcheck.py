"""POST /v1/check/{md5|sha1|sha256} and /v1/test/check/...: the contract of the Dutch HashCheckService.

The body is one bare hex hash, the answer the text `true` or `false`; nothing else is ever answered with 200.
What has no honest answer in one bit (a hash that is none, a type nobody lists) is a problem document: its
known clients treat anything but `true` and `false` as a fault.
"""

from starlette.requests import Request
from starlette.responses import Response

from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_service.checks import Item, Reason, read_item
from hashcheck_service.envelope import context_of
from hashcheck_service.policy import Verdict
from hashcheck_service.problems import Problem, unavailable
from hashcheck_service.routes.check import Handler
from hashcheck_service.routes.common import read_body, tenant, verdicts
from hashcheck_service.service import Service
from hashcheck_service.wire import HashIn

TYPES = ("md5", "sha1", "sha256")
_MAX_BODY = 1024  # a sha256 has 64 digits; the rest is room to say what is wrong


def hashcheck_handler(service: Service, hash_type: str, *, test: bool) -> Handler:
    """With `test` only the reserved test hashes are on the list."""
    policy = service.test_policy if test else service.policy

    async def handle(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = f"/v1{'/test' if test else ''}/check/{hash_type}"
        context.tenant = tenant(service, request, basic=True)
        with service.checks.place():
            body = await read_body(request, _MAX_BODY, service.limits.body_seconds)
            service.quota.spend(context.tenant, 1)
            snapshot = service.usable(context.snapshot)
            item = read_item(snapshot, "", [HashIn(hash_type, body.decode("latin-1"))])
            [result] = await verdicts(service, context, snapshot, [item], policy)
        return _text(result.verdict == Verdict.MATCH, item, result.reasons, hash_type, test=test)

    return handle


def _text(match: bool, item: Item, reasons: list[str], hash_type: str, *, test: bool) -> Response:
    if match:
        return Response("true", media_type="text/plain")
    if not item.queries:
        digits = BUILT_IN_TYPES[hash_type].bits // 4
        raise Problem(400, Reason.MALFORMED_HASH, f"The body is one {hash_type} hash: {digits} hex digits.")
    if (
        Reason.STALE_SNAPSHOT in reasons
    ):  # not on the old list: that is not `false`, and there is no third word
        raise unavailable(Reason.STALE_SNAPSHOT, "The list in force is past its time and has no match.")
    if Reason.TYPE_NOT_LISTED in reasons and not test:
        raise unavailable(Reason.TYPE_NOT_LISTED, f"The list in force holds no {hash_type} hashes.", 3600)
    return Response("false", media_type="text/plain")
