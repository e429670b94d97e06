"""The hit log under several workers, restarts and a disk that fails; real files, and the log's public door."""

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from hashcheck_service.evidence.disk import check_writable
from hashcheck_service.evidence.verify import verify
from hashcheck_service.problems import Problem
from tests.hashcheck_service.evidence.logs import NOON, files, hit, kept, lines, record, shared, started
from tests.support import eventually


def open_file(root: Path) -> int:
    """This process's descriptor of a file of the log."""
    [number] = [
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and str(link.readlink()).startswith(f"{root}/hits/hits-")
    ]
    return number


def disturbed(registry: CollectorRegistry, what: str) -> float | None:
    return registry.get_sample_value("hashcheck_hit_log_disturbed_total", {"log": "hits", "what": what})


def states(root: Path) -> list[str]:
    return [file.state for file in verify(root / "hits", root / "state")]


def test_restarts_without_a_hit_leave_no_files_and_push_none_out(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "evidence")
    for _ in range(5):
        with started(tmp_path):
            pass
    assert kept(tmp_path) == ["evidence"]
    assert len(list((tmp_path / "hits").iterdir())) == len(list((tmp_path / "state").iterdir())) == 1
    assert states(tmp_path) == ["whole"]


def test_files_are_chained_one_to_the_next(tmp_path: Path) -> None:
    with started(tmp_path, file_bytes=1) as log:
        for number in range(3):
            record(log, f"hit-{number}")
    first, second, third = lines(tmp_path, "begin")
    assert (first["after"], second["after"]) == (None, files(tmp_path)[0].name)
    assert third["start"] == lines(tmp_path, "end")[1]["chain"]
    assert states(tmp_path) == ["whole"] * 3


def test_a_file_that_fails_fails_one_hit_and_not_the_next(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "one")
        reader, writer = os.pipe()
        os.dup2(reader, open_file(tmp_path))  # a disk that goes away: writing fails, and all that comes after
        with pytest.raises(Problem) as refused:
            record(log, "two")
        assert refused.value.code == "hit_log_not_writable"
        eventually(lambda: log.ready, "ready without another hit")
        record(log, "three")
        os.close(reader)
        os.close(writer)
    assert kept(tmp_path) == ["one", "three"]


def test_a_log_that_is_closed_refuses_at_once_and_is_not_ready(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        pass
    assert not log.ready
    with pytest.raises(Problem):
        record(log, "late")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_the_same_under_every_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with started(tmp_path) as log:
            record(log, "one")
    finally:
        os.umask(before)
    assert (tmp_path / "hits").stat().st_mode & 0o777 == 0o750
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o640


# What somebody else does to the file under the writer.


def test_a_file_that_is_removed_is_noticed_and_written_anew_before_the_next_hit_counts(
    tmp_path: Path,
) -> None:
    registry = CollectorRegistry()
    with started(tmp_path, registry=registry) as log:
        record(log, "one")
        [file] = files(tmp_path)
        file.unlink()
        assert record(log, "two") == ["two"]
        assert kept(tmp_path) == ["one", "two"]
        assert disturbed(registry, "removed") == 1
    assert states(tmp_path) == ["unclosed", "whole"]


@pytest.mark.parametrize("then", ["another is begun", "the log is closed"])
def test_a_file_that_is_removed_just_before_its_end_is_written_anew(tmp_path: Path, then: str) -> None:
    registry = CollectorRegistry()
    with started(tmp_path, file_bytes=900, registry=registry) as log:
        record(log, "one")
        record(log, "two")
        files(tmp_path)[0].unlink()
        if then == "another is begun":
            record(log, "three")
    assert set(kept(tmp_path)) >= {"one", "two"}
    assert disturbed(registry, "removed") == 1
    assert not any(file.faults for file in verify(tmp_path / "hits", tmp_path / "state"))


def test_what_another_put_in_the_place_of_the_probe_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "hits").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    probe = tmp_path / "hits" / f".hit-log-probe-{os.getpid()}-{threading.get_ident()}"
    probe.symlink_to(victim)
    check_writable(tmp_path / "hits")
    assert victim.read_text() == "mine"
    assert not probe.is_symlink()


def test_a_directory_that_is_removed_or_moved_away_loses_nothing(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with started(tmp_path, registry=registry) as log:
        record(log, "one")
        (tmp_path / "hits").rename(tmp_path / "away")
        record(log, "two")
        assert kept(tmp_path) == ["one", "two"]
        assert disturbed(registry, "removed") == 1
        assert (tmp_path / "hits").stat().st_mode & 0o777 == 0o750


def test_a_file_that_is_replaced_is_kept_under_another_name(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with started(tmp_path, registry=registry) as log:
        record(log, "one")
        [file] = files(tmp_path)
        other = tmp_path / "other"
        other.write_bytes(file.read_bytes().replace(b'"one"', b'"own"'))
        other.rename(file)
        record(log, "two")
        assert sorted(kept(tmp_path)) == ["one", "own", "two"]
        assert disturbed(registry, "replaced") == 1
    assert sorted(states(tmp_path)) == ["broken", "unclosed", "whole"]


def test_a_file_that_is_cut_is_left_and_shows(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with started(tmp_path, registry=registry) as log:
        record(log, "one")
        record(log, "two")
        [file] = files(tmp_path)
        whole = file.read_bytes().splitlines(keepends=True)
        os.truncate(file, len(b"".join(whole[:2])))  # a clean cut: the chain does not show it
        record(log, "three")
        assert disturbed(registry, "cut") == 1
    cut, _ = verify(tmp_path / "hits", tmp_path / "state")
    assert cut.state == "broken"
    assert "three" in kept(tmp_path)


def test_a_file_that_another_writes_to_is_left_as_it_is(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with started(tmp_path, registry=registry) as log:
        record(log, "one")
        [file] = files(tmp_path)
        with file.open("ab") as other:
            other.write(b"{}\n")
        record(log, "two")
        assert disturbed(registry, "written") == 1
    assert states(tmp_path) == ["broken", "whole"]
    assert verify(tmp_path / "hits")[1].hits == 1


# Repeats.


def test_a_repeat_writes_nothing_and_is_counted(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        assert record(log, "one") == ["one"]
        size = files(tmp_path)[0].stat().st_size
        for _ in range(50):
            assert record(log, "one") == []
        assert record(log, "one", "two", "two") == ["two"]
        assert kept(tmp_path) == ["one", "two"]
        assert files(tmp_path)[0].stat().st_size < 2 * size
    assert [line["counts"] for line in lines(tmp_path, "repeats")] == [{"one": 51, "two": 1}]
    assert states(tmp_path) == ["whole"]


def test_after_a_day_the_same_hit_is_recorded_again(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        record(log, "one")
        assert record(log, hit("one", at=NOON + timedelta(hours=23, minutes=59))) == []
        assert record(log, hit("one", at=NOON + timedelta(hours=24))) == ["one"]
    assert [line["at"] for line in lines(tmp_path, "hits")] == [
        "2026-11-23T12:00:00Z",
        "2026-11-24T12:00:00Z",
    ]


def test_what_is_found_by_another_hash_type_is_no_repeat(tmp_path: Path) -> None:
    with started(tmp_path) as log:
        for hash_type in ("pdq", "md5", "pdq"):
            record(log, hit("one", hash_type=hash_type))
    assert [line["matches"][0]["type"] for line in lines(tmp_path, "hits")] == ["pdq", "md5"]


def test_a_repeat_is_recorded_again_when_the_file_with_its_record_is_gone(tmp_path: Path) -> None:
    with started(tmp_path, file_bytes=1) as log:
        record(log, "one")
        record(log, "two")  # in a file of its own: the first is closed
        files(tmp_path)[0].unlink()
        assert record(log, "one") == ["one"]
        assert sorted(kept(tmp_path)) == ["one", "two"]


def test_different_refs_of_one_entry_share_a_record_that_names_each(tmp_path: Path) -> None:
    ids = [f"{number:032x}" for number in range(600)]
    with started(tmp_path) as log:
        record(log, *shared(ids), hit("other-tenant", tenant="second"), hit("other-entry", entry="f"))
    found = lines(tmp_path, "hits")
    assert [len(line["hits"]) for line in found] == [256, 256, 88, 1, 1]
    assert kept(tmp_path)[:600] == ids
    assert found[0]["matches"] == [
        {"entry": "e", "category": "baseline", "sources": ["hotline"], "type": "md5", "distance": 0}
    ]
    assert found[0]["hits"][0] == {"hit_id": ids[0], "request_id": "r", "match_ids": [f"{ids[0]}-m"]}


def test_hits_that_come_while_the_disk_is_busy_go_together(tmp_path: Path) -> None:
    async def many() -> None:
        await asyncio.gather(*(log.record([hit(f"{number}")]) for number in range(200)))

    with started(tmp_path) as log:
        asyncio.run(asyncio.wait_for(many(), 20))
        assert sorted(kept(tmp_path), key=int) == [str(number) for number in range(200)]
        assert len(lines(tmp_path, "hits")) < 20
