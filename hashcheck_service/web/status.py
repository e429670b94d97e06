"""What is being served, whether it may be, and how it goes: /v1/snapshot, /livez, /readyz, /metrics."""

from datetime import datetime

import msgspec
from fastapi import APIRouter, Request, Response

from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.checking.encodings import snapshot_ref
from hashcheck_service.checking.schema import (
    CategoryOut,
    FeedOut,
    LiveResponse,
    ReadyResponse,
    SnapshotResponse,
    TypeOut,
)
from hashcheck_service.evidence.trouble import STOPPED, refused
from hashcheck_service.fence.layer import extent
from hashcheck_service.problems import Problem, unavailable
from hashcheck_service.service import Service
from hashcheck_service.web.answers import json_response, key_of, known, tenant
from hashcheck_service.web.bodies import authorization, client
from hashcheck_service.web.context import context_of


def status_router(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/snapshot")
    async def snapshot(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/v1/snapshot"
        key = key_of(service, authorization(request.scope), client(request.scope), needs=None)
        context.tenant = key.tenant
        details = KeyScope.METRICS in key.scopes
        current = service.usable(context.snapshot)
        return json_response(_describe(service, current, context.request_id, details=details))

    @router.get("/livez")
    async def livez(request: Request) -> Response:
        context_of(request.scope).route = "/livez"
        return json_response(LiveResponse("ok"))

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/readyz"
        context.tenant = known(service, request.scope, KeyScope.METRICS) or ""
        try:
            snapshot = _ready(service, context.snapshot)
        except Problem as problem:
            if not context.tenant:
                problem.detail = "The service is not ready."
            raise
        if not context.tenant:  # a load balancer: the list is none of its business
            return json_response(ReadyResponse("ready"))
        return json_response(_readiness(service, snapshot))

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/metrics"
        if not service.settings.metrics_without_key:
            context.tenant = tenant(service, request.scope, KeyScope.METRICS)
        return Response(await service.render_metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _ready(service: Service, current: Snapshot | None) -> Snapshot:
    """The snapshot to serve from; raises Problem 503 where nothing should be asked of this service."""
    if service.stopping or service.load.draining:
        raise unavailable("draining", "The service is about to stop.", retry_after=1)
    snapshot = service.usable(current)
    if not service.keys.current.known:
        raise unavailable("keys_unavailable", "The key file cannot be used, so no key is valid.")
    if not (service.hit_log.ready and service.test_hit_log.ready):
        raise refused(service.hit_log.refusal or service.test_hit_log.refusal or STOPPED)
    if service.following.is_cut_off:
        raise unavailable("store_not_polled", "The store has not been reached for too long.")
    return snapshot


def _readiness(service: Service, snapshot: Snapshot) -> ReadyResponse:
    now = service.clock()
    refusal = service.following.refusal
    feeds = [_seconds(feed.delivered_at, now) for feed in snapshot.manifest.feeds]
    return ReadyResponse(
        status="ready",
        snapshot=snapshot_ref(snapshot),
        age_seconds=_seconds(snapshot.built_at, now),
        overlay_age_seconds=None if snapshot.overlay_at is None else _seconds(snapshot.overlay_at, now),
        oldest_feed_seconds=max(feeds, default=None),
        refused=refusal.code if refusal else None,
        detail=refusal.detail if refusal else None,
        keys_refused=service.keys.refusal,
        fence=extent(service.fence),
    )


def _describe(service: Service, snapshot: Snapshot, request_id: str, *, details: bool) -> SnapshotResponse:
    """With `details` also what only the operator needs: how large the list is, and where it comes from."""
    now = service.clock()
    manifest = snapshot.manifest
    types = [
        TypeOut(name, t.hash_type.bits, service.policy.radius_of(t.hash_type))
        for name, t in snapshot.tables.items()
    ]
    answer = SnapshotResponse(
        request_id=request_id,
        snapshot=snapshot_ref(snapshot),
        age_seconds=_seconds(snapshot.built_at, now),
        overlay_age_seconds=None if snapshot.overlay_at is None else _seconds(snapshot.overlay_at, now),
        types=types,
    )
    if not details:
        return answer
    tables = snapshot.tables
    return msgspec.structs.replace(
        answer,
        types=[
            msgspec.structs.replace(out, listed=tables[out.type].listed, engine=tables[out.type].engine.name)
            for out in types
        ],
        categories=[
            CategoryOut(count.category, count.entries, service.policy.in_force(count.category))
            for count in manifest.entries.by_category
        ],
        feeds=[
            FeedOut(f.name, f.source, f.delivered_at, _seconds(f.delivered_at, now)) for f in manifest.feeds
        ],
    )


def _seconds(moment: datetime, now: datetime) -> int:
    return int((now - moment).total_seconds())
