"""Reading a plain request: what it takes for one, h11 behind our rules reads as the very same."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashcheck_service.http1.connection import StrictConnection
from hashcheck_service.http1.fast_head import PlainReader, request_lines

PATHS = request_lines(["/v1/check", "/v1/check/md5"])
GOOD = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}"


def parsed(data: bytes) -> tuple[h11.Request, bytes, bool]:
    """The request that `data` is to h11, its body, and whether the connection can be used again."""
    connection = StrictConnection(65536)
    connection.receive_data(data)
    request, body = connection.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.problem is None
    assert connection.trailing_data[0] == b""
    return request, body, connection.their_state is h11.DONE


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
        b"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
        b"Connection: upgrade, close\r\n",
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
def test_what_is_taken_for_plain_is_the_same_to_the_usual_way(data: bytes, before: list[bytes]) -> None:
    reader = PlainReader(PATHS)
    for earlier in before:  # what it read before changes nothing
        reader.whole(earlier)
    found = reader.whole(data)
    assert found == PlainReader(PATHS).whole(data)
    if found is None:
        return
    head, body = found
    request, whole, keeps = parsed(data)
    assert (request.target.decode(), whole, keeps) == (head.path, body, True)
    assert (request.method, request.http_version) == (b"POST", b"1.1")
    assert len(body) == head.length
    fields = dict(request.headers)
    assert len(fields) == len(request.headers)
    assert fields.get(b"authorization", b"") == head.authorization
    assert fields.get(b"content-type", b"") == head.content_type


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"


@pytest.mark.parametrize("more", [b"", b"Traceparent: 00-ab\r\n", b"Connection: keep-alive\r\n", H2C])
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


def test_the_first_part_of_a_plain_request_is_known_for_one() -> None:
    head = GOOD.index(b"{}")
    for reader in (PlainReader(PATHS), PlainReader(PATHS)):
        for cut, begins in ((head, True), (head + 1, True), (head - 1, False), (len(GOOD) + 1, False)):
            data = (GOOD + b"P")[:cut]
            assert reader.whole(data) is None
            assert reader.begins(data) == begins
    reader = PlainReader(PATHS)
    long = GOOD.replace(b"Length: 2", b"Length: 900000")
    assert reader.whole(long) is None
    assert not reader.begins(long)  # what is not answered at once is not held
