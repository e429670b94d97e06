"""An endpoint and its test twin: what a caller sends to one of them never becomes a question to the other.

Whoever could turn another caller's check into a question to the test twin would make `false` of every listed hash.
"""

import socket

import pytest

from tests.hashcheck_service.http1.raw import Answer, connect, exchange, post, read_answer
from tests.support import Server

TYPES = ("md5", "sha1", "sha256")
PAIRS = [(f"/v1/check/{name}", f"/v1/test/check/{name}", name) for name in TYPES]
DIRECTIONS = [pair for real, twin, name in PAIRS for pair in ((real, twin, name), (twin, real, name))]

Listed = dict[str, dict[str, str]]


@pytest.fixture
def value(listed: Listed, name: str) -> bytes:
    return listed["coffee.png"][name].encode()


def right(path: str) -> bytes:
    """What a listed hash is answered there."""
    return b"false" if "/test/" in path else b"true"


@pytest.mark.parametrize(("path", "twin", "name"), DIRECTIONS)
def test_a_body_that_is_a_request_to_the_twin_is_no_request(
    server: Server, path: str, twin: str, name: str, value: bytes
) -> None:
    inner = post(server, twin, value)
    for more in ("", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "X-Twice: 1\r\nX-Twice: 2\r\n"):
        for cut in (-len(inner), -len(value)):
            request = post(server, path, inner, more)
            with connect(server) as raw:
                for part in (request[:cut], request[cut:]):
                    raw.sendall(part)
                answer = read_answer(raw)
                assert answer is not None
                assert (answer.status, answer.says["code"]) == (400, "malformed_hash")
                assert ask(raw, post(server, path, value)).body == right(path)  # in step


def ask(raw: socket.socket, request: bytes) -> Answer:
    raw.sendall(request)
    answer = read_answer(raw)
    assert answer is not None
    return answer


@pytest.mark.parametrize(("path", "twin", "name"), DIRECTIONS)
def test_no_header_leads_to_the_twin(server: Server, path: str, twin: str, name: str, value: bytes) -> None:
    for header in (
        f"X-Original-URL: {twin}",
        f"X-Rewrite-URL: {twin}",
        "X-HTTP-Method-Override: GET",
        f"Referer: {twin}",
        "X-Forwarded-Prefix: /v1/test",
        f"X: POST {twin} HTTP/1.1",
        f"Location: {twin}",
    ):
        for more in (f"{header}\r\n", f"{header}\r\n{header}\r\n"):
            [answer] = exchange(server, post(server, path, value, more), answers=1)
            assert (answer.status, answer.body) == (200, right(path)), header
    for target in (
        f"{path}?{twin}",
        f"{path}/../../..{twin}",
        f"{path}%2f..{twin}",
        f"//x{twin}",
        f"{twin}/",
    ):
        request = post(server, path, value).replace(path.encode(), target.encode(), 1)
        [answer] = exchange(server, request, answers=1)
        assert (answer.status, answer.body) in ((200, right(path)), (404, answer.body)), target


@pytest.mark.parametrize(("path", "twin", "name"), DIRECTIONS)
def test_half_a_request_to_the_twin_touches_no_other_connection(
    server: Server, path: str, twin: str, name: str, value: bytes
) -> None:
    half = post(server, twin, value)
    for cut in (4, len(half) // 2, len(half) - len(value), len(half) - 3):
        with connect(server) as one, connect(server) as other:
            one.sendall(half[:cut])
            assert ask(other, post(server, path, value)).body == right(path)
            assert ask(one, half[cut:]).body == right(twin)
            assert ask(other, post(server, path, value)).body == right(path)
            assert ask(one, post(server, path, value)).body == right(path)


@pytest.mark.parametrize(("path", "twin", "name"), DIRECTIONS)
def test_what_follows_half_a_request_is_never_answered_by_the_twin(
    server: Server, path: str, twin: str, name: str, value: bytes
) -> None:
    """As if a proxy had put another caller's request behind it: it may be refused, but not answered wrongly."""
    behind = post(server, path, value)
    half = post(server, twin, value)
    for begun in (half[: -len(value)], half[:-3], half[: half.index(b"Authorization")], half[:30]):
        with connect(server) as raw:
            raw.sendall(begun)
            answer = ask(raw, behind)
            assert answer.status in (400, 401, 413), (begun, answer)
