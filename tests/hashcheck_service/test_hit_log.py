"""The hit log under several workers, restarts and a disk that fails; real files, and the log's public door."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hashcheck_core.errors import TransportError
from hashcheck_service.hit_log import HitLog, HitRecord
from tests.support import eventually


def hit(match_id: str) -> HitRecord:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return HitRecord(match_id, "acme", now, "r", "s", "e", "baseline", "md5", 0)


def record(log: HitLog, match_id: str) -> None:
    asyncio.run(asyncio.wait_for(log.record([hit(match_id)]), 20))


def kept(directory: Path) -> list[str]:
    """The match ids of the log, file by file in order of name."""
    files = sorted(directory.glob("*.jsonl"))
    return [json.loads(line)["match_id"] for file in files for line in file.read_text().splitlines()]


@contextmanager
def started(directory: Path, *, file_bytes: int = 1 << 20, keep_files: int = 3) -> Iterator[HitLog]:
    log = HitLog(directory, file_bytes=file_bytes, keep_files=keep_files)
    log.start()
    try:
        yield log
    finally:
        log.close()


def open_file(directory: Path) -> int:
    """This process's descriptor of a file in `directory`."""
    [number] = [
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and str(link.readlink()).startswith(f"{directory}/hits-")
    ]
    return number


def test_rotation_never_removes_a_file_another_worker_still_writes(tmp_path: Path) -> None:
    with started(tmp_path) as quiet, started(tmp_path, file_bytes=1, keep_files=2) as busy:
        record(quiet, "first")
        for number in range(8):
            record(busy, f"busy-{number}")
        record(quiet, "last")
        # The quiet worker's file and the busy one's open file are beside the two closed ones that are kept.
        assert sorted(kept(tmp_path)) == ["busy-5", "busy-6", "busy-7", "first", "last"]


def test_restarts_without_a_hit_leave_no_files_and_push_none_out(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "evidence")
    for _ in range(5):
        with started(tmp_path):
            pass
    assert kept(tmp_path) == ["evidence"]
    assert len(list(tmp_path.iterdir())) == 1


def test_empty_files_of_a_crash_do_not_count(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "evidence")
    for number in range(5):
        (tmp_path / f"hits-2999010{number}T000000.000000-1.jsonl").touch()
    with started(tmp_path, keep_files=1) as log:
        record(log, "later")
        assert set(kept(tmp_path)) == {"evidence", "later"}
        assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_fails_at_write_and_at_close_fails_one_hit_and_not_the_next(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "one")
        os.close(open_file(tmp_path))  # a disk that goes away: writing and closing both fail
        with pytest.raises(TransportError):
            record(log, "two")
        record(log, "three")
        assert log.ready
    assert kept(tmp_path) == ["one", "three"]


def test_it_is_ready_again_without_a_hit_when_the_disk_is(tmp_path: Path) -> None:
    directory, away = tmp_path / "hits", tmp_path / "away"
    with started(directory, file_bytes=1) as log:
        record(log, "one")
        directory.rename(away)
        with pytest.raises(TransportError):
            record(log, "two")
        assert not log.ready
        away.rename(directory)
        eventually(lambda: log.ready, "ready again")
    assert kept(directory) == ["one"]


def test_a_log_that_is_closed_refuses_at_once_and_is_not_ready(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        pass
    assert not log.ready
    with pytest.raises(TransportError):
        record(log, "late")
