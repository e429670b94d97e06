"""Attacks on framing, through a proxy or not: is a body ever read as a request, is another caller ever led astray?"""

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import httpx

UPGRADES = (
    b"",
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
)
CODINGS = (
    b"",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Transfer-Encoding: x\nTransfer-Encoding: chunked\r\n",
)
LENGTHS = (
    b"",
    b"Content-Length: %d\r\n",
    b"Content-Length: +%d\r\n",
    b"Content-Length: 0\r\nContent-Length: %d\r\n",
)
TAILS = (b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b'0;a="b"\r\nContent-Length: 5\r\n\r\n', b"0\r\n")
PATHS = (b"/v1/check", b"/v1/test/check/md5", b"/livez")
_QUIET_SECONDS = 0.05  # after the last answer, for one too many to come
_FINAL = re.compile(rb"HTTP/1\.[01] [2-5]\d\d ")
_WAIT_SECONDS = 2.0  # for an answer at all


@dataclass
class Case:
    """`parts`: as they are sent, one after the other. `requests`: how many of them are there, at most."""

    parts: list[bytes]
    requests: int = 1


@dataclass
class Outcome:
    """`wrong`: of the victims' checks, those not answered as they must be. `notes` has what came in their place."""

    cases: int = 0
    extra: int = 0
    victims: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)


def cases() -> Iterator[Case]:
    """What a caller without a key may send. In each body is a request that must never be one."""
    inner = b"POST /v1/test/check/md5 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    for path, upgrade, coding, length in product(PATHS[:2], UPGRADES, CODINGS, LENGTHS):
        if not length and (not coding or b"_" in coding):
            continue  # then the body is none: what follows is a request indeed
        tail = TAILS[len(upgrade + coding) % len(TAILS)]
        body = b"%x\r\n%b\r\n%b" % (len(inner), inner, tail) if coding else inner
        head = b"POST %b HTTP/1.1\r\nHost: x\r\n%b%b" % (path, upgrade, coding)
        head += (length % len(body) if b"%d" in length else length) + b"\r\n"
        yield Case([head, body])
    for path, upgrade in product(PATHS, UPGRADES):
        plain = b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n" % (path, upgrade, len(inner))
        yield Case([plain + inner])
        yield Case([plain + inner[:20], inner[20:]])
        yield Case([(plain + inner) * 3], requests=3)
        yield Case([plain.replace(b"HTTP/1.1", b"HTTP/1.0"), inner])
        yield Case([plain.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), inner])
    for line, requests in (
        (
            b"CONNECT x:80 HTTP/1.1",
            2,
        ),  # it has no content (RFC 9110, 9.3.6): what follows is a request to a proxy
        (b"TRACE / HTTP/1.1", 1),
        (b"GET http://y/livez HTTP/1.1", 1),
        (b"GET /livez HTTP/2.0", 1),
    ):
        head = line + b"\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)
        yield Case([head, inner], requests)
    yield Case([b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"])


def attack(port: int, case: Case) -> int:
    """Send a case over a connection of its own; how many final answers came."""
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = b""
        try:
            for number, part in enumerate(case.parts):
                if number:
                    time.sleep(0.005)  # it is read by itself
                raw.sendall(part)
            while True:
                raw.settimeout(_QUIET_SECONDS if answers_in(heard) >= case.requests else _WAIT_SECONDS)
                more = raw.recv(65536)
                if not more:
                    break
                heard += more
        except (TimeoutError, ConnectionError):
            pass
        return answers_in(heard)


def answers_in(heard: bytes) -> int:
    return len(_FINAL.findall(heard))


class Victim:
    """Another caller, with a key, whose checks go over the same connections to the service."""

    def __init__(self, port: int, key: str, listed: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False
        )
        self._listed = listed

    def ask(self) -> list[str]:
        """What was not answered as it must be."""
        wrong = []
        for value, right in ((self._listed, "true"), ("ab" * 16, "false")):
            answer = self._client.post("/v1/check/md5", content=value)
            if (answer.status_code, answer.text) != (200, right):
                wrong.append(f"{answer.status_code} {answer.text[:80]}")
        return wrong

    def close(self) -> None:
        self._client.close()


def try_all(port: int, key: str, listed: str) -> Outcome:
    """Every case, and a victim's two checks after each."""
    outcome, victim = Outcome(), Victim(port, key, listed)
    for case in cases():
        answers = attack(port, case)
        outcome.cases += 1
        if answers > case.requests:
            outcome.extra += answers - case.requests
            outcome.notes.append(f"{answers} answers: {case.parts!r}")
        wrong = victim.ask()
        outcome.victims += 2
        outcome.wrong += len(wrong)
        outcome.notes += [f"victim: {one} after {case.parts!r}" for one in wrong]
    victim.close()
    return outcome
