"""What is not HTTP/1.1 as RFC 9112 has it: refused with a problem, counted, and the connection is over."""

import re
import time

import pytest

from hashcheck_service.http1.faults import Fault
from tests.hashcheck_service.http1.raw import BODY, connect, exchange, post, read_answer
from tests.support import Server, Site, eventually, serving

KEY = "KEY"  # where a valid one is put
END = f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
HEAD = f"Host: h\r\n{END}"
LENGTH = f"Content-Length: {len(BODY)}\r\n"
CHUNKS = "Transfer-Encoding: chunked\r\n"
POST = "POST /v1/check HTTP/1.1\r\n"
JSON = BODY.decode()
IN_CHUNKS = f"{POST}{HEAD}{CHUNKS}\r\n"
CHUNKED = f"{len(BODY):x}\r\n{JSON}\r\n0\r\n\r\n"


def asks(*headers: str) -> str:
    """A request for a check, with these headers behind the usual ones."""
    return f"{POST}{HEAD}{''.join(headers)}\r\n{JSON}"


REFUSED = {
    "no Host": (f"{POST}{END}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "two Hosts": (f"{POST}Host: x\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "the same Host twice": (f"{POST}Host: h\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "a Host that is a URL": (f"{POST}Host: h/v1\r\n{END}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "two hosts in one": (f"{POST}Host: a, b\r\n{END}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "a URL of another host": (f"POST http://evil/v1/check HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "a URL with a user": (f"POST http://a@h/v1/check HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_HOST),
    "a fragment": (f"POST /v1/check#x HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_TARGET),
    "an authority": (f"POST h:80 HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_TARGET),
    "another scheme": (f"POST ftp://h/v1/check HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_TARGET),
    "an asterisk": (f"POST * HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.BAD_TARGET),
    "CONNECT": ("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", 501, Fault.METHOD_NOT_IMPLEMENTED),
    "HTTP/2.0": (f"POST /v1/check HTTP/2.0\r\n{HEAD}{LENGTH}\r\n{JSON}", 505, Fault.HTTP_VERSION_NOT_SUPPORTED),
    "HTTP/1.2": (f"POST /v1/check HTTP/1.2\r\n{HEAD}{LENGTH}\r\n{JSON}", 505, Fault.HTTP_VERSION_NOT_SUPPORTED),
    "HTTP/0.9": (f"POST /v1/check HTTP/0.9\r\n{HEAD}{LENGTH}\r\n{JSON}", 505, Fault.HTTP_VERSION_NOT_SUPPORTED),
    "the preface of HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, Fault.HTTP_VERSION_NOT_SUPPORTED),
    "no version": ("GET /livez\r\n\r\n", 400, Fault.MALFORMED_REQUEST_LINE),
    "two spaces": (f"POST  /v1/check HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.MALFORMED_REQUEST_LINE),
    "TLS": ("\x16\x03\x01\x02\x00", 400, Fault.MALFORMED_REQUEST_LINE),
    "bare line feeds": (asks(LENGTH).replace("\r\n", "\n"), 400, Fault.MALFORMED_REQUEST_LINE),
    "a bare line feed": (f"{POST}X: a\nb\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.MALFORMED_HEADER),
    "a bare carriage return": (f"{POST}X: a\rb\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.MALFORMED_HEADER),
    "a NUL": (f"{POST}X: a\0b\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.MALFORMED_HEADER),
    "a folded line": (f"{POST}X: a\r\n b\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.MALFORMED_HEADER),
    "no colon": (f"{POST}Bad Header\r\n{HEAD}{LENGTH}\r\n{JSON}", 400, Fault.MALFORMED_HEADER),
    "a space before the colon": (asks(LENGTH, "Transfer-Encoding : chunked\r\n"), 400, Fault.MALFORMED_HEADER),
    "two lengths": (f"{POST}{HEAD}{LENGTH}{LENGTH}\r\n{JSON}", 400, Fault.BAD_CONTENT_LENGTH),
    "two lengths in one": (f"{POST}{HEAD}Content-Length: 5, 5\r\n\r\n{JSON}", 400, Fault.BAD_CONTENT_LENGTH),
    "a length with a sign": (f"{POST}{HEAD}Content-Length: +{len(BODY)}\r\n\r\n{JSON}", 400, Fault.BAD_CONTENT_LENGTH),
    "a length of 19 digits": (f"{POST}{HEAD}Content-Length: {'1' * 19}\r\n\r\n{JSON}", 400, Fault.BAD_CONTENT_LENGTH),
    "length and chunks": (f"{POST}{HEAD}{LENGTH}{CHUNKS}\r\n{CHUNKED}", 400, Fault.BAD_TRANSFER_ENCODING),
    "chunks twice": (f"{POST}{HEAD}{CHUNKS}{CHUNKS}\r\n{CHUNKED}", 400, Fault.BAD_TRANSFER_ENCODING),
    "chunks in HTTP/1.0": (IN_CHUNKS.replace("1.1", "1.0") + CHUNKED, 400, Fault.BAD_TRANSFER_ENCODING),
    "chunked, chunked": (asks("Transfer-Encoding: chunked, chunked\r\n"), 400, Fault.BAD_TRANSFER_ENCODING),
    "gzip, chunked": (asks("Transfer-Encoding: gzip, chunked\r\n"), 501, Fault.TRANSFER_CODING_NOT_IMPLEMENTED),
    "identity": (asks("Transfer-Encoding: identity\r\n"), 501, Fault.TRANSFER_CODING_NOT_IMPLEMENTED),
    "a size in 0x": (f"{IN_CHUNKS}0x{CHUNKED}", 400, Fault.MALFORMED_CHUNK),
    "a size that ends in a line feed": (f"{IN_CHUNKS}{len(BODY):x}\n{JSON}\r\n0\r\n\r\n", 400, Fault.MALFORMED_CHUNK),
    "a size of 17 digits": (f"{IN_CHUNKS}{'0' * 15}{CHUNKED}", 400, Fault.MALFORMED_CHUNK),
    "a chunk that is longer": (f"{IN_CHUNKS}5\r\n{JSON}\r\n0\r\n\r\n", 400, Fault.MALFORMED_CHUNK),
    "an open quote": (f'{IN_CHUNKS}{len(BODY):x};a="b\r\n{JSON}\r\n0\r\n\r\n', 400, Fault.MALFORMED_CHUNK),
    "a long extension": (f"{IN_CHUNKS}{len(BODY):x};{'a' * 5000}\r\n", 400, Fault.TOO_MUCH_CHUNK_OVERHEAD),
    "an endless extension": (f"{IN_CHUNKS}{len(BODY):x};{'a' * 5000}", 400, Fault.MALFORMED_CHUNK),
    "more extensions than content": (
        IN_CHUNKS + f"1;{'a' * 20}\r\n \r\n" * 1000, 400, Fault.TOO_MUCH_CHUNK_OVERHEAD,
    ),
    "a trailer that is none": (f"{IN_CHUNKS}0\r\nX : y\r\n\r\n", 400, Fault.MALFORMED_CHUNK),
    "long trailers": (f"{IN_CHUNKS}0\r\nX: {'a' * 9000}\r\n\r\n", 431, Fault.HEAD_TOO_LARGE),
    "a long head": (f"{POST}X: {'a' * 70_000}\r\n{HEAD}{LENGTH}\r\n{JSON}", 431, Fault.HEAD_TOO_LARGE),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_rfc_9112_forbids_is_refused_with_its_code_and_ends_the_connection(
    server: Server, name: str
) -> None:
    request, status, code = REFUSED[name]
    behind = post(server)  # it is not read
    [answer] = exchange(server, request.replace(KEY, server.key).encode("latin-1"), behind)
    assert (answer.status, answer.says["code"]) == (status, code)
    assert b"\r\nconnection: close\r\n" in answer.head.lower()
    assert answer.says["request_id"].encode() in answer.head
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer.head.lower()


ACCEPTED = {
    "a full URL of the same host": f"POST http://H/v1/check HTTP/1.1\r\n{HEAD}{LENGTH}\r\n{JSON}",
    "empty lines before": f"\r\n\r\n{POST}{HEAD}{LENGTH}\r\n{JSON}",
    "a length with noughts before": f"{POST}{HEAD}Content-Length: 000{len(BODY)}\r\n\r\n{JSON}",
    "Chunked": f"{POST}{HEAD}{CHUNKS.replace('chunked', 'Chunked')}\r\n{CHUNKED}",
    "an extension and a trailer": f"{IN_CHUNKS}{len(BODY):x};a=b\r\n{JSON}\r\n0\r\nX: y\r\n\r\n",
    "a header that is not that one": f"{POST}{HEAD}{LENGTH}Transfer_Encoding: chunked\r\n\r\n{JSON}",
    "an upgrade": f"{POST}{HEAD}{LENGTH}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n{JSON}",
    "a Host with a port": f"{POST}Host: [::1]:8080\r\n{END}{LENGTH}\r\n{JSON}",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_it_allows_is_answered_and_the_connection_goes_on(server: Server, name: str) -> None:
    request = ACCEPTED[name].replace(KEY, server.key).encode()
    with connect(server) as raw:
        for _ in range(2):
            raw.sendall(request)
            answer = read_answer(raw)
            assert answer is not None
            assert answer.status == 200
            assert answer.says["results"][0]["verdict"] == "no_match"


def test_requests_that_cannot_be_read_make_a_line_a_second_and_are_counted(new_site: Site) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        before, began = len(server.log), time.monotonic()
        for _ in range(300):
            [answer] = exchange(server, b"GET / HTTP/1.1\r\n\r\n")
            assert answer.says["code"] == Fault.BAD_HOST
        exchange(server, b"\x16\x03\x01")
        server.wait_for_log(
            'malformed_request_line.*"malformed_requests"|"malformed_requests".*malformed_request_line'
        )
        lines = server.log[before:]
        assert len(lines) <= time.monotonic() - began + 2
        assert sum(int(count) for line in lines for count in re.findall(r'"count": (\d+)', line)) == 301
        counted = 'hashcheck_malformed_requests_total{reason="bad_host"} 300.0'
        eventually(lambda: counted in server.client.get("/metrics").text, "the refusals counted")


def test_an_upgrade_is_ignored_at_every_endpoint_and_no_body_becomes_a_request(server: Server) -> None:
    inner = post(server)
    picture = b"no picture"
    h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    line = b'{"ref":"a","hashes":[{"type":"md5","value":"%b"}]}\n' % (b"ab" * 16)
    for upgrade in (
        "Connection: Upgrade\r\nUpgrade: x\r\n",
        h2c,
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    ):
        for path, body, status in (
            ("/v1/check", BODY, 200),
            ("/v1/check/md5", b"ab" * 16, 200),
            ("/v1/check/media", picture, 415),
            ("/v1/check", inner, 400),
            ("/v1/check/md5", inner, 400),
            ("/livez", inner, 405),
        ):
            request = post(server, path, body, upgrade)
            head = request.index(b"\r\n\r\n") + 4
            with connect(server) as raw:
                for part in (request[:head], request[head:]):
                    raw.sendall(part)
                answer = read_answer(raw)
                assert answer is not None
                assert answer.status == status, (path, answer)
                if b"connection: close" not in answer.head.lower():
                    raw.sendall(post(server))  # the connection is in step: the next answer is this one's
                    answer = read_answer(raw)
                    assert answer is not None
                    assert answer.says["results"][0]["verdict"] == "no_match"
                else:
                    assert read_answer(raw) is None
        stream = server.client.post(
            "/v1/check/stream",
            content=line * 3,
            headers={
                "Content-Type": "application/x-ndjson",
                **dict(h.split(": ") for h in upgrade.split("\r\n") if h),
            },
        )
        assert [answer.count("no_match") for answer in stream.text.splitlines()] == [1, 1, 1]
