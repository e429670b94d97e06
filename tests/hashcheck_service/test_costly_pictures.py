"""Costly pictures: time by their size, a short memory of those that failed, and an answer that says why."""

import asyncio
import io
import os
import signal
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from hashcheck_service.checking.reasons import Reason
from hashcheck_service.fence.client import UselessError, Zygote
from hashcheck_service.fence.messages import Options
from hashcheck_service.fence.sealed_file import sealed_file
from hashcheck_service.metrics import Metrics
from hashcheck_service.pictures.failed import FailedPictures
from hashcheck_service.pictures.pool import PicturePool
from hashcheck_service.pictures.worker import TASK, PictureLimits, Question, allowed_seconds
from hashcheck_service.settings import Fence, Limits
from tests.specimens import costly
from tests.support import Server

LIMITS = PictureLimits(1 << 25, 100_000_000, 10.0)


def test_a_picture_gets_time_by_its_pixels_and_bytes() -> None:
    assert 0.5 < allowed_seconds(LIMITS, 500_000, 1_000_000) < 1.0  # 477 KB in a thousand scans too
    assert 1.0 < allowed_seconds(LIMITS, 4_000_000, 12_000_000) < 2.5  # of a phone
    assert allowed_seconds(LIMITS, 1_500, 25_000_000) > 1.7  # one colour in JPEG 2000 takes 1.2 s
    assert allowed_seconds(LIMITS, LIMITS.max_bytes, LIMITS.max_pixels) == LIMITS.seconds


def test_a_picture_that_uses_more_processor_time_than_it_may_ends_its_process() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (10_000, 10_000)).save(out, "PNG", compress_level=1)
    given = msgspec.json.encode(msgspec.structs.replace(LIMITS, seconds=0.1)).decode()

    async def look() -> int:
        zygote = await Zygote.start(Options(3 << 30, 60, TASK, given))
        child, file = zygote.fork(), sealed_file(out.getvalue())
        try:
            child.ask(file, msgspec.msgpack.encode(Question(len(out.getvalue()), dihedral=False)))
            with pytest.raises(UselessError):
                await child.answer(1 << 16)
            return (await child.death()).status
        finally:
            os.close(file)
            child.end()
            await zygote.close()

    assert asyncio.run(look()) == -signal.SIGPROF


def test_a_file_that_failed_is_known_for_some_minutes() -> None:
    now = 0.0
    failed = FailedPictures(lambda: now)
    assert not failed
    failed.add(b"one", Reason.IMAGE_TIMEOUT)
    now = 299.0
    assert failed
    assert failed.reason(b"one") is Reason.IMAGE_TIMEOUT
    assert failed.reason(b"another") is None
    now = 301.0
    assert failed.reason(b"one") is None
    assert not failed


def test_the_memory_of_failed_files_has_an_end() -> None:
    failed = FailedPictures(lambda: 0.0)
    for number in range(1_500):
        failed.add(number.to_bytes(4), Reason.UNDECODABLE_IMAGE)
    known = [number for number in range(1_500) if failed.reason(number.to_bytes(4))]
    assert known == list(range(500, 1_500))


def test_the_same_file_again_costs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    metrics = Metrics()

    async def look() -> None:
        pool = PicturePool(Limits(), Fence.REQUIRED, metrics, ("-m", "tests.hashcheck_service.taken_over"))
        first = await pool.look(b"nonsense", dihedral=False, tenant="acme")
        again = await pool.look(b"nonsense", dihedral=True, tenant="another")
        assert first == again
        assert again.reasons == [Reason.UNDECODABLE_IMAGE]
        assert len(again.hashes) == 3
        await pool.look(b"other nonsense", dihedral=False, tenant="acme")
        await pool.close()

    asyncio.run(look())
    count = metrics.registry.get_sample_value("hashcheck_picture_failures_total", {"cause": "nonsense"})
    assert count == 2


def test_a_costly_picture_is_unknown_and_says_so(server: Server) -> None:
    result = server.media(costly.progressive_jpeg(2_000), "image/jpeg")
    assert (result["verdict"], result["reasons"]) == ("unknown", ["image_too_complex"])
    result = server.media(costly.tiff(50_000), "image/tiff")
    assert (result["verdict"], result["reasons"][-1]) == ("unknown", "animation")
