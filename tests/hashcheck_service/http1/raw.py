"""Requests as bytes, to a service that runs."""

import json
import re
import socket
from dataclasses import dataclass
from typing import Any

from tests.support import Server

BODY = json.dumps({"items": [{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]}).encode()
_LENGTH = re.compile(rb"content-length: (\d+)")


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes

    @property
    def says(self) -> Any:
        return json.loads(self.body)


def connect(server: Server) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    raw.settimeout(20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def post(server: Server, path: str = "/v1/check", body: bytes = BODY, more: str = "", key: str = "") -> bytes:
    """The bytes of a request with a valid key, or with another."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Authorization: Bearer {key or server.key}\r\n\r\n".encode() + body


def read_answer(raw: socket.socket) -> Answer | None:
    """The next answer, which must have a length; None where the connection ended before."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = raw.recv(1)  # no byte of the next answer
        if not more:
            assert not data, data
            return None
        data += more
    length = _LENGTH.search(data)
    assert length is not None, data
    body = b""
    while len(body) < int(length[1]):
        more = raw.recv(int(length[1]) - len(body))
        assert more, (data, body)
        body += more
    return Answer(int(data[9:12]), data, body)


def exchange(server: Server, *parts: bytes, answers: int | None = None) -> list[Answer]:
    """Send `parts` over a connection of their own; so many answers, or all until the service ends it."""
    with connect(server) as raw:
        for part in parts:
            raw.sendall(part)
        found: list[Answer] = []
        while len(found) != answers and (answer := read_answer(raw)) is not None:
            found.append(answer)
        return found
