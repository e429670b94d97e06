"""/v1/check in JSON and in MessagePack: the same questions have the same answers, and the same problems."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcheck_core.reserved import TEST_HASHES
from hashcheck_service.checking.encodings import FORMS, MSGPACK
from hashcheck_service.checking.schema import ResultOut
from tests.hashcheck_service.test_check import assert_problem
from tests.support import Server

DECODE: dict[str, Callable[[bytes], Any]] = {
    "application/json": msgspec.json.decode,
    "application/msgpack": msgspec.msgpack.decode,
}


@pytest.fixture
def server(asked_both_ways: Server) -> Server:
    return asked_both_ways


def ask(server: Server, items: list[dict[str, Any]], kind: str) -> httpx.Response:
    """Ask about items whose hash values are bytes, in either form."""
    if kind == "application/msgpack":
        body = msgspec.msgpack.encode({"items": items})
    else:
        hexed = [
            {**item, "hashes": [{**one, "value": one["value"].hex()} for one in item["hashes"]]}
            for item in items
        ]
        body = msgspec.json.encode({"items": hexed})
    return server.client.post("/v1/check", content=body, headers={"Content-Type": kind})


def without_ids(answer: httpx.Response) -> dict[str, Any]:
    content = DECODE[answer.headers["content-type"]](answer.content)
    assert content.pop("request_id") == answer.headers["Hashcheck-Request-Id"]
    for result in content["results"]:
        result.pop("hit_id", None)
        for match in result["matches"]:
            match.pop("match_id")
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("count", [1, 15, 16, 1000])
def test_both_forms_give_the_same_answer(server: Server, count: int) -> None:
    hashes = [{"type": one.type.name, "value": one.value} for one in TEST_HASHES]
    some = [
        *hashes,
        {"type": "pdq", "value": bytes(32)},
        {"type": "pdq", "value": b"\x5a" * 32, "quality": 10},
        {"type": "md5", "value": b"short"},
        {"type": "photodna", "value": b"x" * 144},
        *({"type": "md5", "value": i.to_bytes(16)} for i in range(1, 20)),
    ]
    items = [{"ref": f'upload-{i} \u00e9"', "hashes": [some[i % len(some)]]} for i in range(count)]
    one, other = (without_ids(ask(server, items, kind)) for kind in DECODE)
    assert one == other
    assert [result["ref"] for result in one["results"]] == [item["ref"] for item in items]
    assert len({result["verdict"] for result in one["results"]}) == (1 if count == 1 else 3)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_msgpack"),
        (b"\xc1", 400, "malformed_msgpack"),
        (b'{"items": []}', 422, "invalid_request"),
        (msgspec.msgpack.encode({"items": []}), 422, "invalid_request"),
        (msgspec.msgpack.encode({"items": [{"ref": "r", "hashes": []}]}), 422, "invalid_request"),
        (
            msgspec.msgpack.encode(
                {"items": [{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]}
            ),
            422,
            "invalid_request",
        ),
        (b"\xdd\xff\xff\xff\xff", 422, "invalid_request"),
        (b"\x91" * 100_000, 422, "invalid_request"),
        (b"x" * 1_100_000, 413, "body_too_large"),
    ],
    ids=str,
)
def test_bad_messagepack_has_a_problem_as_bad_json_has(
    server: Server, body: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/msgpack"}
    assert_problem(server.client.post("/v1/check", content=body, headers=headers), status, code)


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.name)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=40), st.sets(st.integers(0, 39)))
def test_an_answer_joined_from_parts_is_that_encoded_whole(form: Any, refs: list[str], odd: set[int]) -> None:
    plain = [ResultOut(ref, "no_match", "allow", [], [], more_matches=False) for ref in refs]
    strange = {
        place: ResultOut(refs[place], "unknown", "review", ["degenerate"], [], more_matches=False)
        for place in odd
        if place < len(refs)
    }
    wanted = msgspec.to_builtins([strange.get(place, result) for place, result in enumerate(plain)])
    assert DECODE[form.media_type](form.results(refs, strange)) == wanted


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_the_head_of_an_array_of_any_length_is_right(count: int) -> None:
    assert len(msgspec.msgpack.decode(MSGPACK.results([""] * count, {}))) == count
