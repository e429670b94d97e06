"""A fetch killed at any of its steps loses no sealed batch and leaves none half, and the next one completes.

So does a build that is killed while it takes batches into a feed's state.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hashcheck_core.errors import TransportError
from index_builder.feeds.batches.feeds import check_pages
from tests.index_builder.fetching import ENVIRONMENT, Desk
from tests.index_builder.sources import START, Entry, Sources, sources
from tests.specimens.feeds import md5

Kill = Callable[..., str]


@pytest.fixture(scope="module")
def server() -> Iterator[Sources]:
    with sources() as server:
        yield server


@pytest.fixture(scope="module")
def kill(server: Sources) -> Iterator[Kill]:
    """Run a command in a process that is killed at a step; `killed`, or the code it ended with before that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.index_builder.killing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", **ENVIRONMENT, "SOURCE_DATE_EPOCH": str(epoch(server))},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def do(step: int, folder: Path, *command: object) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(" ".join(map(str, (step, folder, *command))) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    with process.stdin, process.stdout:
        yield do
        process.stdin.close()
        process.wait(30)


def epoch(server: Sources) -> int:
    return int((START + timedelta(days=1)).timestamp())


@pytest.fixture(params=["ncmec", "tat"])  # one that goes by ranges, and one that signs in: the rest is common
def desk(
    request: pytest.FixtureRequest, server: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Desk:
    """A feed with one sealed batch of two entries; the source has six more to tell, of them one tombstone."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server.reset()
    desk = Desk(server, request.param, tmp_path / "batches")
    server.clock = START + timedelta(hours=1)
    server.put(Entry(0, START), Entry(1, START))
    desk.fetch()
    server.clock = START + timedelta(days=1)
    server.put(*(Entry(n, START + timedelta(hours=n)) for n in range(2, 7)))
    server.put(Entry(1, START + timedelta(hours=8), deleted=True))
    server.asked.clear()
    desk.write_config(tmp_path / "feeds.toml")
    return desk


BEFORE = {md5(0), md5(1)}
AFTER = {md5(n) for n in (0, *range(2, 7))}


def repeated(server: Sources) -> int:
    """How many pages were asked for again."""
    pages = [path for path in server.asked if "token-auth" not in path]
    return len(pages) - len(set(pages))


def test_a_fetch_killed_at_each_of_its_steps_loses_nothing(desk: Desk, kill: Kill) -> None:
    base = desk.root.rename(desk.root.with_name("base"))
    first = desk.names_in(base)
    step, told = 0, "killed"
    while told == "killed":
        step += 1
        shutil.rmtree(desk.root, ignore_errors=True)
        shutil.copytree(base, desk.root)
        desk.server.asked.clear()
        told = kill(
            step, desk.root, "fetch", "--config", base.with_name("feeds.toml"), "--batches", desk.root
        )
        assert told in ("killed", "0")
        batches = desk.folder.in_force()
        assert [batch.id for batch in batches][:1] == first
        for batch in batches:  # whatever has a name is whole
            check_pages(batch, batch.seal.pages)
            assert {path.name for path in batch.path.iterdir()} == {
                "seal.json",
                *(p.name for p in batch.seal.pages),
            }
        assert desk.listed() == (BEFORE if len(batches) == 1 else AFTER)
        desk.fetch()
        assert desk.listed() == AFTER
        assert not desk.folder.incoming.exists()
        assert repeated(desk.server) <= 1  # the page that was coming
    assert step > 15


def test_a_build_killed_while_it_takes_batches_in_changes_nothing(desk: Desk, kill: Kill) -> None:
    desk.fetch()
    step, told = 0, "killed"
    while told == "killed":
        step += 1
        for left in desk.folder.path.glob("state.sqlite*"):
            left.unlink()
        told = kill(step, desk.root, "read", desk.root.with_name("feeds.toml"), desk.root)
        assert told in ("killed", "0")
        assert desk.listed() == AFTER
    assert step > 8


def unfinished(desk: Desk) -> None:
    """Fetch one page more, and stop."""
    desk.limits = {"max_pages": 1}
    with pytest.raises(TransportError, match="stopped after 1 pages"):
        desk.fetch()
    desk.limits = {}


@pytest.mark.parametrize("lost", [1, 2, 30, 150])
def test_a_journal_that_a_power_cut_tore_costs_the_page_it_told_of(desk: Desk, lost: int) -> None:
    desk.server.page_rows = 1
    unfinished(desk)
    unfinished(desk)
    journal = desk.folder.incoming / "journal"
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - lost)
    unfinished(desk)
    unfinished(desk)
    desk.fetch()
    assert desk.listed() == AFTER
    assert repeated(desk.server) == 1


def test_a_page_that_a_power_cut_emptied_is_fetched_again(desk: Desk) -> None:
    desk.server.page_rows = 1
    unfinished(desk)
    unfinished(desk)
    page = desk.folder.incoming / "p00000002"
    page.write_bytes(b"")
    desk.fetch()
    assert desk.listed() == AFTER
    assert repeated(desk.server) == 1
