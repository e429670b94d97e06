"""A batch in, results out: the verdict on each item, by one snapshot and one policy. Pure.

- `match`: a hash of the item is within the radius of a listed one, in a category in force;
- `unknown`: no match, and some hash could not be checked; `reasons` say why;
- `no_match`: every hash was checked against the whole list, and none is on it.

Hashes of all items are searched together, one call for each hash type. The action is that of all categories
found, also of matches that are too many to be shown; an entry that a stronger digest contradicts asks for a review
at most.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.hash_types import HashKind
from hashcheck_core.snapshot.snapshot import Entry, HashTable, Listing, Snapshot
from hashcheck_service.checking.digest_conflicts import DigestConflicts
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.policy import Action, Policy, Verdict

# Links to entries in force that are sorted to find the nearest; categories are taken from all of them.
_MOST_COLLECTED: Final = 65_536


@dataclass(frozen=True, slots=True)
class Match:
    """`asked`: the hash that was asked about, of a perceptual type; None for an exact match."""

    entry: Entry
    hash_type: str
    distance: int
    asked: bytes | None


@dataclass(frozen=True, slots=True)
class Result:
    """`more_matches`: there were more than the policy's max_matches, and the nearest are given. `near`: all perceptual
    matches that were collected, so also some that are not given."""

    ref: str
    verdict: Verdict
    action: Action
    reasons: Sequence[Reason]
    matches: Sequence[Match]
    more_matches: bool
    near: Sequence[Match] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """How the hashes of one type were searched: how many, how many of them by a scan of the whole list though the
    engine has a better plan, and whether the radius was beyond that plan."""

    hash_type: str
    queries: int
    scanned: int
    beyond_plan: bool


class Checked(msgspec.Struct, frozen=True, gc=False):
    """What became of `batch`: the results that are more than a bare no_match, by the place of the item, ascending; all
    other items are no_match. And how they were come by."""

    batch: Batch
    results: Mapping[int, Result]
    searches: Sequence[Search]  # those that were other than planned


def check(snapshot: Snapshot, policy: Policy, batch: Batch, standing: Sequence[Reason] = ()) -> Checked:
    """Check `batch` against `snapshot`, what an overlay adds to it included, under `policy`.

    `standing` are reasons that hold for every item: no answer under one is a `no_match`.
    """
    found: dict[int, _Found] = {}
    searches = _search(snapshot, policy, batch, found)
    for listing in snapshot.urgent:
        _search(listing, policy, batch, found)
    unlisted = _unlisted(snapshot, batch)
    if not (found or batch.reasons or unlisted or standing):  # as nearly always
        return Checked(batch, {}, searches)
    odd = range(len(batch.refs)) if standing else sorted({*found, *batch.reasons, *unlisted})
    conflicts = DigestConflicts(snapshot, batch)
    results = {
        index: _result(
            policy, batch, index, found.get(index), (*standing, *unlisted.get(index, ())), conflicts
        )
        for index in odd
    }
    return Checked(batch, results, searches)


def expected_seconds(snapshot: Snapshot, batch: Batch) -> float:
    """About how long the searches of `batch` take: the caller decides by it where to search."""
    seconds = 0.0
    for asked in batch.asked:
        seconds += len(asked.values) * snapshot.tables[asked.hash_type.name].engine.seconds_per_query
    return seconds


@dataclass(slots=True)
class _Found:
    """What is listed within the radius and in force: every category, and the nearest matches. `crowded`: there are
    more matches than those."""

    categories: set[Category] = field(default_factory=set)
    matches: list[Match] = field(default_factory=list)
    crowded: bool = False

    def add(self, other: "_Found") -> None:
        self.categories |= other.categories
        self.matches += other.matches
        self.crowded |= other.crowded


def _search(listing: Listing, policy: Policy, batch: Batch, found: dict[int, _Found]) -> list[Search]:
    """Tell `found`, by the place of the item, what is listed; the searches that were other than planned."""
    searches = []
    for asked in batch.asked:
        table = listing.tables.get(asked.hash_type.name)
        if table is None:  # an overlay adds hashes of few types
            continue
        radius = policy.radius_of(asked.hash_type)
        engine = table.engine
        neighbours = engine.search(asked.values, radius)
        beyond = radius > engine.planned_radius
        if beyond or neighbours.scanned:
            searches.append(Search(asked.hash_type.name, len(asked.values), neighbours.scanned, beyond))
        if not len(neighbours.rows):  # as nearly always
            continue
        rows = np.flatnonzero(np.diff(neighbours.offsets)).tolist()
        for row, items in asked.items_by_row(rows).items():
            one = _in_force(listing, policy, table, asked.values[row], *neighbours.of(row))
            if one is not None:
                for index in items:
                    found.setdefault(index, _Found()).add(one)
    return searches


def _in_force(
    listing: Listing,
    policy: Policy,
    table: HashTable,
    value: NDArray[np.uint8],
    rows: NDArray[Any],
    distances: NDArray[Any],
) -> _Found | None:
    """Of the entries of `rows` (nearest to `value` first) all categories in force, and one match for each of the
    nearest entries, at its least distance: one more than the policy shows, to tell that there are more."""
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
    near = value.tobytes() if table.hash_type.kind is HashKind.PERCEPTUAL else None
    name = table.hash_type.name
    matches = [Match(listing.entries.entry(int(nearest[i])), name, int(at[i]), near) for i in shown]
    return _Found(categories, matches, len(nearest) > len(shown))


def _result(
    policy: Policy,
    batch: Batch,
    index: int,
    found: _Found | None,
    more_reasons: Sequence[Reason],
    conflicts: DigestConflicts,
) -> Result:
    nearest: dict[tuple[str, str], Match] = {}
    for match in sorted(found.matches if found else (), key=lambda m: (m.distance, m.hash_type, m.entry.id)):
        nearest.setdefault((match.entry.id, match.hash_type), match)
    kept = list(nearest.values())[: policy.max_matches]
    given = {*batch.reasons.get(index, ()), *more_reasons}
    firm: Set[Category] = found.categories if found else set()
    doubtful: Set[Category] = set()
    if kept:
        given.discard(Reason.TYPE_NOT_LISTED)
    if found and not found.crowded and (contradicted := _contradicted(nearest, index, conflicts)):
        given.add(Reason.DIGEST_CONFLICT)
        firm = {match.entry.category for match in nearest.values() if match.entry.id not in contradicted}
        doubtful = found.categories - firm
    reasons = sorted(given)
    verdict = Verdict.MATCH if kept else Verdict.UNKNOWN if reasons else Verdict.NO_MATCH
    action = policy.action(verdict, firm, doubtful)
    near = [match for match in nearest.values() if match.asked is not None]
    return Result(batch.refs[index], verdict, action, reasons, kept, len(nearest) > len(kept), near)


def _contradicted(
    nearest: Mapping[tuple[str, str], Match], index: int, conflicts: DigestConflicts
) -> set[str]:
    types: dict[str, set[str]] = {}
    for entry, hash_type in nearest:
        types.setdefault(entry, set()).add(hash_type)
    return conflicts.of(index, types)


def _unlisted(snapshot: Snapshot, batch: Batch) -> dict[int, tuple[Reason, ...]]:
    """By item, that it brings hashes, but none of a type of which the list has any: nothing has been asked of it."""
    for asked in batch.asked:
        if not snapshot.lists(asked.hash_type.name):
            break
    else:  # as nearly always
        return {}
    of: dict[bool, set[int]] = {True: set(), False: set()}
    for asked in batch.asked:
        of[snapshot.lists(asked.hash_type.name)].update(asked.owners)
    return dict.fromkeys(of[False] - of[True], (Reason.TYPE_NOT_LISTED,))
