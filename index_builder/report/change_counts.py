"""What a build changes against the snapshot in force: counts by source and category, for its report.

Both sides ascend by id, so it goes through them in step, a part of the ids at a time: whatever their size it takes
little memory beside them. `difference` names the entries; this only counts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.search.exact import as_keys

_KINDS: Final = len(CATEGORY_CODES)
_PARTS: Final = 256  # ids are digests: so many parts by their first byte are of about one size


class Listed(msgspec.Struct, frozen=True):
    """Entries of one source in one category. `before` - `removed` + `added` = `after`, less those recategorised."""

    source: str
    category: str
    before: int
    after: int
    added: int
    removed: int


class Recategorised(msgspec.Struct, frozen=True):
    before: str
    after: str
    entries: int


class Changes(msgspec.Struct, frozen=True):
    """`since`: the snapshot in force, empty for none (then all is added); `note`: why it could not be compared with."""

    since: str = ""
    note: str = ""
    listed: list[Listed] = []
    recategorised: list[Recategorised] = []

    @property
    def added(self) -> int:
        return sum(row.added for row in self.listed)

    @property
    def removed(self) -> int:
        return sum(row.removed for row in self.listed)

    @property
    def moved(self) -> int:
        return sum(row.entries for row in self.recategorised)

    def by_category(self) -> dict[str, int]:
        """Entries that are listed now."""
        return _sums((row.category, row.after) for row in self.listed)

    def by_source(self) -> dict[str, int]:
        return _sums((row.source, row.after) for row in self.listed)


@dataclass(frozen=True, slots=True)
class Side:
    """Columns by entry, ids uint8 (n, 16) ascending; `sources` indexes `names`; only those `kept` count, None: all."""

    ids: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    sources: NDArray[np.uint16]
    names: Sequence[str]
    kept: NDArray[np.bool_] | None = None

    def parts(self) -> Iterator["_Part"]:
        """What counts, part by part, with source and category of each entry as one number."""
        bounds = [
            bisect_left(range(len(self.ids)), p, key=lambda i: int(self.ids[i, 0])) for p in range(_PARTS)
        ]
        for start, stop in pairwise([*bounds, len(self.ids)]):
            kept = slice(None) if self.kept is None else self.kept[start:stop]
            groups = (
                self.sources[start:stop][kept].astype(np.int64) * _KINDS + self.categories[start:stop][kept]
            )
            yield _Part(np.ascontiguousarray(self.ids[start:stop][kept]), groups)


@dataclass(frozen=True, slots=True)
class _Part:
    ids: NDArray[np.uint8]
    groups: NDArray[np.int64]


def count_changes(before: Side | None, after: Side, *, since: str = "", note: str = "") -> Changes:
    """Count what `after` lists, and what is other than in `before`. The reserved test entry counts nowhere."""
    old = before or Side(after.ids[:0], after.categories[:0], after.sources[:0], [])
    sizes = len(old.names) * _KINDS, len(after.names) * _KINDS
    was, removed = np.zeros(sizes[0], np.int64), np.zeros(sizes[0], np.int64)
    now, added = np.zeros(sizes[1], np.int64), np.zeros(sizes[1], np.int64)
    moved = np.zeros(_KINDS * _KINDS, np.int64)
    for left, right in zip(old.parts(), after.parts(), strict=True):
        in_left, in_right = _common(left.ids, right.ids)
        stays, comes = left.groups[in_left], right.groups[in_right]
        was += np.bincount(left.groups, minlength=sizes[0])
        now += np.bincount(right.groups, minlength=sizes[1])
        removed += np.bincount(np.delete(left.groups, in_left), minlength=sizes[0])
        added += np.bincount(np.delete(right.groups, in_right), minlength=sizes[1])
        moved += np.bincount(stays % _KINDS * _KINDS + comes % _KINDS, minlength=len(moved))
    then, here = _merged(old.names, was, removed), _merged(after.names, now, added)
    rows = []
    for name, category in sorted({*then, *here}):
        (n_before, n_removed), (n_after, n_added) = (
            side.get((name, category), (0, 0)) for side in (then, here)
        )
        rows.append(Listed(name, category, n_before, n_after, n_added, n_removed))
    return Changes(
        since,
        note,
        rows,
        [
            Recategorised(CATEGORY_CODES[i // _KINDS], CATEGORY_CODES[i % _KINDS], int(moved[i]))
            for i in np.flatnonzero(moved)
            if i // _KINDS != i % _KINDS
        ],
    )


def _common(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places in both of the ids that both have; each side's are ascending and distinct."""
    if not len(left) or not len(right):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    (high, low), (right_high, right_low) = (ids.view(">u8").astype(np.uint64).T for ids in (left, right))
    if (high[1:] == high[:-1]).any():  # no two digests ever do; whole keys are right for any ids, and slower
        _, in_left, in_right = np.intersect1d(
            as_keys(left), as_keys(right), assume_unique=True, return_indices=True
        )
        return in_left, in_right
    at = np.minimum(np.searchsorted(high, right_high), len(high) - 1)
    equal = (high[at] == right_high) & (low[at] == right_low)
    return at[equal], np.flatnonzero(equal)


def _merged(
    names: Sequence[str], counts: NDArray[np.int64], changed: NDArray[np.int64]
) -> dict[tuple[str, str], tuple[int, int]]:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for group in np.flatnonzero(counts).tolist():
        name, category = names[group // _KINDS], CATEGORY_CODES[group % _KINDS]
        if category is not Category.TEST:
            found[name, category] = (int(counts[group]), int(changed[group]))
    return found


def _sums(pairs: "Iterable[tuple[str, int]]") -> dict[str, int]:
    total: dict[str, int] = {}
    for name, n in pairs:
        total[name] = total.get(name, 0) + n
    return {name: n for name, n in total.items() if n}
