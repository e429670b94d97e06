"""What is being served, whether it may be, and how it goes: /v1/snapshot, /livez, /readyz, /metrics."""

from datetime import datetime

from fastapi import APIRouter, Request, Response

from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.encodings import snapshot_ref
from hashcheck_service.checking.schema import (
    CategoryOut,
    FeedOut,
    LiveResponse,
    ReadyResponse,
    SnapshotResponse,
    TypeOut,
)
from hashcheck_service.fence.layer import extent
from hashcheck_service.problems import unavailable
from hashcheck_service.service import Service
from hashcheck_service.web.answers import json_response, tenant
from hashcheck_service.web.bodies import authorization
from hashcheck_service.web.context import context_of


def status_router(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/snapshot")
    async def snapshot(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/v1/snapshot"
        context.tenant = tenant(service, authorization(request.scope))
        return json_response(_describe(service, service.usable(context.snapshot), context.request_id))

    @router.get("/livez")
    async def livez(request: Request) -> Response:
        context_of(request.scope).route = "/livez"
        return json_response(LiveResponse("ok"))

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        context = context_of(request.scope)
        context.route = "/readyz"
        if service.stopping or service.load.draining:
            raise unavailable("draining", "The service is about to stop.", retry_after=1)
        snapshot = service.usable(context.snapshot)
        if not (service.hit_log.ready and service.test_hit_log.ready):
            raise unavailable(
                "hit_log_unavailable", "Hits cannot be recorded, so matches cannot be answered."
            )
        refusal = service.following.refusal
        code, detail = (refusal.code, refusal.detail) if refusal else (None, None)
        now = service.clock()
        feeds = [_seconds(feed.delivered_at, now) for feed in snapshot.manifest.feeds]
        return json_response(
            ReadyResponse(
                "ready",
                snapshot_ref(snapshot),
                _seconds(snapshot.built_at, now),
                None if snapshot.overlay_at is None else _seconds(snapshot.overlay_at, now),
                max(feeds, default=None),
                code,
                detail,
                extent(service.fence),
            )
        )

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        context_of(request.scope).route = "/metrics"
        if not service.settings.metrics_without_key:
            tenant(service, authorization(request.scope))
        return Response(await service.render_metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _describe(service: Service, snapshot: Snapshot, request_id: str) -> SnapshotResponse:
    now = service.clock()
    manifest = snapshot.manifest
    return SnapshotResponse(
        request_id=request_id,
        snapshot=snapshot_ref(snapshot),
        age_seconds=_seconds(snapshot.built_at, now),
        overlay_age_seconds=None if snapshot.overlay_at is None else _seconds(snapshot.overlay_at, now),
        types=[
            TypeOut(name, t.hash_type.bits, t.listed, service.policy.radius_of(t.hash_type), t.engine.name)
            for name, t in snapshot.tables.items()
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
