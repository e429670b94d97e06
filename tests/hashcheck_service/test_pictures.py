"""Pictures are hashed in processes that may die: the service answers, goes on, and leaves none behind."""

import asyncio
import io
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from examples.photographs import photograph
from hashcheck_core.images.hashing import hash_bytes
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.pictures.pool import PicturePool
from hashcheck_service.pictures.worker import LENGTH_BYTES, Found, Hashed
from hashcheck_service.settings import Limits
from tests.support import Server, Site, eventually, serving


def workers(server: Server) -> list[int]:
    """The picture processes of a service."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if parent in server.workers() and b"pictures.worker" in command:
                found.append(int(folder.name))
    return found


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
        assert workers(server) == []  # none before the first picture
        assert server.media(photograph("camera.png"))["verdict"] == "no_match"
        [pid] = workers(server)
        os.kill(pid, signal.SIGSTOP)
        answer = pool.submit(server.media, photograph("camera.png"))
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        os.kill(pid, signal.SIGKILL)
        result = answer.result(30)
        assert (result["verdict"], result["reasons"]) == ("unknown", ["undecodable_image"])
        assert server.media(photograph("camera.png"))["verdict"] == "no_match"
        assert workers(server) != [pid]
        [pid] = workers(server)
        os.kill(pid, signal.SIGKILL)  # over no picture
        eventually(lambda: gone(pid), "the idle process ended")
        assert server.media(photograph("coffee.png"))["verdict"] == "match"


def test_a_picture_that_takes_too_long_is_unknown_and_its_process_ended(published: Site) -> None:
    published.write_settings("[limits]\nmax_pictures_in_hand = 1\npicture_seconds = 1.0\n")
    with serving(published) as server:
        server.media(photograph("camera.png"))
        [pid] = workers(server)
        os.kill(pid, signal.SIGSTOP)
        result = server.media(photograph("camera.png"))
        assert (result["verdict"], result["reasons"]) == ("unknown", ["image_timeout"])
        eventually(lambda: gone(pid), "the stopped process ended")


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


def said(found: Found) -> bytes:
    body = msgspec.msgpack.encode(found)
    return len(body).to_bytes(LENGTH_BYTES) + body


@pytest.mark.parametrize(
    "lie",
    [
        b"\xff" * 100,  # four gigabytes are to come
        said(Found([])) + bytes(100_000),
        (3).to_bytes(LENGTH_BYTES) + b"???",
        said(Found([Hashed("sha1024", bytes(32), "original", None)])),
        said(Found([Hashed("pdq", bytes(31), "original", 100)])),
        said(Found([], "all is well")),
        b"",
    ],
    ids=["length", "flood", "garbage", "type", "width", "reason", "silence"],
)
def test_a_process_that_was_taken_over_is_replaced_and_believed_nothing(
    lie: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that speaks as the real one until it is asked something."""
    program = tmp_path / "taken-over"
    program.write_text(
        f"#!{sys.executable} -SE\nimport os\nos.write(1, {said(Found([]))!r})\nos.read(0, 1 << 16)\n"
        f"os.write(1, {lie!r})\nos.read(0, 1 << 16) if {lie!r} else None\n"
    )
    program.chmod(0o700)

    async def look() -> None:
        pool = PicturePool(Limits())
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(program))
            looked = await pool.look(b"a picture", dihedral=False)
        assert (looked.hashes, looked.reasons) == (hash_bytes(b"a picture"), [Reason.UNDECODABLE_IMAGE])
        assert pool.pids == []
        again = await pool.look(photograph("camera.png"), dihedral=False)
        assert ([one.hash.type.name for one in again.hashes][3:], again.reasons) == (["pdq", "phash"], [])
        await pool.close()

    asyncio.run(look())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(published: Site, end: signal.Signals) -> None:
    with serving(published) as server:
        server.media(photograph("camera.png"))
        found = workers(server)
        assert found
        server.process.send_signal(end)
        eventually(lambda: all(map(gone, found)), "the picture processes ended with the service")


def test_many_pictures_at_once_are_each_answered_for_themselves(published: Site) -> None:
    with serving(published) as server, ThreadPoolExecutor(8) as pool:
        names = ["coffee.png", "camera.png"] * 8
        verdicts = list(pool.map(lambda name: server.media(photograph(name))["verdict"], names))
        assert verdicts == ["match", "no_match"] * 8
        assert len(workers(server)) == 2
