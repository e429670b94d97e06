"""A hostile caller, as a process of its own: python -m benchmarks.hostile MODE PORT KEY. It runs until it is ended."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from benchmarks.load import request
from benchmarks.sites import codes_of, strangers
from tests.specimens.costly import progressive_jpeg, tiff

CONNECTIONS = 8


def batch(codes: "list[str]", per_item: int = 16) -> bytes:
    """A request as large as the service takes, of `codes` again and again."""
    items: list[dict[str, object]] = []
    size = place = 0
    while size < 1_000_000 and len(items) < 1000:
        hashes = [
            {"type": "pdq", "value": codes[(place + i) % len(codes)], "quality": 100} for i in range(per_item)
        ]
        place += per_item
        items.append({"ref": f"{len(items)}", "hashes": hashes})
        size += 110 * per_item + 30
    return msgspec.json.encode({"items": items})


def again_and_again(port: int, requests: "list[bytes]") -> None:
    """Send one request after the other, and read all that comes back."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                for place in range(10**9):
                    raw.sendall(requests[place % len(requests)])
                    _read_answer(raw)
        except OSError:
            time.sleep(0.01)


def _read_answer(raw: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = raw.recv(1 << 16)
        if not more:
            raise ConnectionError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while left > 0:
        more = raw.recv(min(left, 1 << 20))
        if not more:
            raise ConnectionError
        left -= len(more)


def held_heads(port: int, head: bytes) -> None:
    """A head, and no body: a slot held for nothing. When it is closed, again."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(head)
                while raw.recv(1 << 16):
                    pass
        except OSError:
            time.sleep(0.01)


def endless_body(port: int, head: bytes) -> None:
    """A body without a key, as fast as it goes."""
    rubbish = bytes(1 << 20)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(head)
                while True:
                    raw.sendall(rubbish)
        except OSError:
            time.sleep(0.01)


def head_of(path: str, key: str, kind: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def costly_pictures() -> list[bytes]:
    """Beyond the limits of structure, and just within them."""
    return [
        progressive_jpeg(2_000, 9984),
        tiff(50_000),
        *(
            progressive_jpeg(45 + more, 9984) for more in range(5)
        ),  # of one file it would be known that it failed
    ]


def modes(port: int, key: str, rows: int) -> "dict[str, tuple[int, Callable[[], None]]]":
    """By name: how many threads do what."""
    listed = [code.tobytes().hex() for code in codes_of(rows)[:50]]
    random = [code.tobytes().hex() for code in strangers(10_000, seed=9)]
    singles = [
        request(
            "/v1/check",
            msgspec.json.encode(
                {"items": [{"ref": "r", "hashes": [{"type": "pdq", "value": value, "quality": 100}]}]}
            ),
            key,
        )
        for value in random[:1000]
    ]
    return {
        "held bodies": (
            256,
            lambda: held_heads(port, head_of("/v1/check", key, "application/json", 9000)),
        ),
        "held media": (
            40,
            lambda: held_heads(port, head_of("/v1/check/media", key, "image/png", 9000)),
        ),
        "large batches": (
            CONNECTIONS,
            lambda: again_and_again(port, [request("/v1/check", batch(random), key)]),
        ),
        "single checks": (CONNECTIONS, lambda: again_and_again(port, singles)),
        "listed batches": (
            CONNECTIONS,
            lambda: again_and_again(port, [request("/v1/check", batch(listed, 1), key)]),
        ),
        "costly pictures": (
            CONNECTIONS,
            lambda: again_and_again(
                port,
                [
                    request("/v1/check/media", data, key, "application/octet-stream")
                    for data in costly_pictures()
                ],
            ),
        ),
        "bodies without a key": (
            CONNECTIONS,
            lambda: endless_body(port, head_of("/v1/check/media", "nobody", "image/png", 90_000_000_000)),
        ),
    }


def main() -> None:
    mode, port, key, rows = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    os.nice(10)
    count, work = modes(port, key, rows)[mode]
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
