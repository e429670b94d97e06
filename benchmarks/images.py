"""Pictures a second through the service, beside Pillow decoding the same files; and how far the hashes are off.

One picture at a time, over one raw connection, for an HTTP client in Python takes as long as a small picture; the
service on core 0, Pillow's decode there with the service idle.
"""

import argparse
import io
import json
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = (
    "1"  # before numpy is loaded: one thread, as in the service's own processes
)

import imagehash
import numpy as np
import pdqhash
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.load import request
from benchmarks.machine import describe
from benchmarks.serve import pin, service
from benchmarks.sites import site_of
from examples.photographs import photograph
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import hash_bytes, hash_picture, pdq, phash
from tests.support import Server

# What is uploaded: a phone's photograph, what a platform makes of it, a thumbnail, a screenshot.
_SIZES = ((4000, 3000), (1600, 1200), (800, 600), (320, 240))
_KINDS = (("JPEG", {"quality": 90}), ("WEBP", {"quality": 85, "method": 2}), ("PNG", {"compress_level": 6}))


def pictures() -> dict[str, bytes]:
    """An ordinary photograph in several sizes and formats; only JPEG in the largest."""
    with Image.open(io.BytesIO(photograph("retina.jpg"))) as image:
        eye = image.convert("RGB")
    with Image.open(io.BytesIO(photograph("coffee.png"))) as image:
        cup = image.convert("RGB")
    made = {}
    for size in _SIZES:
        for kind, options in _KINDS:
            if kind == "PNG" and size[0] > 2000:
                continue
            source = eye if size[0] > 1000 else cup
            out = io.BytesIO()
            source.resize(size, Image.Resampling.LANCZOS).save(out, kind, **options)
            made[f"{kind} {size[0]}x{size[1]}"] = out.getvalue()
    return made


def milliseconds(work: Callable[[], object], seconds: float) -> float:
    """The median of as many runs as fit."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1000


def load(data: bytes) -> None:
    """What Pillow needs to decode a picture."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def measure(server: Server, seconds: float) -> list[dict[str, Any]]:
    port = int(server.url.rpartition(":")[2])
    rows = []
    for name, data in pictures().items():
        question = request("/v1/check/media", data, server.key, "application/octet-stream")

        def decode_and_hash(data: bytes = data) -> None:
            grey = decode(data, ImageLimits()).grey
            hash_picture(grey)
            hash_bytes(data)

        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ask(connection, question)
            pin_all(server)
            service_ms = milliseconds(partial(ask, connection, question), seconds)
        pin(0, 0)
        pillow_ms = milliseconds(lambda data=data: load(data), seconds)  # type: ignore[misc]
        own_ms = milliseconds(decode_and_hash, seconds)
        pin(0, 1)
        rows.append(
            {
                "picture": name,
                "bytes": len(data),
                "pillow_decode_ms": round(pillow_ms, 2),
                "decode_and_hash_ms": round(own_ms, 2),
                "service_ms": round(service_ms, 2),
                "pictures_per_second": round(1000 / service_ms, 1),
                "times_pillow": round(service_ms / pillow_ms, 2),
                **off(data),
            }
        )
    return rows


def ask(connection: socket.socket, question: bytes) -> None:
    connection.sendall(question)
    head, _, body = receive(connection, b"").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body = receive(connection, body)


def receive(connection: socket.socket, before: bytes) -> bytes:
    """`before` and what comes next."""
    more = connection.recv(64 * 1024)
    assert more, "the connection was closed"
    return before + more


def off(data: bytes) -> dict[str, int]:
    """Bits between our hashes and those of the reference libraries on the full picture."""
    grey = decode(data, ImageLimits()).grey
    with Image.open(io.BytesIO(data)) as image:
        full = image.convert("RGB")
    vector, quality = pdqhash.compute(np.asarray(full))
    ours = pdq(grey)[0]
    theirs = np.packbits(vector).tobytes()
    other = np.packbits(imagehash.phash(full).hash).tobytes()
    return {
        "pdq_bits_off": (int.from_bytes(ours.hash.value) ^ int.from_bytes(theirs)).bit_count(),
        "pdq_quality": int(quality),
        "phash_bits_off": (int.from_bytes(phash(grey).hash.value) ^ int.from_bytes(other)).bit_count(),
    }


def pin_all(server: Server) -> None:
    """The service and its picture processes on core 0."""
    [worker] = server.workers()
    pin(worker, 0)
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == worker:
                pin(int(folder.name), 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Pictures a second, beside Pillow's decode of the same files."
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    pin(0, 1)
    with service(site_of(10_000)) as server:
        rows = measure(server, options.seconds)
    result = {"benchmark": "images", "machine": describe(), "rows": rows}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
