"""Items in, results out: the verdict on each, by one snapshot and one policy. Pure.

- `match`: a hash of the item is within the radius of a listed one, in a category in force;
- `unknown`: no match, and some hash could not be checked; `reasons` say why;
- `no_match`: every hash was checked against the whole list, and none is on it.

Hashes of all items are searched together, one call for each hash type.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hashcheck_core.categories import Category
from hashcheck_core.degenerate import is_degenerate
from hashcheck_core.errors import HashError
from hashcheck_core.hash_types import HashType, parse_hex
from hashcheck_core.snapshot.snapshot import Entry, HashTable, Snapshot
from hashcheck_service.policy import Action, Policy, Verdict
from hashcheck_service.wire import HashIn


class Reason(StrEnum):
    """Why a hash, or a picture, could not be checked. Stable: callers branch on these."""

    MALFORMED_HASH = "malformed_hash"
    UNSUPPORTED_TYPE = "unsupported_type"
    TYPE_NOT_LISTED = "type_not_listed"
    LOW_QUALITY = "low_quality"
    DEGENERATE = "degenerate"
    UNDECODABLE_IMAGE = "undecodable_image"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_SMALL = "image_too_small"
    ANIMATION = "animation"


@dataclass(frozen=True, slots=True)
class Query:
    """One hash that can be checked."""

    hash_type: HashType
    value: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """What is asked about one upload: the hashes that can be checked, and why others cannot."""

    ref: str
    queries: Sequence[Query]
    reasons: Sequence[Reason]


@dataclass(frozen=True, slots=True)
class Match:
    entry: Entry
    hash_type: str
    distance: int


@dataclass(frozen=True, slots=True)
class Result:
    """`more_matches`: there were more than the policy's max_matches, and the nearest are given."""

    ref: str
    verdict: Verdict
    action: Action
    reasons: Sequence[Reason]
    matches: Sequence[Match]
    more_matches: bool


def read_item(snapshot: Snapshot, ref: str, hashes: Iterable[HashIn]) -> Item:
    """The hashes of one item as the caller sent them, sorted into those that can be checked and the rest."""
    queries: list[Query] = []
    reasons: list[Reason] = []
    for given in hashes:
        read = read_hash(snapshot, given)
        if isinstance(read, Query):
            queries.append(read)
        else:
            reasons.append(read)
    return Item(ref, queries, reasons)


def read_hash(snapshot: Snapshot, given: HashIn) -> Query | Reason:
    table = snapshot.tables.get(given.type)
    if table is None:
        return Reason.UNSUPPORTED_TYPE
    try:
        value = parse_hex(table.hash_type, given.value)
    except HashError:
        return Reason.MALFORMED_HASH
    return usable(table.hash_type, value, given.quality)


def usable(hash_type: HashType, value: bytes, quality: int | None) -> Query | Reason:
    """A whole hash, unless its quality or its bits say that it means nothing."""
    if quality is not None and hash_type.min_quality is not None and quality < hash_type.min_quality:
        return Reason.LOW_QUALITY
    if is_degenerate(hash_type, value):
        return Reason.DEGENERATE
    return Query(hash_type, value)


def check(snapshot: Snapshot, policy: Policy, items: Sequence[Item]) -> list[Result]:
    """The result of each item, in order."""
    found = _search(snapshot, policy, items)
    return [_result(snapshot, policy, item, found.get(index, [])) for index, item in enumerate(items)]


def search_cost(snapshot: Snapshot, items: Sequence[Item]) -> int:
    """Bytes of codes that a flat scan reads to check `items`: the caller decides by it where to search."""
    cost = 0
    for item in items:
        for query in item.queries:
            engine = snapshot.tables[query.hash_type.name].engine
            if engine.name == "flat":
                cost += engine.rows * query.hash_type.bytes
    return cost


def _search(snapshot: Snapshot, policy: Policy, items: Sequence[Item]) -> dict[int, list[Match]]:
    """The matches of each item that has any, by the item's place."""
    values: dict[str, list[bytes]] = {}
    owners: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        for query in item.queries:
            values.setdefault(query.hash_type.name, []).append(query.value)
            owners.setdefault(query.hash_type.name, []).append(index)
    found: dict[int, list[Match]] = {}
    for name, wanted in values.items():
        table = snapshot.tables[name]
        queries = np.frombuffer(b"".join(wanted), np.uint8).reshape(len(wanted), -1)
        neighbours = table.search(queries, policy.radius_of(table.hash_type))
        if not len(neighbours.rows):
            continue
        for place in np.flatnonzero(np.diff(neighbours.offsets)).tolist():
            rows, distances = neighbours.of(place)
            matches = _matches(snapshot, policy, table, rows.tolist(), distances.tolist())
            if matches:
                found.setdefault(owners[name][place], []).extend(matches)
    return found


def _matches(
    snapshot: Snapshot, policy: Policy, table: HashTable, rows: list[int], distances: list[int]
) -> list[Match]:
    """One match for each entry in force, at its least distance (rows come nearest first)."""
    seen: dict[int, int] = {}
    for row, distance in zip(rows, distances, strict=True):
        for entry in table.entries_of(row):
            if entry not in seen and policy.in_force(snapshot.entries.category(entry)):
                seen[entry] = distance
        if len(seen) > policy.max_matches:
            break
    return [Match(snapshot.entries.entry(e), table.hash_type.name, d) for e, d in seen.items()]


def _result(snapshot: Snapshot, policy: Policy, item: Item, matches: list[Match]) -> Result:
    nearest: dict[tuple[str, str], Match] = {}
    for match in sorted(matches, key=lambda m: (m.distance, m.hash_type, m.entry.id)):
        nearest.setdefault((match.entry.id, match.hash_type), match)
    kept = list(nearest.values())[: policy.max_matches]
    reasons = sorted({*item.reasons, *(() if kept else _unlisted(snapshot, item))})
    verdict = Verdict.MATCH if kept else Verdict.UNKNOWN if reasons else Verdict.NO_MATCH
    categories: list[Category] = [match.entry.category for match in kept]
    return Result(
        item.ref, verdict, policy.action(verdict, categories), reasons, kept, len(nearest) > len(kept)
    )


def _unlisted(snapshot: Snapshot, item: Item) -> tuple[Reason, ...]:
    """A list that has no hash of any type the item brings has not been asked anything."""
    if not item.queries or any(snapshot.tables[q.hash_type.name].listed for q in item.queries):
        return ()
    return (Reason.TYPE_NOT_LISTED,)
