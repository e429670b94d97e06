"""A hit log of a test's own, by its public door, on real files."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from hashcheck_service.evidence.files import Place
from hashcheck_service.evidence.hit_log import HitLog
from hashcheck_service.evidence.hits import Hit, HitMatch
from hashcheck_service.evidence.measures import HitLogMetrics, LogMetrics
from hashcheck_service.evidence.retention import Retention

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def hit(
    hit_id: str, tenant: str = "acme", at: datetime = NOON, entry: str = "e", hash_type: str = "md5"
) -> Hit:
    matches = (HitMatch(entry, "baseline", ("hotline",), hash_type, 0),)
    return Hit(hit_id, (f"{hit_id}-m",), tenant, at, "r", "s", "block", matches)


def record(log: HitLog, *hits: Hit | str) -> list[str]:
    """Put hits on record; the ids of those that are new."""
    given = [hit(one) if isinstance(one, str) else one for one in hits]
    return [one.hit_id for one in asyncio.run(asyncio.wait_for(log.record(given), 20))]


@contextmanager
def started(
    root: Path,
    *,
    prefix: str = "hits",
    file_bytes: int = 1 << 20,
    reserve_bytes: int = 0,
    days: int = 400,
    limit: int = 1 << 30,
    registry: CollectorRegistry | None = None,
    slow_seconds: float = 60.0,
) -> Iterator[HitLog]:
    """The log in `root/hits`, with its witnesses in `root/state`."""
    witnesses = root / "state"
    place = Place(root / "hits", prefix, file_bytes, reserve_bytes, witnesses)
    test = prefix != "hits"
    retention = Retention(root / "hits", prefix, days, limit, witnesses=witnesses, drop_oldest=test)
    metrics = LogMetrics(HitLogMetrics(registry or CollectorRegistry()), prefix)
    log = HitLog(place, retention, metrics, slow_seconds=slow_seconds)
    log.start()
    try:
        yield log
    finally:
        log.close()


def files(root: Path, prefix: str = "hits") -> list[Path]:
    return sorted((root / "hits").glob(f"{prefix}-*.jsonl"))


def lines(root: Path, kind: str, prefix: str = "hits") -> list[dict[str, Any]]:
    """Every line of a kind, file by file in order of name."""
    read = [json.loads(line) for file in files(root, prefix) for line in file.read_text().splitlines()]
    return [line for line in read if line["kind"] == kind]


def kept(root: Path, prefix: str = "hits") -> list[str]:
    """The ids of all hits of the log."""
    return [one["hit_id"] for line in lines(root, "hits", prefix) for one in line["hits"]]


def shared(ids: Sequence[str]) -> list[Hit]:
    return [hit(one) for one in ids]
