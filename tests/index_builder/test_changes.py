"""What a build counts against the snapshot in force is what sets and dicts would say."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.categories import CATEGORY_CODES
from index_builder.report.change_counts import Side, count_changes

NAMES = ("anna", "ben+carl", "dora")
TEST = len(CATEGORY_CODES) - 1
# Few first bytes, and ids that are equal in their first half: what digests never are.
ids = st.builds(
    lambda first, half, rest: bytes([first]) + half + rest,
    st.sampled_from((0, 1, 127, 255)),
    st.sampled_from((b"\0" * 7, b"x" * 7)),
    st.binary(min_size=8, max_size=8),
)
entry = st.tuples(st.integers(0, 2), st.integers(0, TEST), st.booleans())
sides = st.dictionaries(st.one_of(ids, st.binary(min_size=16, max_size=16)), entry, max_size=30)


def side(entries: Mapping[bytes, tuple[int, int, bool]], names: tuple[str, ...]) -> Side:
    ordered = sorted(entries)
    return Side(
        np.frombuffer(b"".join(ordered), np.uint8).reshape(len(ordered), 16),
        np.array([entries[one][1] for one in ordered], np.uint8),
        np.array([entries[one][0] for one in ordered], np.uint16),
        names,
        np.array([entries[one][2] for one in ordered], bool),
    )


@settings(max_examples=150, deadline=None)
@given(sides, sides, st.lists(st.tuples(st.integers(0, 29), entry), max_size=20))
def test_counts_are_those_of_sets(
    before: dict[bytes, tuple[int, int, bool]],
    after: dict[bytes, tuple[int, int, bool]],
    common: list[tuple[int, tuple[int, int, bool]]],
) -> None:
    both = sorted(before)
    after |= {both[i]: given_entry for i, given_entry in common if i < len(both)}
    backwards = NAMES[::-1]  # the two sides number their sources on their own
    found = count_changes(side(before, NAMES), side(after, backwards), since="s")

    old = {i: (NAMES[s], c) for i, (s, c, kept) in before.items() if kept}
    new = {i: (backwards[s], c) for i, (s, c, kept) in after.items() if kept}
    groups = [Counter(part) for part in (
        old.values(), new.values(),
        [new[i] for i in new.keys() - old.keys()], [old[i] for i in old.keys() - new.keys()],
    )]  # fmt: skip
    wanted = {
        (name, CATEGORY_CODES[c]): tuple(group[name, c] for group in groups)
        for name, c in {*groups[0], *groups[1]}
        if c != TEST
    }
    assert {(r.source, r.category): (r.before, r.after, r.added, r.removed) for r in found.listed} == wanted
    moved = Counter((CATEGORY_CODES[old[i][1]], CATEGORY_CODES[new[i][1]]) for i in old.keys() & new.keys())
    assert {(m.before, m.after): m.entries for m in found.recategorised} == {
        pair: n for pair, n in moved.items() if pair[0] != pair[1]
    }
    assert found.moved == sum(m.entries for m in found.recategorised)


def test_where_nothing_is_in_force_all_is_added() -> None:
    after = side({bytes([n]) * 16: (0, 0, n != 3) for n in range(5)}, NAMES)
    found = count_changes(None, after)
    assert (found.added, found.removed, found.by_source(), found.by_category()) == (
        4,
        0,
        {"anna": 4},
        {"baseline": 4},
    )
