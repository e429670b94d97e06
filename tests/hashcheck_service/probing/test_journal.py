"""Workers of one machine tell each other of near matches, over files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hashcheck_service.probing.edge_counter import DAY_SECONDS, NearMatch
from hashcheck_service.probing.journal import Journal
from tests.support import eventually

NOON = 20_000 * DAY_SECONDS + DAY_SECONDS // 2
New = Callable[[], Journal]


@pytest.fixture
def new(tmp_path: Path) -> Iterator[New]:
    made: list[Journal] = []

    def journal() -> Journal:
        made.append(one := Journal(tmp_path / "near"))
        one.start()
        return one

    yield journal
    for one in made:
        one.close()


def near(number: int, at: int = NOON) -> NearMatch:
    return NearMatch(at, "acme", "ab" * 16, "pdq", number.to_bytes(32), edge=True)


def hears(journal: Journal, wanted: list[NearMatch], now: int = NOON) -> None:
    heard: list[NearMatch] = []

    def all_heard() -> bool:
        heard.extend(journal.heard(now))
        return len(heard) >= len(wanted)

    eventually(all_heard, "all is heard")
    assert sorted(heard, key=lambda one: one.value) == wanted


def test_each_worker_hears_what_the_others_saw_once(new: New) -> None:
    workers = [new() for _ in range(3)]
    for number in range(30):
        workers[number % 3].tell(near(number))
    for worker in workers:
        hears(worker, [near(number) for number in range(30)])
        assert list(worker.heard(NOON)) == []


def test_a_worker_that_starts_hears_of_the_last_day_and_of_nothing_older(new: New, tmp_path: Path) -> None:
    first = new()
    times = [NOON - 3 * DAY_SECONDS, NOON - DAY_SECONDS + 60, NOON - DAY_SECONDS // 2, NOON]
    for number, at in enumerate(times):
        first.tell(near(number, at))
        hears(first, [near(number, at)], at)
    hears(new(), [near(number, times[number]) for number in (1, 2, 3)])
    assert len(list((tmp_path / "near").iterdir())) == 3


def test_what_comes_late_into_the_file_before_is_heard(new: New) -> None:
    one, other = new(), new()
    border = NOON + DAY_SECONDS // 2
    assert list(other.heard(border - 1)) == []
    one.tell(near(1, border - 1))
    one.tell(near(2, border))
    hears(other, [near(1, border - 1), near(2, border)], border + 1)


def test_a_line_that_a_dying_worker_left_half_costs_no_other_line(new: New, tmp_path: Path) -> None:
    one = new()
    one.tell(near(1))
    hears(one, [near(1)])
    [file] = (tmp_path / "near").iterdir()
    with file.open("ab") as half:
        half.write(b'[17280000,"acme","abab')
    one.tell(near(2))
    hears(new(), [near(1), near(2)])


def test_a_full_file_takes_no_more_and_that_is_told_once(new: New, tmp_path: Path) -> None:
    one = new()
    one.tell(near(1))
    hears(one, [near(1)])
    [file] = (tmp_path / "near").iterdir()
    os.truncate(file, 32 * 1024 * 1024)
    with capture_logs() as logs:
        for number in range(3):
            one.tell(near(number))
        one.close()
    assert [line["event"] for line in logs] == ["near_matches_not_shared"]
    assert file.stat().st_size == 32 * 1024 * 1024


def test_a_directory_that_is_gone_stops_no_check_and_is_told(new: New, tmp_path: Path) -> None:
    one = new()
    (tmp_path / "near").rmdir()
    with capture_logs() as logs:
        one.tell(near(1))
        assert list(one.heard(NOON)) == []
        eventually(lambda: logs, "told")
        (tmp_path / "near").mkdir()
        one.tell(near(2))
        heard: list[NearMatch] = []
        eventually(lambda: heard.extend(one.heard(NOON)) or heard, "heard again when it is back")  # type: ignore[func-returns-value]
        one.close()
    assert {line["event"] for line in logs} == {"near_matches_not_shared"}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_no_waiting_for_a_file_that_is_none(new: New, tmp_path: Path, make: Callable[[Path], None]) -> None:
    one = new()
    make(tmp_path / "near" / f"{NOON // (DAY_SECONDS // 4)}.jsonl")
    with capture_logs():
        one.tell(near(1))
        assert list(one.heard(NOON)) == []
        one.close()


def test_only_its_owner_reads_the_files(new: New, tmp_path: Path) -> None:
    one = new()
    one.tell(near(1))
    hears(one, [near(1)])
    folder = tmp_path / "near"
    assert [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())] == [0o700, 0o600]
