"""Pictures are hashed in processes that may die: the service answers, goes on, and leaves none behind."""

import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from examples.photographs import photograph
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
            if parent == server.process.pid and b"picture_worker" in command:
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
