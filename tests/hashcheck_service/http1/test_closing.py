"""When a connection ends, and when it must not: idle ones, HTTP/1.0, pipelines, half-closed callers."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.hashcheck_service.http1.raw import BODY, connect, exchange, post, read_answer
from tests.support import Server, Site, serving


@pytest.fixture(scope="module")
def impatient(site: Site) -> Iterator[Server]:
    """A service that gives an idle connection two seconds, and a head as many."""
    with serving(
        site,
        HASHCHECK_STATE=str(site.root / "state-impatient"),
        HASHCHECK_LIMITS__KEEP_ALIVE_SECONDS="2",
        HASHCHECK_LIMITS__HEAD_SECONDS="2",
    ) as server:
        yield server


def test_an_idle_connection_is_closed_and_a_request_just_before_is_answered_as_the_last(
    impatient: Server,
) -> None:
    for _ in range(5):
        with connect(impatient) as raw:
            raw.sendall(post(impatient))
            answer = read_answer(raw)
            assert answer is not None
            assert b"connection: close" not in answer.head.lower()
            answered = time.monotonic()
            time.sleep(2.4)  # the two seconds are over, and the one that follows is not
            raw.sendall(post(impatient))
            late = time.monotonic() - answered > 2.9
            answer = read_answer(raw)
            if answer is None and late:
                continue  # this machine was busy with something else
            assert answer is not None
            assert answer.status == 200
            assert b"\r\nconnection: close\r\n" in answer.head.lower()
            assert read_answer(raw) is None
            return
    pytest.fail("the machine is too slow to tell")


@pytest.mark.parametrize("begun", [b"P", b"POST /v1/check HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_to_its_end_is_told_so(impatient: Server, begun: bytes) -> None:
    [answer] = exchange(impatient, begun)
    assert (answer.status, answer.says["code"]) == (408, "head_timeout")


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(impatient: Server) -> None:
    assert exchange(impatient) == []


def test_a_head_may_come_slowly_after_an_answer_and_its_body_apart(impatient: Server) -> None:
    with connect(impatient) as raw:
        for cut in (20, post(impatient).index(BODY), post(impatient).index(BODY) + 3):
            request = post(impatient)
            raw.sendall(request[:cut])
            time.sleep(0.2)  # longer than a plain head is held
            raw.sendall(request[cut:])
            answer = read_answer(raw)
            assert answer is not None
            assert answer.says["results"][0]["verdict"] == "no_match"


def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    request = post(server).replace(b"HTTP/1.1", b"HTTP/1.0")
    for more in (b"", b"Connection: keep-alive\r\n"):
        [answer] = exchange(server, request.replace(b"Host: x\r\n", more))
        assert answer.says["results"][0]["verdict"] == "no_match"
    line = b'{"ref":"a","hashes":[{"type":"md5","value":"%b"}]}\n' % (b"ab" * 16)
    kind = "Content-Type: application/x-ndjson\r\n"
    with connect(server) as raw:
        raw.sendall(post(server, "/v1/check/stream", line, kind).replace(b"HTTP/1.1", b"HTTP/1.0"))
        whole = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"chunked" not in whole.lower()
    assert whole.count(b"no_match") == 1


def test_a_short_stream_is_answered_when_it_was_read_and_its_connection_goes_on(server: Server) -> None:
    """An answer that begins before is broken off by some proxies."""
    line = b'{"ref":"a","hashes":[{"type":"md5","value":"%b"}]}\n' % (b"ab" * 16)
    request = post(server, "/v1/check/stream", line, "Content-Type: application/x-ndjson\r\n")
    with connect(server) as raw:
        for _ in range(2):
            raw.sendall(request.removesuffix(line))
            raw.sendall(line[:10])
            assert exchange(server, post(server), answers=1)  # so that the head was read meanwhile
            raw.sendall(line[10:])
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                more = raw.recv(65536)
                assert more, answer
                answer += more
            assert answer.count(b"no_match") == 1
            assert b"connection: close" not in answer.lower()


def test_a_pipeline_is_answered_in_order(server: Server) -> None:
    item = '{"items":[{"ref":"%d","hashes":[{"type":"md5","value":"' + "ab" * 16 + '"}]}]}'
    requests = [post(server, body=(item % number).encode()) for number in range(5)]
    requests.insert(2, post(server, "/v1/check/md5", b"ab" * 16))
    answers = exchange(server, b"".join(requests), answers=6)
    refs = [b"false" if answer.body == b"false" else answer.says["results"][0]["ref"] for answer in answers]
    assert refs == ["0", "1", b"false", "2", "3", "4"]


def test_who_waits_for_100_continue_is_told_to_go_on(server: Server) -> None:
    request = post(server, more="Expect: 100-continue\r\n")
    head = request.index(BODY)
    with connect(server) as raw:
        raw.sendall(request[:head])
        assert raw.recv(65536).startswith(b"HTTP/1.1 100 ")
        raw.sendall(request[head:])
        answer = read_answer(raw)
        assert answer is not None
        assert answer.status == 200


@pytest.mark.parametrize("more", ["", "X-Twice: 1\r\nX-Twice: 2\r\n"], ids=["plain", "unusual"])
def test_who_has_sent_all_and_says_so_is_still_answered(server: Server, more: str) -> None:
    with connect(server) as raw:
        raw.sendall(post(server, more=more))
        raw.shutdown(socket.SHUT_WR)
        answer = read_answer(raw)
        assert answer is not None
        assert answer.status == 200
        assert read_answer(raw) is None


def test_a_blank_line_in_two_pieces_begins_no_head(impatient: Server) -> None:
    with connect(impatient) as raw:
        raw.sendall(post(impatient))
        assert read_answer(raw)
        for piece in (b"\r", b"\n"):
            raw.sendall(piece)
            time.sleep(0.1)
        until = time.monotonic() + 2.6  # longer than a head may take
        while time.monotonic() < until:
            raw.sendall(post(impatient))
            answer = read_answer(raw)
            assert answer is not None
            assert answer.status == 200
            time.sleep(0.1)


def test_after_a_body_that_is_too_large_and_was_read_the_connection_goes_on(server: Server) -> None:
    with connect(server) as raw:
        for _ in range(2):
            raw.sendall(post(server, "/v1/check/md5", b"a" * 2000))
            answer = read_answer(raw)
            assert answer is not None
            assert answer.status == 413
            assert b"connection: close" not in answer.head.lower()
        raw.sendall(post(server))
        answer = read_answer(raw)
        assert answer is not None
        assert answer.status == 200
