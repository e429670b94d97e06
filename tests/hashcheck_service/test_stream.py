"""POST /v1/check/stream against a running service: a line for each line, as they come, and last in line."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from hashcheck_core.reserved import TEST_HASHES
from tests.hashcheck_service.test_check import assert_problem
from tests.support import Server, Site, eventually, serving

KIND = {"Content-Type": "application/x-ndjson"}
STRANGER = {"ref": "stranger", "hashes": [{"type": "md5", "value": "ab" * 16}]}
RESERVED = {"ref": "reserved", "hashes": [{"type": h.type.name, "value": h.hex()} for h in TEST_HASHES]}


def stream(server: Server, *lines: bytes, end: bytes = b"\n") -> list[dict[str, Any]]:
    answer = server.client.post("/v1/check/stream", content=b"\n".join(lines) + end, headers=KIND)
    assert (answer.status_code, answer.headers["content-type"]) == (200, KIND["Content-Type"])
    return [json.loads(line) for line in answer.text.splitlines()]


def line(item: Any) -> bytes:
    return json.dumps(item).encode()


@contextmanager
def opened(server: Server) -> Iterator[socket.socket]:
    """A stream whose body is still to be sent."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
        raw.settimeout(20)
        raw.sendall(
            b"POST /v1/check/stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\nAuthorization: Bearer " + server.key.encode() + b"\r\n\r\n"
        )
        yield raw


def send(raw: socket.socket, data: bytes) -> None:
    raw.sendall(b"%x\r\n%b\r\n" % (len(data), data))


def receive(raw: socket.socket, until: bytes) -> bytes:
    data = b""
    while until not in data:
        more = raw.recv(65536)
        assert more, data
        data += more
    return data


def test_each_line_has_its_answer_in_order_and_names_the_snapshot(server: Server) -> None:
    items = [{**(RESERVED if i % 100 == 7 else STRANGER), "ref": f"file-{i}"} for i in range(1000)]
    answers = stream(server, *map(line, items))
    snapshot = server.client.get("/v1/snapshot").json()["snapshot"]["id"]
    assert [answer["line"] for answer in answers] == list(range(1, 1001))
    assert {answer["snapshot"] for answer in answers} == {snapshot}
    results = [answer["result"] for answer in answers]
    assert [result["ref"] for result in results] == [item["ref"] for item in items]
    assert [i for i, result in enumerate(results) if result["verdict"] == "match"] == list(
        range(7, 1000, 100)
    )
    alone = server.check(*STRANGER["hashes"], ref="file-0")  # type: ignore[arg-type]
    assert results[0] == alone


def test_a_bad_line_has_a_problem_and_the_stream_goes_on(server: Server) -> None:
    bad = [
        b"not json",
        b'{"ref": "r"}',
        line({**STRANGER, "more": 1}),
        line({**STRANGER, "hashes": []}),
        line({**STRANGER, "ref": "x" * 257}),
        b"[" * 10_000,
        b"\xff\xfe",
    ]
    long = b'{"ref":"' + b"x" * 200_000 + b'"}'
    answers = stream(server, *bad, b"", b"  ", long, line(STRANGER), b"x" * 20_000, end=b"")
    assert [answer["line"] for answer in answers] == [*range(1, 8), 10, 11, 12]
    codes = [answer["problem"]["code"] for answer in answers if "problem" in answer]
    assert codes == ["invalid_request"] * 7 + ["line_too_long"] * 2
    assert answers[-2]["result"]["verdict"] == "no_match"
    assert "xxx" not in json.dumps(answers)


def test_what_is_unknown_or_on_the_list_is_so_in_a_stream_too(server: Server) -> None:
    given = {"ref": "plain", "hashes": [{"type": "pdq", "value": "00" * 32}]}
    [plain, listed] = stream(server, line(given), line(RESERVED), end=b"")
    assert (plain["result"]["verdict"], plain["result"]["reasons"]) == ("unknown", ["degenerate"])
    assert {match["type"] for match in listed["result"]["matches"]} == {h.type.name for h in TEST_HASHES}


def test_answers_come_before_the_last_question_is_asked(server: Server) -> None:
    with opened(server) as raw:
        for number in range(1, 4):
            send(raw, line(STRANGER) + b"\n")
            assert b'"line":%d,' % number in receive(raw, b'"line":%d,' % number)
        raw.sendall(b"0\r\n\r\n")
        receive(raw, b"0\r\n\r\n")


def test_before_the_first_line_a_problem_is_an_answer_like_any_other(server: Server) -> None:
    answer = httpx.post(server.url + "/v1/check/stream", content=b"", headers=KIND, trust_env=False)
    assert_problem(answer, 401, "unauthorized")
    answer = server.client.post("/v1/check/stream", json=STRANGER)
    assert_problem(answer, 415, "unsupported_media_type")


def test_streams_have_places_and_a_quota_of_their_own(new_site: Site) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings(
        "[limits]\nmax_streams_in_hand = 1\nmax_checks_in_hand = 1\nstream_hashes_per_minute = 3\nbody_seconds = 3\n"
    )
    with serving(new_site) as server:
        with opened(server) as raw:
            send(raw, line(STRANGER) + b"\n")
            receive(raw, b'"line":1,')
            answer = server.client.post("/v1/check/stream", content=line(STRANGER), headers=KIND)
            assert_problem(answer, 503, "overloaded")
            assert server.check(*STRANGER["hashes"])["verdict"] == "no_match"  # type: ignore[arg-type]
            ended = receive(raw, b"0\r\n\r\n")  # nothing comes for a while
        assert b"body_timeout" in ended
        eventually(lambda: stream(server, line(STRANGER))[0].get("result"), "the place free again")
        last = stream(server, line(STRANGER), line(STRANGER))[-1]
        assert last["problem"]["code"] == "over_quota"


@pytest.mark.parametrize("checks", [0, 50])
def test_checks_are_answered_while_a_stream_is_under_way(server: Server, checks: int) -> None:
    with opened(server) as raw:
        for _ in range(20):
            send(raw, b"".join(line(STRANGER) + b"\n" for _ in range(50)))
        for _ in range(checks):
            assert server.check(*STRANGER["hashes"])["verdict"] == "no_match"  # type: ignore[arg-type]
        raw.sendall(b"0\r\n\r\n")
        assert receive(raw, b"0\r\n\r\n").count(b'"no_match"') == 1000
