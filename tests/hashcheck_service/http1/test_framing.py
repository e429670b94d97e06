"""Where a request ends: whatever comes in, and in whatever parts, no body is read as a request."""

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.h11_impl import H11Protocol

from hashcheck_service.http1.protocol import CheckProtocol
from tests.hashcheck_service.http1.wire import EARLY, Heard, Request, cut, heard_by

INNER = (
    b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"  # in bodies: whoever reads this as a request is led astray
)
UPGRADES = (
    b"",
    b"Connection: keep-alive\r\n",
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    b"Upgrade: h2c\r\n",
    b"connection: keep-alive, upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
)
BODIES = st.sampled_from([b"", b"{}", INNER, INNER + INNER, b"0\r\n\r\n" + INNER])
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b'; a = "\\"; b" ;c', b";a;b=c"])
TRAILERS = st.sampled_from([b"", b"X: y\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"])


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """`body` in chunks, with all that may stand between them."""
    parts = cut(body, draw(st.lists(st.integers(0, 200), max_size=4))) if body else []
    lines = [b"%x%b\r\n%b\r\n" % (len(part), draw(EXTENSIONS), part) for part in parts]
    return b"".join(lines) + b"0%b\r\n%b\r\n" % (draw(EXTENSIONS), draw(TRAILERS))


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[bytes, Request]:
    """A request, and what it says."""
    path = draw(st.sampled_from(["/v1/check", "/v1/check/md5", "/other"]))
    upgrade, body = draw(st.sampled_from(UPGRADES)), draw(BODIES)
    more = draw(st.sampled_from([b"", b"X: 1\r\nX: 2\r\n", b"Expect: 100-continue\r\n"]))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + upgrade + more
    if draw(st.booleans()):
        whole = head + b"Transfer-Encoding: chunked\r\n\r\n" + draw(chunked(body))
    else:
        whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return whole, ("POST", path, body)


@settings(max_examples=150)
@given(st.lists(well_formed(), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=6))
@example(
    [(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", ("POST", "/v1/check", b"{}"))]
    * 3,
    [],
)
def test_as_many_answers_as_requests_and_each_request_as_it_was_sent(
    sent: list[tuple[bytes, Request]], places: list[int]
) -> None:
    requests = [request for _, request in sent]
    parts = cut(b"".join(data for data, _ in sent), places)
    ours = heard_by(CheckProtocol, parts)
    assert ours.requests == requests
    assert [status for status in ours.statuses if status != 100] == [200] * len(requests)
    assert not ours.codes
    assert heard_by(H11Protocol, parts).requests == requests


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_split_at_every_byte_a_request_is_the_same(upgrade: bytes, framing: str) -> None:
    head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\n" + upgrade
    if framing == "length":
        data = head + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER
    else:
        data = head + b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (
            len(INNER),
            INNER,
        )
    every = [[data[:at], data[at:]] for at in range(1, len(data))]
    for parts in [*every, [data[at : at + 1] for at in range(len(data))], [data]]:
        ours = heard_by(CheckProtocol, parts)
        assert ours.requests == [("POST", "/v1/check", INNER)], parts
        assert (ours.statuses, ours.closed) == ([200], False)


CODINGS = (
    b"",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunked;q=1\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Transfer-Encoding: x\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ,chunked\r\n",
)
LENGTHS = (
    b"",
    b"%d",
    b"+%d",
    b"000%d",
    b"%d, %d",
    b"%d\r\nContent-Length: %d",
    b"0x%x",
    b"%d 0",
    b"-%d",
    b"%d\x00",
)


def framings() -> list[tuple[bytes, bytes, bytes, bytes]]:
    return list(product((b"1.1", b"1.0"), CODINGS, LENGTHS, (UPGRADES[0], UPGRADES[2])))


def test_of_every_combination_of_length_and_coding_none_makes_a_body_a_request() -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)
    for version, coding, length, upgrade in framings():
        head = b"POST /v1/check HTTP/%b\r\nHost: x\r\n%b%b" % (version, upgrade, coding)
        if length:
            size = length.replace(b"%d", b"%(n)d").replace(b"%x", b"%(n)x") % {b"n": len(body)}
            head += b"Content-Length: %b\r\n" % size
        for parts in ([head + b"\r\n" + body], [head + b"\r\n", body]):
            ours, theirs = heard_by(CheckProtocol, parts), heard_by(H11Protocol, parts)
            where = (parts, ours)
            assert ours.requests == theirs.requests[: len(ours.requests)], where
            assert all(path != "/smuggled" for _, path, _ in ours.requests), where
            assert len(ours.statuses) <= len(ours.requests) + 1, where
            assert ours.closed == (bool(ours.codes) or version == b"1.0"), where
            if b"Transfer-Encoding" in coding and length:
                assert (ours.requests, len(ours.codes)) == ([], 1), where


ODD = st.sampled_from(
    [
        b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
        b"POST x:80 HTTP/1.1\r\nHost: x:80\r\nContent-Length: 2\r\n\r\n{}",
        b"POST http://y/v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        b"POST http://x/v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/check HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n",
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (EARLY.encode(), len(INNER), INNER),
        b"GET /other HTTP/1.1\r\nHost: x\r\nX: a\nb\r\n\r\n",
        b"GET /other HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /other\r\n\r\n",
        b"\n",
        b"\x16\x03\x01",
    ]
)  # fmt: skip


# Empty lines before a request are ignored here (RFC 9112, 2.2) and refused by h11: none may come up by a wrong length.
STRAY = st.binary(max_size=2).filter(lambda new: not {*b"\r\n0123456789"} & {*new})


@settings(max_examples=150)
@given(
    st.lists(st.one_of(ODD, well_formed().map(lambda made: made[0])), min_size=1, max_size=4),
    st.lists(st.integers(0, 2000), max_size=5),
    st.integers(0, 3000),
    STRAY,
)
def test_whatever_comes_is_read_as_h11_reads_it_or_refused(
    sent: list[bytes], places: list[int], at: int, stray: bytes
) -> None:
    last = sent.pop()
    at %= last.find(b"\r\n\r\n") + 1 or len(last)  # in its head
    parts = cut(b"".join([*sent, last[:at], stray, last[at:]]), places)
    ours, theirs = heard_by(CheckProtocol, parts), heard_by(H11Protocol, parts)
    assert _as_sent(ours) == _as_sent(theirs)[: len(ours.requests)]
    if len(ours.requests) < len(theirs.requests):
        assert ours.closed
    final = [status for status in ours.statuses if status != 100]
    assert len(final) == len(ours.requests) + len(ours.codes)
    assert len(ours.codes) <= 1


def _as_sent(heard: Heard) -> list[Request]:
    """A full URL names its path, to us as to everyone (RFC 9112, 3.2.2); uvicorn takes all of it for the path."""
    return [
        (method, "/v1/check" if path.startswith("http://") else path, body)
        for method, path, body in heard.requests
    ]
