"""Pictures are hashed in processes that may die: the service answers, goes on, and leaves none behind."""

import asyncio
import io
import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from examples.photographs import photograph
from hashcheck_core.images.hashing import hash_bytes
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.fence.messages import LENGTH
from hashcheck_service.metrics import Metrics
from hashcheck_service.pictures.pool import PicturePool
from hashcheck_service.pictures.worker import Found, Hashed
from hashcheck_service.settings import Fence, Limits
from tests.specimens.pictures import listed_photo
from tests.support import Server, Site, eventually, serving

EVERY_FORMAT: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {"quality": 90}),
    ("JPEG", {"quality": 90, "progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {"lossless": True, "method": 0}),
    ("AVIF", {"speed": 10}),
    ("HEIF", {}),
    ("BMP", {}),
    ("TIFF", {"compression": "jpeg"}),
    ("TIFF", {"compression": "tiff_deflate"}),
    ("JPEG2000", {"tile_size": (512, 512)}),
]
RECVMSG = ("47", "212")  # of x86-64 and aarch64


def children(process: int) -> list[int]:
    """Those it has forked, in their order."""
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def zygotes(server: Server) -> list[int]:
    """Where a service forks its picture processes."""
    command = b"hashcheck_service.fence.zygote"
    found = [child for worker in server.workers() for child in children(worker)]
    return [one for one in found if command in Path(f"/proc/{one}/cmdline").read_bytes()]


def next_process(server: Server) -> int:
    """The process that gets the next picture; with `max_pictures_in_hand = 1` it is the youngest."""
    [zygote] = zygotes(server)

    def waits() -> bool:
        """Whether it waits to be asked, as one that has answered never does."""
        found = children(zygote)  # the first process of the namespace among them
        return len(found) == 2 and Path(f"/proc/{max(found)}/syscall").read_text().split()[0] in RECVMSG

    eventually(waits, "a process forked ahead")
    return max(children(zygote))


def gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def published(new_site: Site) -> Site:
    new_site.publish(new_site.build())
    return new_site


def test_a_picture_its_process_dies_over_is_unknown_and_the_next_is_not(published: Site) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\n")
    with serving(published) as server, ThreadPoolExecutor(1) as pool:
        assert zygotes(server) == []  # none before the first picture
        assert server.media(photograph("camera.png"))["verdict"] == "no_match"
        process = next_process(server)
        os.kill(process, signal.SIGSTOP)
        answer = pool.submit(server.media, photograph("camera.png"))
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        os.kill(process, signal.SIGKILL)
        result = answer.result(30)
        assert (result["verdict"], result["reasons"]) == ("unknown", ["undecodable_image"])
        assert server.media(photograph("camera.png"))["verdict"] == "no_match"
        process = next_process(server)
        os.kill(process, signal.SIGKILL)  # over no picture
        eventually(lambda: gone(process), "the idle process ended")
        assert server.media(photograph("coffee.png"))["verdict"] == "match"
        [line] = [json.loads(line) for line in server.log if "picture_process_died" in line]
        assert (line["tenant"], line["ended"]) == ("acme", "SIGKILL")
        assert failures(server) == {"death": 1}


def failures(server: Server) -> dict[str, int]:
    found = re.findall(
        r'^hashcheck_picture_failures_total\{cause="(\w+)"\} (\d+)', server.client.get("/metrics").text, re.M
    )
    return {cause: int(count) for cause, count in found}


@pytest.mark.parametrize("whole", [True, False], ids=["zygote", "first process"])
def test_the_service_goes_on_when_all_picture_processes_are_gone(published: Site, *, whole: bool) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\n")
    with serving(published) as server:
        server.media(photograph("camera.png"))
        next_process(server)
        [zygote] = zygotes(server)
        found = children(zygote)
        os.kill(zygote if whole else min(found), signal.SIGKILL)
        eventually(lambda: all(map(gone, [zygote, *found])), "all ended with it")
        assert server.media(photograph("coffee.png"))["verdict"] == "match"
        assert zygotes(server) != [zygote]


def test_no_process_sees_a_second_picture(published: Site) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\n")
    with serving(published) as server:
        server.media(photograph("camera.png"))
        seen = set()
        for _ in range(5):
            seen.add(process := next_process(server))
            assert server.media(photograph("camera.png"))["verdict"] == "no_match"
            eventually(lambda process=process: gone(process), "it ended with its picture")  # type: ignore[misc]
        assert len(seen) == 5


def test_a_picture_that_takes_too_long_is_unknown_and_its_process_ended(published: Site) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\npicture_seconds = 1.0\n")
    with serving(published) as server:
        server.media(photograph("camera.png"))
        process = next_process(server)
        os.kill(process, signal.SIGSTOP)
        result = server.media(photograph("camera.png"))
        assert (result["verdict"], result["reasons"]) == ("unknown", ["image_timeout"])
        eventually(lambda: gone(process), "the stopped process ended")
        server.wait_for_log('"tenant": "acme".*"event": "picture_took_too_long"')
        assert failures(server) == {"time": 1}
        assert (
            server.media(photograph("camera.png"))["verdict"] == "no_match"
        )  # it was not the picture's fault


def test_a_picture_that_takes_more_memory_than_it_may_harms_nobody(published: Site) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\npicture_memory_bytes = 300_000_000\n")
    out = io.BytesIO()
    Image.new("RGBA", (10_000, 10_000)).save(out, "PNG", compress_level=1)
    with serving(published) as server:
        result = server.media(out.getvalue())
        assert (result["verdict"], result["reasons"]) == ("unknown", ["undecodable_image"])
        assert server.media(photograph("camera.png"))["verdict"] == "no_match"
        answer = server.client.post(
            "/v1/check/media", content=out.getvalue(), headers={"Content-Type": "image/png"}
        ).json()
        assert [one["type"] for one in answer["hashes"]] == ["md5", "sha1", "sha256"]


PDQ = Hashed("pdq", bytes(32), "original", 100)
PHASH = Hashed("phash", bytes(8), "original", None)


def said(found: Found) -> bytes:
    body = msgspec.msgpack.encode(found)
    return LENGTH.pack(len(body)) + body


@pytest.mark.parametrize(
    "lie",
    [
        b"\xff" * 100,  # four gigabytes are to come
        said(Found([]))[:-1],
        said(Found([])),
        said(Found([PDQ, Hashed("phash", bytes(8), "<script>", None)])),
        said(Found([Hashed("pdq", bytes(32), "original", 101), PHASH])),
        LENGTH.pack(3) + b"???",
        said(Found([Hashed("sha1024", bytes(32), "original", None)])),
        said(Found([Hashed("sha256", bytes(32), "original", None)])),
        said(Found([Hashed("pdq", bytes(31), "original", 100), PHASH])),
        said(Found([], "all is well")),
        said(Found([], "digest_conflict")),
        said(Found([PDQ, PHASH], "undecodable_image")),
        said(Found([PHASH])),
        said(Found([PDQ, *[PHASH] * 1000])),
        LENGTH.pack(10),
    ],
    ids=[
        "length",
        "cut",
        "nothing",
        "transform",
        "quality",
        "garbage",
        "type",
        "exact",
        "width",
        "reason",
        "reason of another",
        "hashes and a failure",
        "less than was asked",
        "more than was asked",
        "silence",
    ],
)
def test_a_process_that_was_taken_over_is_believed_nothing(
    lie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    async def look() -> None:
        pool = PicturePool(Limits(), Fence.REQUIRED, Metrics(), ("-m", "tests.hashcheck_service.taken_over"))
        try:
            looked = await pool.look(lie, dihedral=False, tenant="acme")
            assert (looked.hashes, looked.reasons) == (hash_bytes(lie), [Reason.UNDECODABLE_IMAGE])
            honest = said(Found([PDQ, PHASH]))
            looked = await pool.look(honest, dihedral=False, tenant="acme")
            assert [one.hash.type.name for one in looked.hashes][3:] == ["pdq", "phash"]
        finally:
            await pool.close()

    asyncio.run(look())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(published: Site, end: signal.Signals) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\n")
    with serving(published) as server:
        server.media(photograph("camera.png"))
        next_process(server)
        [zygote] = zygotes(server)
        found = [zygote, *children(zygote)]
        assert len(found) == 3
        server.process.send_signal(end)
        eventually(lambda: all(map(gone, found)), "the picture processes ended with the service")


def test_every_format_is_decoded_behind_the_fence(published: Site) -> None:
    """In sizes for which decoders would start threads, open files or ask the system for more."""
    photo = listed_photo()
    large = photo.resize((1600, 1200))
    with serving(published) as server:
        for kind, options in EVERY_FORMAT:
            out = io.BytesIO()
            large.save(out, kind, **options)
            answer = server.client.post(
                "/v1/check/media?dihedral=true",
                content=out.getvalue(),
                headers={"Content-Type": "application/octet-stream"},
            ).json()
            assert "results" in answer, (kind, answer)
            [result] = answer["results"]
            assert (result["verdict"], result["reasons"]) == ("match", []), kind
            assert len(answer["hashes"]) == 3 + 8 + 1, kind


def test_many_pictures_at_once_are_each_answered_for_themselves(published: Site) -> None:
    with serving(published) as server, ThreadPoolExecutor(8) as pool:
        names = ["coffee.png", "camera.png"] * 8
        verdicts = list(pool.map(lambda name: server.media(photograph(name))["verdict"], names))
        assert verdicts == ["match", "no_match"] * 8
        [zygote] = zygotes(server)
        eventually(
            lambda: len(children(zygote)) == 3, "two processes forked ahead, and the first of the namespace"
        )
