"""Items in, results out: the verdict on each, by one snapshot and one policy. Pure.

- `match`: a hash of the item is within the radius of a listed one, in a category in force;
- `unknown`: no match, and some hash could not be checked; `reasons` say why;
- `no_match`: every hash was checked against the whole list, and none is on it.

Hashes of all items are searched together, one call for each hash type. The action is that of all categories
found, also of matches that are too many to be shown.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.degenerate import is_degenerate
from hashcheck_core.errors import HashError
from hashcheck_core.hash_types import HashType, parse_hex
from hashcheck_core.snapshot.snapshot import Entry, HashTable, Listing, Snapshot
from hashcheck_service.policy import Action, Policy, Verdict
from hashcheck_service.wire import HashIn

# Links to entries in force that are sorted to find the nearest; categories are taken from all of them.
_MOST_COLLECTED: Final = 65_536


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
    STALE_SNAPSHOT = "stale_snapshot"


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


@dataclass(frozen=True, slots=True)
class Search:
    """How the hashes of one type were searched: how many, how many of them by a scan of the whole list though the
    engine has a better plan, and whether the radius was beyond that plan."""

    hash_type: str
    queries: int
    scanned: int
    beyond_plan: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of each item, in order, and how they were come by."""

    results: Sequence[Result]
    searches: Sequence[Search]


def check(
    snapshot: Snapshot, policy: Policy, items: Sequence[Item], standing: Sequence[Reason] = ()
) -> Checked:
    """Check `items` against `snapshot`, what an overlay adds to it included, under `policy`.

    `standing` are reasons that hold for every item: no answer under one is a `no_match`.
    """
    found: dict[int, _Found] = {}
    searches: list[Search] = []
    for index, one in _search(snapshot, policy, items, searches):
        found.setdefault(index, _Found()).add(one)
    for listing in snapshot.urgent:
        for index, one in _search(listing, policy, items, []):
            found.setdefault(index, _Found()).add(one)
    results = [
        _result(snapshot, policy, item, found.get(index), standing) for index, item in enumerate(items)
    ]
    return Checked(results, searches)


def expected_seconds(snapshot: Snapshot, items: Sequence[Item]) -> float:
    """About how long the searches of `items` take: the caller decides by it where to search."""
    return sum(
        snapshot.tables[query.hash_type.name].engine.seconds_per_query
        for item in items
        for query in item.queries
    )


@dataclass(slots=True)
class _Found:
    """What is listed within the radius and in force: every category, and the nearest matches."""

    categories: set[Category] = field(default_factory=set)
    matches: list[Match] = field(default_factory=list)

    def add(self, other: "_Found") -> None:
        self.categories |= other.categories
        self.matches += other.matches


def _search(
    listing: Listing, policy: Policy, items: Sequence[Item], searches: list[Search]
) -> Iterator[tuple[int, _Found]]:
    """What was found for an item, by its place; once for each hash of it that found anything.

    A value that several items bring is searched once. `searches` is told of each search.
    """
    owners: dict[str, dict[bytes, list[int]]] = {}
    for index, item in enumerate(items):
        for query in item.queries:
            owners.setdefault(query.hash_type.name, {}).setdefault(query.value, []).append(index)
    for name, by_value in owners.items():
        table = listing.tables.get(name)
        if table is None:  # an overlay adds hashes of few types
            continue
        queries = np.frombuffer(b"".join(by_value), np.uint8).reshape(len(by_value), -1)
        radius = policy.radius_of(table.hash_type)
        neighbours = table.search(queries, radius)
        beyond = radius > table.engine.planned_radius
        searches.append(Search(name, len(queries), neighbours.scanned, beyond))
        if not len(neighbours.rows):
            continue
        indexes = list(by_value.values())
        for place in np.flatnonzero(np.diff(neighbours.offsets)).tolist():
            found = _in_force(listing, policy, table, *neighbours.of(place))
            if found is not None:
                yield from ((index, found) for index in indexes[place])


def _in_force(
    listing: Listing, policy: Policy, table: HashTable, rows: NDArray[Any], distances: NDArray[Any]
) -> _Found | None:
    """Of the entries of `rows` (nearest first) all categories in force, and one match for each of the nearest
    entries, at its least distance: one more than the policy shows, to tell that there are more."""
    starts = table.offsets[rows].astype(np.int64)
    counts = table.offsets[rows + 1].astype(np.int64) - starts
    # Row by row, the places in `links` from its start on: a running number, less where its row began.
    begins = np.cumsum(counts) - counts
    entries = table.links[np.arange(counts.sum()) + np.repeat(starts - begins, counts)]
    at = np.repeat(distances, counts)
    if (kept := listing.in_force(entries)) is not None:
        entries, at = entries[kept], at[kept]
    codes = listing.entries.categories[entries]
    listed = np.bincount(codes, minlength=len(CATEGORY_CODES)).tolist()
    in_force = [policy.in_force(category) for category in CATEGORY_CODES]
    categories = {
        category for category, n, yes in zip(CATEGORY_CODES, listed, in_force, strict=True) if n and yes
    }
    if not categories:
        return None
    chosen = np.flatnonzero(np.array(in_force)[codes])[:_MOST_COLLECTED]
    nearest, first = np.unique(entries[chosen], return_index=True)
    at = at[chosen][first]
    shown = np.argsort(at, kind="stable")[: policy.max_matches + 1]
    matches = [Match(listing.entries.entry(int(nearest[i])), table.hash_type.name, int(at[i])) for i in shown]
    return _Found(categories, matches)


def _result(
    snapshot: Snapshot, policy: Policy, item: Item, found: _Found | None, standing: Sequence[Reason]
) -> Result:
    nearest: dict[tuple[str, str], Match] = {}
    for match in sorted(found.matches if found else (), key=lambda m: (m.distance, m.hash_type, m.entry.id)):
        nearest.setdefault((match.entry.id, match.hash_type), match)
    kept = list(nearest.values())[: policy.max_matches]
    reasons = sorted({*standing, *item.reasons, *(() if kept else _unlisted(snapshot, item))})
    verdict = Verdict.MATCH if kept else Verdict.UNKNOWN if reasons else Verdict.NO_MATCH
    action = policy.action(verdict, found.categories if found else ())
    return Result(item.ref, verdict, action, reasons, kept, len(nearest) > len(kept))


def _unlisted(snapshot: Snapshot, item: Item) -> tuple[Reason, ...]:
    """A list that has no hash of any type the item brings has not been asked anything."""
    if not item.queries or any(snapshot.lists(q.hash_type.name) for q in item.queries):
        return ()
    return (Reason.TYPE_NOT_LISTED,)
