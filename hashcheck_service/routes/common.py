"""What the checking endpoints share: who asks, the body within limits, the check itself, the hit record."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hashcheck_core.categories import Category
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checks import Checked, Item, Result, check, expected_seconds
from hashcheck_service.envelope import Context
from hashcheck_service.hit_log import HitRecord
from hashcheck_service.policy import Policy, Verdict
from hashcheck_service.problems import Problem
from hashcheck_service.service import Service
from hashcheck_service.wire import MatchOut, ResultOut, SnapshotRef

T = TypeVar("T")

# Searches that take longer leave the event loop for a thread: handing one over costs some 50 µs.
_INLINE_SECONDS = 0.001


def tenant(service: Service, request: Request, *, basic: bool = False) -> str:
    """Whose key the request bears; raises Problem 401."""
    header = request.headers.get("authorization", "").encode("latin-1")
    name = service.keys.bearer(header)
    if name is None and basic:
        name = service.keys.basic(header)
    if name is None:
        scheme = 'Basic realm="hashcheck"' if basic else 'Bearer realm="hashcheck"'
        raise Problem(
            401,
            "unauthorized",
            "Send a valid API key as `Authorization: Bearer <key>`.",
            {"WWW-Authenticate": scheme},
        )
    return name


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body; raises Problem 413 above `limit` bytes, 408 after `seconds`."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        detail = f"The body did not arrive within {seconds:g} s."
        raise Problem(408, "body_timeout", detail, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "client_disconnected", "The client went away.") from None
    return bytes(body)


def _too_large(limit: int) -> Problem:
    # What is left of the body is not read: the connection cannot be used again.
    return Problem(413, "body_too_large", f"A body has at most {limit} bytes.", {"Connection": "close"})


async def verdicts(
    service: Service, context: Context, snapshot: Snapshot, items: Sequence[Item], policy: Policy
) -> list[ResultOut]:
    """Check `items`, count them, put every hit on record, and only then answer."""
    standing = service.standing(snapshot)
    if expected_seconds(snapshot, items) > _INLINE_SECONDS:
        checked = await in_thread(service.search_threads, lambda: check(snapshot, policy, items, standing))
    else:
        checked = check(snapshot, policy, items, standing)
    results = checked.results
    answers = [_answer(result, policy) for result in results]
    hits = [hit for answer in answers for hit in answer.matches]
    if hits:
        records = _records(service, context, snapshot, results, answers)
        for log, test in ((service.hit_log, False), (service.test_hit_log, True)):
            if mine := [record for record in records if (record.category == Category.TEST) is test]:
                await log.record(mine)
        for hit in hits:
            service.metrics.matches.labels(hit.category).inc()
    _count(service, items, checked)
    return answers


async def in_thread(threads: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def json_response(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def snapshot_ref(snapshot: Snapshot) -> SnapshotRef:
    return SnapshotRef(
        snapshot.id, snapshot.version, snapshot.built_at, snapshot.expires_at, snapshot.overlay
    )


def _answer(result: Result, policy: Policy) -> ResultOut:
    matches = [
        MatchOut(
            secrets.token_hex(16),
            match.entry.id,
            match.hash_type,
            match.entry.category,
            match.entry.sources,
            match.distance if policy.show_distance else msgspec.UNSET,
        )
        for match in result.matches
    ]
    return ResultOut(
        result.ref, result.verdict, result.action, list(result.reasons), matches, result.more_matches
    )


def _records(
    service: Service,
    context: Context,
    snapshot: Snapshot,
    results: Sequence[Result],
    answers: Sequence[ResultOut],
) -> list[HitRecord]:
    now = service.clock().replace(microsecond=0)
    return [
        HitRecord(
            match_id=out.match_id,
            tenant=context.tenant,
            time=now,
            request_id=context.request_id,
            snapshot=snapshot.id,
            entry=out.entry,
            category=out.category,
            type=out.type,
            distance=match.distance,
        )
        for result, answer in zip(results, answers, strict=True)
        for match, out in zip(result.matches, answer.matches, strict=True)
    ]


def _count(service: Service, items: Sequence[Item], checked: Checked) -> None:
    """Items by verdict; hashes by type and by what became of them; searches that had to scan the whole list."""
    metrics = service.metrics
    for search in checked.searches:
        if search.scanned:
            metrics.flat_scans.labels(search.hash_type).inc(search.scanned)
        if search.beyond_plan:
            metrics.beyond_plan.labels(search.hash_type).inc(search.queries)
    for item, result in zip(items, checked.results, strict=True):
        metrics.checks.labels(result.verdict).inc()
        matched = {match.hash_type for match in result.matches}
        for query in item.queries:
            name = query.hash_type.name
            outcome = Verdict.MATCH if name in matched else Verdict.NO_MATCH
            metrics.hashes.labels(name, outcome).inc()
        if item.reasons:
            metrics.hashes.labels("any", Verdict.UNKNOWN).inc(len(item.reasons))
