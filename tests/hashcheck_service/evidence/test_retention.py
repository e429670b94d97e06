"""Records go by age, and never to make room; a tenant cannot take the room of others."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from hashcheck_service.evidence.hit_log import HitLog
from hashcheck_service.evidence.retention import Retention
from hashcheck_service.evidence.verify import verify
from hashcheck_service.problems import Problem
from tests.hashcheck_service.evidence.logs import files, hit, kept, lines, record, started
from tests.support import eventually

DAY = 86_400


def age(file: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(file, (then, then))


def look(root: Path, **options: int) -> None:
    Retention(root / "hits", "hits", options.get("days", 400), 1 << 30, witnesses=root / "state").look()


def test_any_number_of_later_files_pushes_nothing_out(tmp_path: Path) -> None:
    with started(tmp_path, file_bytes=1) as log:
        for number in range(70):
            record(log, f"{number}")
        look(tmp_path)
        assert kept(tmp_path) == [f"{number}" for number in range(70)]


def test_a_file_goes_with_its_witness_when_its_last_record_is_old_enough(tmp_path: Path) -> None:
    with started(tmp_path, file_bytes=1) as log:
        for name in ("old", "young", "last"):
            record(log, name)
    old, young, _ = files(tmp_path)
    age(old, 31)
    age(young, 29)
    look(tmp_path, days=30)
    assert kept(tmp_path) == ["young", "last"]
    assert not any(file.faults for file in verify(tmp_path / "hits", tmp_path / "state"))


def test_a_file_that_a_worker_writes_never_goes(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "one")
        age(files(tmp_path)[0], 500)
        look(tmp_path)
        assert kept(tmp_path) == ["one"]


def test_what_crashes_left_behind_goes_but_what_was_cut_stays(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "one")
    [file] = files(tmp_path)
    for number in range(5):
        (tmp_path / "hits" / f"hits-2026010{number}T000000.000000-1.jsonl").touch()
    os.truncate(file, 0)
    look(tmp_path)
    assert files(tmp_path) == [file]  # its witness tells that there was more in it


def test_files_of_the_format_before_stay_for_their_time(tmp_path: Path) -> None:
    (tmp_path / "hits").mkdir()
    before = tmp_path / "hits" / "hits-20260101T000000.000000-1.jsonl"
    before.write_text('{"match_id":"1","tenant":"acme"}\n{"match_id":"2","tenant":"acme"}\n')
    look(tmp_path)
    assert before.exists()
    age(before, 401)
    look(tmp_path)
    assert not before.exists()


def test_the_oldest_test_hits_go_to_make_room_and_no_evidence_does(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "evidence")
    with started(tmp_path, prefix="test-hits", file_bytes=1000, limit=4000) as log:
        for number in range(30):
            record(log, f"{number}")
    Retention(tmp_path / "hits", "test-hits", 400, 4000, drop_oldest=True).look()
    assert 1 < len(files(tmp_path, "test-hits")) <= 5
    assert kept(tmp_path, "test-hits")[-1] == "29"
    assert kept(tmp_path) == ["evidence"]


# Room.


def flood(log: HitLog, tenant: str, count: int) -> None:
    for number in range(count):
        record(log, hit(f"{tenant}-{number}", tenant=tenant))


@contextmanager
def restarted(root: Path, limit: int, registry: CollectorRegistry | None = None) -> Iterator[HitLog]:
    """A log that has looked at all that others wrote: it does so when it starts."""
    with started(root, limit=limit, registry=registry) as log:
        yield log


def test_a_tenant_alone_gets_half_and_something_is_left_for_the_next(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        flood(log, "loud", 60)
        record(log, hit("quiet", tenant="quiet"))
    size = files(tmp_path)[0].stat().st_size
    with restarted(tmp_path, limit=int(size * 1.9)) as log:
        assert set(log.refused_tenants) == {"loud"}
        assert log.refused_tenants["loud"].status == 429
        assert log.refused_tenants["loud"].code == "hit_log_share"
        assert log.refusal is None  # the others go on
        assert record(log, hit("more", tenant="quiet")) == ["more"]
    with restarted(tmp_path, limit=size * 3) as log:
        assert not log.refused_tenants


def test_a_log_with_all_it_may_have_refuses_all_alike_and_heals_with_more_room(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        flood(log, "loud", 20)
    size = files(tmp_path)[0].stat().st_size
    registry = CollectorRegistry()
    with restarted(tmp_path, limit=size, registry=registry) as log:
        assert log.refusal is not None
        assert log.refusal.code == "hit_log_full"
        assert not log.ready
        failures = {"log": "hits", "code": "hit_log_full"}
        assert registry.get_sample_value("hashcheck_hit_log_failures_total", failures) == 1
    with restarted(tmp_path, limit=10 * size) as log:
        assert log.ready


def test_it_is_told_when_four_fifths_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(tmp_path) as log:
        flood(log, "loud", 20)
    size = files(tmp_path)[0].stat().st_size
    with restarted(tmp_path, limit=int(size / 0.85)):
        assert "hit_log_filling" in capsys.readouterr().out
    with restarted(tmp_path, limit=int(size / 0.7)):
        assert "hit_log_filling" not in capsys.readouterr().out


# A disk that is full or slow. A small one is mounted, which takes root.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk takes root")


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[Path]:
    """A disk of its own at `root/hits`."""
    disk = root / "hits"
    disk.mkdir()
    assert os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk) == 0
    try:
        yield disk
    finally:
        assert os.spawnlp(os.P_WAIT, "umount", "umount", disk) == 0


def fill(disk: Path) -> Path:
    """A file that takes all that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@needs_root
@pytest.mark.system
def test_on_a_full_disk_hits_go_on_from_the_reserve_then_all_is_refused_then_it_heals(tmp_path: Path) -> None:
    with small_disk(tmp_path, "2m") as disk, started(tmp_path, reserve_bytes=256 * 1024) as log:
        filler = fill(disk)
        count = 0
        with contextlib.suppress(Problem):
            while True:
                assert record(log, f"{count}") == [f"{count}"]
                count += 1
        assert log.refusal is not None
        assert log.refusal.code == "hit_log_full"
        assert count > 200 * 1024 // 450
        assert kept(tmp_path) == [f"{number}" for number in range(count)]
        filler.unlink()
        eventually(lambda: log.ready, "ready when there is room")
        assert record(log, "after") == ["after"]
        assert len(lines(tmp_path, "begin")) == 2
        assert not any(file.faults for file in verify(disk, tmp_path / "state"))


@needs_root
@pytest.mark.system
def test_a_start_on_a_full_disk_refuses_all_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, "1m") as disk:
        filler = fill(disk)
        with started(tmp_path, reserve_bytes=256 * 1024) as log:
            assert log.refusal is not None
            assert log.refusal.code == "hit_log_full"
            filler.unlink()
            eventually(lambda: log.ready, "ready when there is room")
            assert record(log, "after") == ["after"]
