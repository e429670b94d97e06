"""The shapes of requests and answers, as openapi.yaml has them. A test holds the two together.

Unknown fields are refused: a misspelt `quality` must not pass as a missing one.
"""

from datetime import datetime

import msgspec


class HashIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    type: str
    value: str
    quality: int | None = None


class ItemIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    ref: str
    hashes: list[HashIn]


class CheckRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    items: list[ItemIn]


class SnapshotRef(msgspec.Struct, frozen=True):
    id: str
    version: int
    built_at: datetime
    expires_at: datetime
    overlay: int


class MatchOut(msgspec.Struct, frozen=True):
    match_id: str
    entry: str
    type: str
    category: str
    sources: tuple[str, ...]
    distance: int | msgspec.UnsetType = msgspec.UNSET


class ResultOut(msgspec.Struct, frozen=True):
    ref: str
    verdict: str
    action: str
    reasons: list[str]
    matches: list[MatchOut]
    more_matches: bool


class CheckResponse(msgspec.Struct, frozen=True):
    request_id: str
    snapshot: SnapshotRef
    results: list[ResultOut]


class ComputedHash(msgspec.Struct, frozen=True):
    type: str
    value: str
    transform: str
    quality: int | msgspec.UnsetType = msgspec.UNSET


class MediaResponse(msgspec.Struct, frozen=True):
    request_id: str
    snapshot: SnapshotRef
    results: list[ResultOut]
    hashes: list[ComputedHash]


class TypeOut(msgspec.Struct, frozen=True):
    type: str
    bits: int
    listed: int
    radius: int
    engine: str


class CategoryOut(msgspec.Struct, frozen=True):
    category: str
    entries: int
    in_force: bool


class FeedOut(msgspec.Struct, frozen=True):
    name: str
    source: str
    delivered_at: datetime
    age_seconds: int


class SnapshotResponse(msgspec.Struct, frozen=True):
    request_id: str
    snapshot: SnapshotRef
    age_seconds: int
    types: list[TypeOut]
    categories: list[CategoryOut]
    feeds: list[FeedOut]


class LiveResponse(msgspec.Struct, frozen=True):
    status: str


class ReadyResponse(msgspec.Struct, frozen=True):
    status: str
    snapshot: SnapshotRef
    refused: str | None
