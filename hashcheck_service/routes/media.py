"""POST /v1/check/media: the bytes of one picture, hashed in memory and checked; never stored."""

from starlette.requests import Request
from starlette.responses import Response

from hashcheck_core.errors import ImageError
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import ImageHash, hash_bytes, hash_picture
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checks import Item, Query, Reason, usable
from hashcheck_service.envelope import context_of
from hashcheck_service.problems import Problem
from hashcheck_service.routes.check import Handler
from hashcheck_service.routes.common import (
    in_thread,
    json_response,
    read_body,
    snapshot_ref,
    tenant,
    verdicts,
)
from hashcheck_service.service import Service
from hashcheck_service.wire import ComputedHash, MediaResponse


def media_handler(service: Service) -> Handler:
    limits = service.limits
    image_limits = ImageLimits(max_bytes=limits.max_media_bytes, max_pixels=limits.max_pixels)

    async def handle(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/v1/check/media"
        context.tenant = tenant(service, request)
        ref, dihedral = _parameters(request, limits.max_ref_chars)
        with service.pictures.place():
            _expect_picture(request)
            data = await read_body(request, limits.max_media_bytes, limits.body_seconds)
            if not data:
                raise Problem(422, "empty_body", "Send the bytes of one picture.")
            service.quota.spend(context.tenant, 1)
            snapshot = service.usable(context.snapshot)
            hashes, reasons = await in_thread(
                service.picture_threads, lambda: hash_media(data, image_limits, dihedral=dihedral)
            )
            item = _item(snapshot, ref, hashes, reasons)
            results = await verdicts(service, context, snapshot, [item], service.policy)
        computed = [_computed(item) for item in hashes]
        return json_response(MediaResponse(context.request_id, snapshot_ref(snapshot), results, computed))

    return handle


def hash_media(data: bytes, limits: ImageLimits, *, dihedral: bool) -> tuple[list[ImageHash], list[Reason]]:
    """All hashes of the bytes, and why some of the picture could not be looked at.

    The exact hashes are of the bytes as sent. Of an animation only the first frame is hashed, so that the
    rest stays unknown.
    """
    hashes = hash_bytes(data)
    try:
        image = decode(data, limits)
    except ImageError as error:
        return hashes, [Reason(error.code)]
    hashes += hash_picture(image.rgb, dihedral=dihedral)
    return hashes, [Reason.ANIMATION] if image.frames > 1 else []


def _item(snapshot: Snapshot, ref: str, hashes: list[ImageHash], reasons: list[Reason]) -> Item:
    queries: list[Query] = []
    reasons = list(reasons)
    for computed in hashes:
        read = usable(computed.hash.type, computed.hash.value, computed.quality)
        if not isinstance(read, Query):
            reasons.append(read)
        elif computed.hash.type.name in snapshot.tables:
            queries.append(read)
    return Item(ref, queries, reasons)


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
