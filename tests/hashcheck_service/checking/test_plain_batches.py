"""The short way to read a batch says what the usual way says, or nothing."""

import json
import random
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hashcheck_core.hash_types import BUILT_IN_TYPES, HashType
from hashcheck_service.checking.encodings import FORMS, JSON, MSGPACK, Form
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.plain_batches import PlainRefs, warm
from hashcheck_service.problems import Problem
from hashcheck_service.settings import Limits


@dataclass
class Table:
    hash_type: HashType


@dataclass
class List:
    """A list as far as reading a batch asks: which types it has."""

    tables: dict[str, Table]


LIST: Any = List({name: Table(kind) for name, kind in BUILT_IN_TYPES.items() if name != "sha1"})
warm()  # so that no example pays for the compiler
LIMITS = Limits(max_items=50, max_hashes_per_item=4, max_ref_chars=20)
MD5 = "ab" * 16


def told(batch: Batch) -> tuple[Any, ...]:
    """What a batch says, in an order of its own."""
    asked: dict[str, list[tuple[int, bytes]]] = {}
    for one in batch.asked:
        rows = range(len(one.owners)) if one.rows is None else one.rows
        assert len({value.tobytes() for value in one.values}) == len(one.values) or one.rows is None
        pairs = [(owner, one.values[row].tobytes()) for owner, row in zip(one.owners, rows, strict=True)]
        asked[one.hash_type.name] = sorted(pairs)
    reasons = {item: sorted(found) for item, found in batch.reasons.items()}
    return list(batch.refs), asked, reasons


def both(form: Form, body: bytes) -> bool:
    """Whether the body is plain; if it is, both ways say the same of it."""
    plain = form.plain(LIST, body, LIMITS)
    if plain is None:
        return False
    asked, hashes = form.read(body, LIMITS)
    usual = form.of_items(LIST, asked.items)
    assert told(plain[0]) == told(usual)
    assert plain[1] == hashes
    assert isinstance(plain[0].refs, PlainRefs)
    assert form.results(plain[0].refs, {}) == form.results(list(usual.refs), {})
    return True


def hash_of(kind: str, value: bytes, quality: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "value": value.hex()}
    return found if quality is None else {**found, "quality": quality}


KINDS = [*BUILT_IN_TYPES, "unheard_of"]
SIZES = {name: kind.bytes for name, kind in BUILT_IN_TYPES.items()}
VALUES = st.sampled_from(KINDS).flatmap(
    lambda kind: st.builds(
        hash_of,
        st.just(kind),
        st.one_of(
            st.binary(min_size=SIZES.get(kind, 5), max_size=SIZES.get(kind, 5)),
            st.sampled_from([bytes(SIZES.get(kind, 5)), b"\xa5" * SIZES.get(kind, 5)]),
            st.binary(max_size=40),
        ),
        st.one_of(st.none(), st.integers(0, 100)),
    )
)
REFS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=20)
ITEMS = st.lists(
    st.fixed_dictionaries({"ref": REFS, "hashes": st.lists(VALUES, min_size=1, max_size=4)}),
    min_size=1,
    max_size=20,
)


def packed(items: list[dict[str, Any]]) -> bytes:
    return msgspec.msgpack.encode(
        {
            "items": [
                {
                    **item,
                    "hashes": [{**one, "value": bytes.fromhex(one["value"])} for one in item["hashes"]],
                }
                for item in items
            ]
        }
    )


@given(ITEMS, st.integers(0, 2**32), st.sampled_from([None, 1, "\t", "\n \r"]))
def test_plain_json_in_any_order_and_spacing_is_read_the_short_way(
    items: list[dict[str, Any]], seed: int, indent: Any
) -> None:
    mixed = random.Random(seed)

    def turn(value: Any) -> Any:
        if isinstance(value, dict):
            return dict(mixed.sample([(name, turn(one)) for name, one in value.items()], len(value)))
        return [turn(one) for one in value] if isinstance(value, list) else value

    assert both(JSON, json.dumps(turn({"items": items}), indent=indent).encode())
    assert both(JSON, msgspec.json.encode({"items": items}))


@given(ITEMS)
def test_plain_messagepack_is_read_the_short_way(items: list[dict[str, Any]]) -> None:
    assert both(MSGPACK, packed(items))


@given(ITEMS, st.data())
@settings(max_examples=300)
def test_whatever_is_changed_both_ways_agree_or_the_short_one_is_silent(
    items: list[dict[str, Any]], data: st.DataObject
) -> None:
    for form, body in ((JSON, msgspec.json.encode({"items": items})), (MSGPACK, packed(items))):
        changed = bytearray(body)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(changed)))
            what = data.draw(st.integers(0, 3))
            if what == 0 and at < len(changed):
                changed[at] = data.draw(st.integers(0, 255))
            elif what == 1:
                del changed[at : at + data.draw(st.integers(1, 9))]
            elif what == 2:
                changed[at:at] = data.draw(
                    st.sampled_from([b" ", b",", b'"', b"\\", b"{", b"}", b"\0", b"5"])
                )
            else:
                del changed[at:]
        try:
            both(form, bytes(changed))
        except Problem as problem:
            pytest.fail(f"the usual way refuses what the short way takes: {problem}")


def item(**changed: Any) -> bytes:
    one = {"ref": "r", "hashes": [{"type": "md5", "value": MD5, "quality": 7}], **changed}
    return json.dumps({"items": [one]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"items":[]}',
        item(ref="a\\b"),
        item(ref='a"b'),
        item(ref="\u00e9"),
        item(ref="r" * 21),
        item(ref=None),
        item(ref=1),
        item(hashes=[]),
        item(hashes=[{"type": "md5", "value": MD5}] * 5),
        item(hashes=[{"type": "md5"}]),
        item(hashes=[{"value": MD5}]),
        item(hashes=[{"type": "md5", "value": MD5, "quality": 101}]),
        item(hashes=[{"type": "md5", "value": MD5, "quality": -1}]),
        item(hashes=[{"type": "md5", "value": MD5, "quality": 7.0}]),
        item(hashes=[{"type": "md5", "value": MD5, "quality": None}]),
        item(hashes=[{"type": "md5", "value": MD5, "qualty": 7}]),
        item(more=1),
        b'{"items":[' + b",".join([b'{"ref":"","hashes":[{"type":"md5","value":""}]}'] * 51) + b"]}",
        item() + b" x",
        item()[:-1],
        item().replace(b": 7", b": 07"),
        item().replace(b'"ref"', b'"ref":"q","ref"'),
        item().replace(b'"quality"', b'"type":"md5","quality"'),
        item() + b"\0",
    ],
    ids=repr,
)
def test_what_is_not_plain_is_left_to_the_usual_way(body: bytes) -> None:
    assert JSON.plain(LIST, body, LIMITS) is None


def test_a_large_batch_with_equal_values_asks_each_once() -> None:
    values = [np.random.default_rng(n).bytes(32).hex() for n in range(10)]
    items = [
        {"ref": str(n), "hashes": [{"type": "pdq", "value": values[n % 10], "quality": 100}]}
        for n in range(50)
    ]
    plain = JSON.plain(LIST, msgspec.json.encode({"items": items}), LIMITS)
    assert plain is not None
    [asked] = plain[0].asked
    assert len(asked.values) == 10
    assert asked.items_by_row([3]) == {3: [3, 13, 23, 33, 43]}


@example(1)
@given(st.integers(1, 200))
def test_the_least_that_can_stand_for_a_hash_finds_room(hashes: int) -> None:
    limits = Limits(max_items=1000, max_hashes_per_item=10_000)
    short = b'{"type":"","value":""}'
    body = b'{"items":[{"ref":"","hashes":[' + b",".join([short] * hashes) + b"]}]}"
    plain = JSON.plain(LIST, body, limits)
    assert plain is not None
    assert plain[1] == hashes
    assert len(plain[0].reasons[0]) == hashes
    body = packed([{"ref": "", "hashes": [{"type": "", "value": ""}] * hashes}])
    assert MSGPACK.plain(LIST, body, limits) is not None


def test_the_forms_are_the_two() -> None:
    assert {form.name.lower() for form in FORMS.values()} == {"json", "msgpack"}
