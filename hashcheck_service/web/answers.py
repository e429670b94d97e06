"""What the checking endpoints share: who asks, the check itself, the hit record."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

import msgspec
from starlette.responses import Response

from hashcheck_core.categories import Category
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.schema import MatchOut, ResultOut
from hashcheck_service.checking.verdicts import Checked, Result, check, expected_seconds
from hashcheck_service.hit_log import HitRecord
from hashcheck_service.policy import Policy
from hashcheck_service.problems import Problem
from hashcheck_service.service import Service
from hashcheck_service.web.context import Context
from hashcheck_service.web.request_ids import new_id

T = TypeVar("T")

# Searches that take longer leave the event loop for a thread: handing one over costs some 50 µs.
INLINE_SECONDS = 0.001


def tenant(service: Service, authorization: bytes, *, basic: bool = False) -> str:
    """Whose key the `Authorization` header bears; raises Problem 401."""
    name = service.keys.bearer(authorization)
    if name is None and basic:
        name = service.keys.basic(authorization)
    if name is None:
        scheme = 'Basic realm="hashcheck"' if basic else 'Bearer realm="hashcheck"'
        raise Problem(
            401,
            "unauthorized",
            "Send a valid API key as `Authorization: Bearer <key>`.",
            {"WWW-Authenticate": scheme},
        )
    return name


def verdicts_at_once(
    service: Service, snapshot: Snapshot, batch: Batch, policy: Policy
) -> dict[int, ResultOut] | None:
    """As `verdicts`, where there is nothing to wait for: a short search that finds nothing. None where there is; then
    nothing is counted."""
    if expected_seconds(snapshot, batch) > INLINE_SECONDS:
        return None
    checked = check(snapshot, policy, batch, service.standing(snapshot))
    for result in checked.results.values():
        if result.matches:
            return None
    service.metrics.checked(batch, checked)
    return _answers(checked, policy)


async def verdicts(
    service: Service,
    context: Context,
    snapshot: Snapshot,
    batch: Batch,
    policy: Policy,
    threads: Executor | None = None,
) -> dict[int, ResultOut]:
    """Check `batch`, count it, put every hit on record, and only then answer: with the results that are more than
    a bare no_match, by the place of the item. The search runs in `threads`, where they are given."""
    standing = service.standing(snapshot)
    seconds = expected_seconds(snapshot, batch)
    if threads is not None:
        checked = await in_thread(threads, lambda: check(snapshot, policy, batch, standing))
    elif seconds > INLINE_SECONDS:
        with service.gate.searching(seconds):
            checked = await in_thread(
                service.search_threads, lambda: check(snapshot, policy, batch, standing)
            )
    else:
        checked = check(snapshot, policy, batch, standing)
    answers = _answers(checked, policy)
    hits = [hit for answer in answers.values() for hit in answer.matches]
    if hits:
        records = _records(service, context, snapshot, checked.results, answers)
        for log, test in ((service.hit_log, False), (service.test_hit_log, True)):
            if mine := [record for record in records if (record.category == Category.TEST) is test]:
                await log.record(mine)
        for hit in hits:
            service.metrics.matches.labels(hit.category).inc()
    service.metrics.checked(batch, checked)
    return answers


async def in_thread(threads: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def json_response(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _answers(checked: Checked, policy: Policy) -> dict[int, ResultOut]:
    if not checked.results:  # as nearly always
        return {}
    return {place: _answer(result, policy) for place, result in checked.results.items()}


def _answer(result: Result, policy: Policy) -> ResultOut:
    matches = [
        MatchOut(
            new_id(),
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
    results: Mapping[int, Result],
    answers: Mapping[int, ResultOut],
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
        for place, answer in answers.items()
        for match, out in zip(results[place].matches, answer.matches, strict=True)
    ]
