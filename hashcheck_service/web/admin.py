"""Which snapshot this machine serves: /v1/admin/snapshots, for keys with the admin scope.

A request reaches one worker; what it decides it writes into the state directory, which all of them watch, and the
answer waits for them. It can hold a machine to the snapshot in force, or let it go on. It cannot go back: what is
older comes in force only by a signed pointer (`index-builder rollback`), which machines take up by themselves.
"""

import asyncio
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from hashcheck_core.errors import HashcheckError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, decode
from hashcheck_core.snapshot.pointer import POINTER_NAME, Pointer, decode_pointer, is_snapshot_name
from hashcheck_core.snapshot.signed import SignedDocument
from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.checking.schema import (
    ActivateRequest,
    ActivateResponse,
    AdminSnapshotsResponse,
    LocalSnapshotOut,
    PointerOut,
    WorkerOut,
)
from hashcheck_service.logs import log
from hashcheck_service.problems import Problem
from hashcheck_service.service import Service
from hashcheck_service.sync.state_directory import PINNED_NAME, State
from hashcheck_service.web.answers import json_response, tenant
from hashcheck_service.web.bodies import read_body
from hashcheck_service.web.context import context_of

_WAIT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05
_MAX_BODY: Final = 1024


def admin_router(service: Service) -> APIRouter:
    router = APIRouter()
    state = service.following.state

    @router.get("/v1/admin/snapshots")
    async def snapshots(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/v1/admin/snapshots"
        context.tenant = tenant(service, request.scope, KeyScope.ADMIN)
        refusal = service.following.refusal
        newest, pinned, local = await asyncio.to_thread(_local, state)
        return json_response(
            AdminSnapshotsResponse(
                context.request_id,
                _pointer_out(newest),
                _pointer_out(pinned),
                local,
                _workers(state),
                refusal.code if refusal else None,
                refusal.detail if refusal else None,
            )
        )

    @router.post("/v1/admin/snapshots/{version}/activate")
    async def activate(request: Request, version: str) -> Response:
        context = context_of(request.scope)
        context.route = "/v1/admin/snapshots/activate"
        context.tenant = tenant(service, request.scope, KeyScope.ADMIN)
        body = await read_body(request.scope, request.receive, _MAX_BODY, service.limits.body_seconds)
        try:
            asked = msgspec.json.decode(body or b"{}", type=ActivateRequest)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Problem(
                422, "invalid_request", 'The body is {"pin": true}, {"pin": false} or empty.'
            ) from None
        wanted = await asyncio.to_thread(_decide, state, version, pin=asked.pin)
        log.info("snapshot_activated", version=wanted.version, pin=asked.pin, by=context.tenant)
        complete = await _settled(state, wanted, wanted.sequence if asked.pin else 0)
        pinned = wanted if asked.pin else None
        return json_response(
            ActivateResponse(context.request_id, complete, _pointer_out(pinned), _workers(state))
        )

    return router


def _decide(state: State, version: str, *, pin: bool) -> Pointer:
    """Hold this machine to the pointer it has, or let it go on; raises Problem 409 for any other version."""
    newest, pinned = _document(state, POINTER_NAME), _document(state, PINNED_NAME)
    for pointer, name in ((pinned, PINNED_NAME), (newest, POINTER_NAME)):
        if pointer is None or str(pointer.version) != version or (pin is False and name == PINNED_NAME):
            continue
        if not pin:
            state.drop(PINNED_NAME)
        elif name == POINTER_NAME and (document := state.document(POINTER_NAME)) is not None:
            state.keep(PINNED_NAME, document)
        return pointer
    raise Problem(
        409,
        "not_signed",
        "No signed pointer on this machine puts that version in force. Going back is a signed act: index-builder "
        "rollback; machines follow it by themselves.",
    )


async def _settled(state: State, wanted: Pointer, pinned: int) -> bool:
    """Wait until every worker serves `wanted`, held to it or not; whether they came to do so in time."""
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while True:
        workers = [worker for worker, _ in await asyncio.to_thread(state.workers)]
        if workers and all(w.snapshot == wanted.snapshot and w.pinned == pinned for w in workers):
            return True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)


def _local(state: State) -> tuple[Pointer | None, Pointer | None, list[LocalSnapshotOut]]:
    newest, pinned = _document(state, POINTER_NAME), _document(state, PINNED_NAME)
    in_force = pinned or newest
    found = []
    for path in sorted(state.snapshots.iterdir()):
        if is_snapshot_name(path.name):
            try:
                manifest = decode(read_limited(path / MANIFEST_NAME, MAX_MANIFEST_BYTES))
            except HashcheckError:
                continue  # it is being removed
            found.append(
                LocalSnapshotOut(
                    path.name,
                    manifest.version,
                    manifest.created_at,
                    manifest.expires_at,
                    in_force is not None and in_force.snapshot == path.name,
                )
            )
    return newest, pinned, found


def _document(state: State, name: str) -> Pointer | None:
    """A pointer as it lies in the state directory, to be shown or pointed at: workers verify it before they use it."""
    try:
        data = state.document(name)
        return None if data is None else decode_pointer(SignedDocument.read(data, name).payload)
    except HashcheckError:
        return None


def _pointer_out(pointer: Pointer | None) -> PointerOut | None:
    if pointer is None:
        return None
    return PointerOut(
        pointer.sequence,
        pointer.snapshot,
        pointer.version,
        pointer.overlay,
        pointer.created_at,
        pointer.expires_at,
    )


def _workers(state: State) -> list[WorkerOut]:
    return [
        WorkerOut(w.pid, heard, w.snapshot, w.version, w.overlay, w.refused) for w, heard in state.workers()
    ]
