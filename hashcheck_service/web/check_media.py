"""POST /v1/check/media: the bytes of one picture, hashed in memory and checked; never stored. An ASGI application of
its own, for the framework's way to a route costs as much as handing a small picture over.

The exact hashes are of the bytes as sent. Of an animation only the first frame is hashed, so that the rest stays
unknown. Decoding and hashing are done elsewhere (`pool`).
"""

from typing import NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hashcheck_core.images.hashing import ImageHash
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.admission.quota import Kind
from hashcheck_service.checking.checker import Asked
from hashcheck_service.checking.encodings import snapshot_ref
from hashcheck_service.checking.hashes import Batch, decode_raw, read_batch
from hashcheck_service.checking.schema import ComputedHash, MediaResponse, ResultOut
from hashcheck_service.pictures.pool import Looked
from hashcheck_service.policy import Action, Verdict
from hashcheck_service.problems import Problem, from_status
from hashcheck_service.service import Service
from hashcheck_service.web.answers import json_response, tenant
from hashcheck_service.web.bodies import read_body
from hashcheck_service.web.context import context_of

PATH = "/v1/check/media"


def media_app(service: Service) -> ASGIApp:
    limits = service.limits

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        context = context_of(scope)
        context.route = PATH
        if request.method != "POST":
            raise from_status(405, {"Allow": "POST"})
        context.tenant = tenant(service, scope, KeyScope.MEDIA)
        ref, dihedral = _parameters(request, limits.max_ref_chars)
        service.checker.admit(context.tenant, Kind.MEDIA)
        _expect_picture(request)
        with service.bodies.reading(context.tenant) as hold:
            data = await read_body(scope, receive, limits.max_media_bytes, limits.body_seconds, hold)
            if not data:
                raise Problem(422, "empty_body", "Send the bytes of one picture.")
            snapshot = service.usable(context.snapshot)
            with service.pictures.held(context.tenant):
                async with service.picture_turns.turn(context.tenant):
                    looked = await service.picture_pool.look(data, dihedral=dihedral, tenant=context.tenant)
        batch = _batch(snapshot, ref, looked)
        asked = Asked(snapshot, service.policy, batch, hashes=1)
        results = await service.checker.check(context.tenant, context.request_id, asked, Kind.MEDIA)
        computed = [_computed(item) for item in looked.hashes]
        result = results.get(0, ResultOut(ref, Verdict.NO_MATCH, Action.ALLOW, [], [], more_matches=False))
        answer = MediaResponse(context.request_id, snapshot_ref(snapshot), [result], computed)
        await json_response(answer)(scope, receive, send)

    return handle


class _Raw(NamedTuple):
    """A computed hash, as `read_batch` takes it."""

    type: str
    value: bytes
    quality: int | None


def _batch(snapshot: Snapshot, ref: str, looked: Looked) -> Batch:
    """One item; hashes of types that the list does not know are not looked at."""
    given = [
        _Raw(computed.hash.type.name, computed.hash.value, computed.quality)
        for computed in looked.hashes
        if computed.hash.type.name in snapshot.tables
    ]
    batch = read_batch(snapshot.tables, [ref], [given], decode_raw)
    if looked.reasons:
        batch.reasons.setdefault(0, []).extend(looked.reasons)
    return batch


def _computed(item: ImageHash) -> ComputedHash:
    quality = {} if item.quality is None else {"quality": item.quality}
    return ComputedHash(item.hash.type.name, item.hash.hex(), item.transform, **quality)


def _parameters(request: Request, max_ref: int) -> tuple[str, bool]:
    unknown = set(request.query_params) - {"ref", "dihedral"}
    ref = request.query_params.get("ref", "")
    dihedral = request.query_params.get("dihedral", "false")
    if unknown or len(ref) > max_ref or dihedral not in ("true", "false"):
        detail = f"The query takes `ref` (at most {max_ref} characters) and `dihedral` (true or false)."
        raise Problem(422, "invalid_request", detail)
    return ref, dihedral == "true"


def _expect_picture(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise Problem(
            415, "unsupported_media_type", "Send the picture as image/* or application/octet-stream."
        )
