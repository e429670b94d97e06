"""Reading a plain request: whatever it takes for one, the server's own parser takes for the very same."""

from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashcheck_service.web.fast_head import PlainReader, request_lines

PATHS = request_lines(["/v1/check", "/v1/check/md5"])
GOOD = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Parsed:
    """What httptools hears of some bytes."""

    parser: httptools.HttpRequestParser | None = None
    url: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: int = 0
    failed: bool = False
    keeps: bool = False  # the connection, by what the head says
    upgrades: bool = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        self.keeps, self.upgrades = self.parser.should_keep_alive(), self.parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def parsed(data: bytes) -> tuple[Parsed, httptools.HttpRequestParser]:
    heard = Parsed()
    parser = heard.parser = httptools.HttpRequestParser(heard)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        heard.failed = True
    return heard, parser


FIELDS = st.sampled_from(
    [
        b"Host: x\r\n",
        b"AUTHORIZATION:Bearer k \t\r\n",
        b"authorization: Basic YTpi\r\n",
        b"Content-Type: application/json\r\n",
        b"content-type:\tapplication/msgpack\r\n",
        b"Content-Length: 2\r\n",
        b"content-length: 02\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: close\r\n",
        b"Proxy-Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Traceparent: 00-ab-cd-01\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\nContent-Length: 2\r\n",
        b"X: a\rb\r\n",
        b"X: \x00\r\n",
        b"X: \xc3\xa9\r\n",
        b": empty\r\n",
        b"no colon\r\n",
        b"\r\n",
    ]
)
LINES = st.sampled_from(
    [
        b"POST /v1/check HTTP/1.1\r\n",
        b"POST /v1/check/md5 HTTP/1.1\r\n",
        b"POST /v1/check?x HTTP/1.1\r\n",
        b"POST /v1/check HTTP/1.0\r\n",
        b"post /v1/check HTTP/1.1\r\n",
        b"GET /v1/check HTTP/1.1\r\n",
        b"POST  /v1/check HTTP/1.1\r\n",
        b"POST /v1/check HTTP/1.1\n",
    ]
)
BODIES = st.sampled_from([b"", b"{}", b"{}x", b"\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"])
REQUESTS = st.one_of(
    st.builds(
        lambda fields, body: (
            b"POST /v1/check HTTP/1.1\r\n"
            + b"".join(fields)
            + b"Content-Length: %d\r\n\r\n" % len(body)
            + body
        ),
        st.lists(FIELDS, max_size=3, unique=True),
        BODIES,
    ),
    st.builds(
        lambda line, fields, body: line + b"".join(fields) + b"\r\n" + body,
        LINES,
        st.lists(FIELDS, max_size=6),
        BODIES,
    ),
    st.builds(
        lambda at, new: GOOD[: at % len(GOOD)] + new + GOOD[at % len(GOOD) + 1 :],
        st.integers(0, 200),
        st.binary(max_size=3),
    ),
)


@given(REQUESTS, st.lists(REQUESTS, max_size=2))
@example(GOOD, [GOOD])
@example(GOOD.replace(b"Bearer k", b"Bearer k \t"), [])
def test_what_is_taken_for_plain_is_the_same_to_the_servers_parser(data: bytes, before: list[bytes]) -> None:
    reader = PlainReader(PATHS)
    for earlier in before:  # what it read before changes nothing
        reader.whole(earlier)
    found = reader.whole(data)
    assert found == PlainReader(PATHS).whole(data)
    if found is None:
        return
    head, body = found
    heard, parser = parsed(data)
    assert not heard.failed
    assert (heard.url.decode(), heard.body, heard.complete) == (head.path, body, 1)
    assert len(body) == head.length
    fields = dict(heard.headers)
    assert len(fields) == len(heard.headers)
    assert fields.get(b"authorization", b"") == head.authorization
    assert fields.get(b"content-type", b"") == head.content_type
    assert (heard.keeps, heard.upgrades) == (True, False)
    assert parser.get_method() == b"POST"


@pytest.mark.parametrize("more", [b"", b"Traceparent: 00-ab\r\n", b"Connection: keep-alive\r\n"])
def test_what_callers_send_is_plain(more: bytes) -> None:
    reader = PlainReader(PATHS)
    for body in (b"{}", b"{}", b'{"items": []}'):
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(body)
        found = reader.whole(head + body)
        assert found is not None
        assert found[1] == body


@pytest.mark.parametrize("cut", [0, 1, 30, len(GOOD) - 3, len(GOOD) - 1])
def test_a_part_of_a_request_and_more_than_one_are_none(cut: int) -> None:
    reader = PlainReader(PATHS)
    assert reader.whole(GOOD) is not None
    assert reader.whole(GOOD[:cut]) is None
    assert reader.whole(GOOD + GOOD) is None
