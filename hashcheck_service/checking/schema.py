"""The shapes of requests and answers, as openapi.yaml has them. A test holds the two together.

Unknown fields are refused: a misspelt `quality` must not pass as a missing one.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from hashcheck_service.problems import ProblemDocument

Quality = Annotated[int, msgspec.Meta(ge=0, le=100)]


class HashIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    type: str
    value: str
    quality: Quality | None = None


class ItemIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    ref: str
    hashes: list[HashIn]


class CheckRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    items: list[ItemIn]


class PackedHashIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """As MessagePack has it: the value is raw bytes."""

    type: str
    value: bytes
    quality: Quality | None = None


class PackedItemIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    ref: str
    hashes: list[PackedHashIn]


class PackedCheckRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    items: list[PackedItemIn]


class SnapshotRef(msgspec.Struct, frozen=True):
    id: str
    version: int
    built_at: datetime
    expires_at: datetime
    overlay: int


class MatchOut(msgspec.Struct, frozen=True, kw_only=True):
    """Without `type`: a perceptual match of which the policy shows the entry alone."""

    match_id: str
    entry: str
    type: str | msgspec.UnsetType = msgspec.UNSET
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
    hit_id: str | msgspec.UnsetType = msgspec.UNSET


class CheckResponse(msgspec.Struct, frozen=True):
    request_id: str
    snapshot: SnapshotRef
    results: list[ResultOut]


class StreamAnswer(msgspec.Struct, frozen=True):
    """One line of a stream's answer: a result and the id of the snapshot it was checked against, or a problem.

    `line` is that of the question, from 1; a problem that ends the stream has the line it ended at.
    """

    line: int
    snapshot: str | msgspec.UnsetType = msgspec.UNSET
    result: ResultOut | msgspec.UnsetType = msgspec.UNSET
    problem: ProblemDocument | msgspec.UnsetType = msgspec.UNSET


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
    """`listed` and `engine` are only for keys with the scope `metrics`."""

    type: str
    bits: int
    radius: int
    listed: int | msgspec.UnsetType = msgspec.UNSET
    engine: str | msgspec.UnsetType = msgspec.UNSET


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
    """`categories` and `feeds` are only for keys with the scope `metrics`."""

    request_id: str
    snapshot: SnapshotRef
    age_seconds: int
    overlay_age_seconds: int | None
    types: list[TypeOut]
    categories: list[CategoryOut] | msgspec.UnsetType = msgspec.UNSET
    feeds: list[FeedOut] | msgspec.UnsetType = msgspec.UNSET


class LiveResponse(msgspec.Struct, frozen=True):
    status: str


class ReadyResponse(msgspec.Struct, frozen=True):
    """All but `status` is only for keys with the scope `metrics`."""

    status: str
    snapshot: SnapshotRef | msgspec.UnsetType = msgspec.UNSET
    age_seconds: int | msgspec.UnsetType = msgspec.UNSET
    overlay_age_seconds: int | msgspec.UnsetType | None = msgspec.UNSET
    oldest_feed_seconds: int | msgspec.UnsetType | None = msgspec.UNSET
    refused: str | msgspec.UnsetType | None = msgspec.UNSET
    detail: str | msgspec.UnsetType | None = msgspec.UNSET
    keys_refused: str | msgspec.UnsetType | None = msgspec.UNSET
    fence: str | msgspec.UnsetType = msgspec.UNSET


class PointerOut(msgspec.Struct, frozen=True):
    sequence: int
    snapshot: str
    version: int
    overlay: int
    created_at: datetime
    expires_at: datetime


class LocalSnapshotOut(msgspec.Struct, frozen=True):
    id: str
    version: int
    built_at: datetime
    expires_at: datetime
    in_force: bool


class WorkerOut(msgspec.Struct, frozen=True):
    """`snapshot` and `version` are null, and `overlay` 0, while it serves none."""

    pid: int
    seen_at: datetime
    snapshot: str | None
    version: int | None
    overlay: int
    refused: str | None


class AdminSnapshotsResponse(msgspec.Struct, frozen=True):
    request_id: str
    newest: PointerOut | None
    pinned: PointerOut | None
    snapshots: list[LocalSnapshotOut]
    workers: list[WorkerOut]
    refused: str | None
    detail: str | None


class ActivateRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pin: bool = False


class ActivateResponse(msgspec.Struct, frozen=True):
    request_id: str
    complete: bool
    pinned: PointerOut | None
    workers: list[WorkerOut]
