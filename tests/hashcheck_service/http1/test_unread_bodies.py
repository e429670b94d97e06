"""A request refused while its body is on its way: an honest caller sees the answer, a stranger gains nothing."""

import http.client
import socket
import threading
from collections.abc import Callable

import httpx
import pytest
import requests

from tests.hashcheck_service.http1.raw import connect, exchange, post, read_answer
from tests.support import Server, Site, serving

SMALLER, LARGE = bytes(3_000_000), bytes(13_000_000)
OVER = bytes(34_000_000)  # above limits.max_media_bytes
PICTURE = {"Content-Type": "image/png"}

Call = Callable[[Server, str, bytes, dict[str, str]], int]


def by_httpx(server: Server, path: str, body: bytes, headers: dict[str, str]) -> int:
    return httpx.post(
        server.url + path, content=body, headers=headers, trust_env=False, timeout=30
    ).status_code


def by_requests(server: Server, path: str, body: bytes, headers: dict[str, str]) -> int:
    with requests.Session() as session:
        session.trust_env = False
        with session.post(server.url + path, data=body, headers=headers, timeout=30) as answer:
            return answer.status_code


def by_http_client(server: Server, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    try:
        connection.request("POST", path, body, headers)
        with connection.getresponse() as answer:
            return answer.status
    finally:
        connection.close()


CLIENTS: list[Call] = [by_httpx, by_requests, by_http_client]


@pytest.mark.parametrize("call", CLIENTS)
def test_every_client_sees_the_status_of_a_refusal(server: Server, call: Call) -> None:
    valid, invalid = {"Authorization": f"Bearer {server.key}"}, {"Authorization": "Bearer nobody"}
    for status, path, body, headers in (  # of strangers so much is read in a second, and no more
        (401, "/v1/check/media", SMALLER, {**invalid, **PICTURE}),
        (401, "/v1/check", SMALLER, {**invalid, "Content-Type": "application/json"}),
        (404, "/v1/media/", LARGE, {**valid, **PICTURE}),
        (404, "/v1/media/", SMALLER, {**invalid, **PICTURE}),
        (405, "/livez", LARGE, {**valid, **PICTURE}),
        (413, "/v1/check/media", OVER, {**valid, **PICTURE}),
        (413, "/v1/check", LARGE, {**valid, "Content-Type": "application/json"}),
        (415, "/v1/check/media", LARGE, {**valid, "Content-Type": "video/mp4"}),
    ):
        assert call(server, path, body, headers) == status, (path, status)


def test_what_comes_behind_a_refusal_is_no_request(server: Server) -> None:
    inner = post(server)
    for path, more in (("/v1/check/media", "Content-Type: text/x\r\n"), ("/nowhere", "")):
        missing = bytes(2 * len(inner) + 50)
        head = post(server, path, missing, more).removesuffix(missing)
        [answer] = exchange(server, head, inner, inner)
        assert answer.status in (404, 415)
        assert b"\r\nconnection: close\r\n" in answer.head.lower()


def test_callers_without_a_key_cannot_have_gigabytes_read(site: Site) -> None:
    """Eight of them announce 90 GB each. What the worker reads of it is bounded, and then they are cut off."""
    sent = [0] * 8
    with serving(site, HASHCHECK_STATE=str(site.root / "state-strangers")) as server:

        def push(number: int) -> None:
            with connect(server) as raw:
                raw.sendall(
                    b"POST /v1/check/media HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                    b"Content-Length: 90000000000\r\n\r\n"
                )
                try:
                    while True:
                        sent[number] += raw.send(bytes(1 << 20))
                except (ConnectionError, TimeoutError):
                    pass

        threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert server.client.get("/livez").status_code == 200
    # What all of them share, twice, and what lies in buffers of the system.
    assert sum(sent) < 200_000_000


def test_a_refused_caller_that_stops_sending_is_told_and_let_go(server: Server) -> None:
    with connect(server) as raw:
        raw.sendall(b"POST /v1/check/media HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nbegun")
        answer = read_answer(raw)
        assert answer is not None
        assert (answer.status, answer.says["code"]) == (401, "unauthorized")
        assert raw.recv(1) == b""  # no more answers, at once
        raw.sendall(b"more")  # and it is still read
        raw.shutdown(socket.SHUT_WR)
