"""A disk that stands still: an ext4 of its own is frozen under the log, which takes root and a loop device."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashcheck_service.problems import Problem
from tests.hashcheck_service.evidence.logs import hit, kept, record, started
from tests.support import eventually

pytestmark = pytest.mark.system


def did(*command: str | Path) -> bool:
    return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode == 0


@contextmanager
def disk_at(directory: Path) -> Iterator[None]:
    image = directory.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    directory.mkdir()
    if not (did("mkfs.ext4", "-q", image) and did("mount", "-o", "loop", image, directory)):
        pytest.skip("no disk of its own can be mounted here")
    try:
        yield
    finally:
        did("fsfreeze", "-u", directory)
        assert did("umount", directory)


def test_hits_that_wait_too_long_are_refused_with_all_other_checks_until_the_disk_is_well(
    tmp_path: Path,
) -> None:
    disk = tmp_path / "hits"
    with disk_at(disk), started(tmp_path, slow_seconds=0.2) as log:
        record(log, "before")

        async def refused() -> Problem:
            waiting = asyncio.create_task(log.record([hit("waiting")]))
            while not waiting.done():  # as the service does, some times a second
                log.look()
                await asyncio.sleep(0.01)
            problem = waiting.exception()
            assert isinstance(problem, Problem)
            return problem

        assert did("fsfreeze", "-f", disk)
        assert asyncio.run(refused()).code == "hit_log_slow"
        assert log.refusal is not None
        assert log.refusal.code == "hit_log_slow"
        assert did("fsfreeze", "-u", disk)
        eventually(lambda: log.ready, "ready when the disk answers")
        record(log, "after")
        # Not answered, but on record: asked again it has the same name.
        assert kept(tmp_path) == ["before", "waiting", "after"]
