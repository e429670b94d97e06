"""One pass over a request's hashes says the same of each as looking at each alone would."""

from typing import NamedTuple

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hashcheck_core.degenerate import is_degenerate
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashType
from hashcheck_core.search.flat import FlatEngine
from hashcheck_core.snapshot.snapshot import HashTable
from hashcheck_service.checking.encodings import JSON
from hashcheck_service.checking.hashes import Batch, decode_hex, read_batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.checking.schema import ResultOut

_NONE = np.empty(0, np.uint32)
TABLES = {
    name: HashTable(kind, FlatEngine(np.zeros((1, kind.bytes), np.uint8)), _NONE, _NONE, 1)
    for name, kind in BUILT_IN_TYPES.items()
}


class Given(NamedTuple):
    type: str
    value: str
    quality: int | None


def alone(one: Given) -> bytes | Reason:
    """What is to be said of one hash, written down once more and slowly."""
    kind: HashType | None = BUILT_IN_TYPES.get(one.type)
    if kind is None:
        return Reason.UNSUPPORTED_TYPE
    digits = all(c in "0123456789abcdefABCDEF" for c in one.value)
    if not digits or len(one.value) != kind.bits // 4:
        return Reason.MALFORMED_HASH
    if one.quality is not None and kind.min_quality is not None and one.quality < kind.min_quality:
        return Reason.LOW_QUALITY
    value = bytes.fromhex(one.value)
    return Reason.DEGENERATE if is_degenerate(kind, value) else value


def said(batch: Batch, items: list[list[Given]]) -> list[list[bytes | Reason]]:
    """By item, what the batch says of its hashes, in no order."""
    out: list[list[bytes | Reason]] = [list(batch.reasons.get(i, ())) for i in range(len(items))]
    for asked in batch.asked:
        rows = range(len(asked.owners)) if asked.rows is None else asked.rows
        for row, owner in zip(rows, asked.owners, strict=True):
            out[owner].append(asked.values[row].tobytes())
        assert len({value.tobytes() for value in asked.values}) == len(asked.values)
    return out


good = st.sampled_from(sorted(BUILT_IN_TYPES)).flatmap(
    lambda name: st.builds(
        Given,
        st.just(name),
        st.binary(min_size=BUILT_IN_TYPES[name].bytes, max_size=BUILT_IN_TYPES[name].bytes).map(bytes.hex),
        st.sampled_from([None, 50, 100]),
    )
)
bad = st.builds(
    Given,
    st.sampled_from([*sorted(BUILT_IN_TYPES), "photodna"]),
    st.one_of(
        st.text(max_size=70),
        st.sampled_from(
            ["00" * 32, "ff" * 8, "ab" * 16, " " + "ab" * 16, "\u0661" * 32, "AB" * 32, "a b" * 11]
        ),
    ),
    st.sampled_from([None, 0, 49, 50]),
)


@given(st.lists(st.lists(good, min_size=1, max_size=3), min_size=1, max_size=40))
def test_good_hashes_are_read_as_each_alone(items: list[list[Given]]) -> None:
    assert_same(items)


@given(st.lists(st.lists(st.one_of(good, bad), min_size=1, max_size=3), min_size=1, max_size=12))
def test_bad_hashes_among_them_spoil_none_of_the_others(items: list[list[Given]]) -> None:
    assert_same(items)


def assert_same(items: list[list[Given]]) -> None:
    batch = read_batch(TABLES, [str(i) for i in range(len(items))], items, decode_hex)
    for mine, hashes in zip(said(batch, items), items, strict=True):
        assert sorted(map(repr, mine)) == sorted(repr(alone(one)) for one in hashes)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=30), st.sets(st.integers(0, 29)))
def test_an_answer_joined_from_parts_is_the_answer_encoded_whole(refs: list[str], odd: set[int]) -> None:
    plain = [ResultOut(ref, "no_match", "allow", [], [], more_matches=False) for ref in refs]
    strange = {
        i: ResultOut(refs[i], "unknown", "review", ["degenerate"], [], more_matches=False)
        for i in odd
        if i < len(refs)
    }
    wanted = msgspec.to_builtins([strange.get(i, result) for i, result in enumerate(plain)])
    assert msgspec.json.decode(JSON.results(refs, strange)) == wanted
