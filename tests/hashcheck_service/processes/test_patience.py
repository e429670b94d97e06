"""A child that hangs is told from one that a busy machine keeps from running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hashcheck_service.processes.children import Backoff
from hashcheck_service.processes.patience import SILENCE_SECONDS, Activity, Patience, activity_of
from tests.support import eventually


def verdict(seen: list[Activity], seconds: float) -> str | None:
    """Of a child seen once a second for so long, doing these things in turn."""
    patience = Patience(0.0, seen[0])
    for second in range(1, int(seconds) + 1):
        if found := patience.verdict(second, seen[second % len(seen)]):
            return found
    return None


def test_one_that_sleeps_is_given_up_after_seconds() -> None:
    assert verdict([Activity("S", 1.0)], SILENCE_SECONDS - 1) is None
    assert "is blocked" in str(verdict([Activity("S", 1.0)], SILENCE_SECONDS))
    assert "stopped" in str(verdict([Activity("T", 1.0)], SILENCE_SECONDS))


def test_one_that_waits_for_the_processor_is_never_given_up() -> None:
    starved = [Activity("R", 1.0)]
    assert verdict(starved, 3600) is None
    mostly_starved = [Activity("R", 1.0), Activity("R", 1.1), Activity("S", 1.1)]
    assert verdict(mostly_starved, 3600) is None


def test_one_that_has_the_processor_and_says_nothing_is_given_up() -> None:
    patience = Patience(0.0, Activity("R", 0.0))
    assert patience.verdict(9.0, Activity("R", 9.0)) is None
    assert "processor time" in str(patience.verdict(11.0, Activity("R", 11.0)))


def test_one_that_waits_for_a_disk_gets_a_minute_and_one_in_a_debugger_all_the_time() -> None:
    assert verdict([Activity("D", 1.0)], 59) is None
    assert "disk" in str(verdict([Activity("D", 1.0)], 60))
    assert verdict([Activity("t", 1.0)], 3600) is None


@contextmanager
def program(code: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        yield process.pid
        process.kill()


def state_of(pid: int) -> str | None:
    seen = activity_of(pid)
    return seen.state if seen else None


@pytest.mark.system
def test_what_the_kernel_says_of_a_process_is_read_right() -> None:
    with program("import time; time.sleep(60)") as pid:
        eventually(lambda: state_of(pid) == "S", "asleep")
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: state_of(pid) == "T", "stopped")
    with program("while True: pass") as pid:
        eventually(lambda: state_of(pid) == "R", "running")
        first = activity_of(pid)
        assert first is not None
        eventually(lambda: activity_of(pid).processor_seconds > first.processor_seconds, "time used")  # type: ignore[union-attr]
    assert activity_of(pid) is None


@pytest.mark.system
def test_a_thread_that_wants_to_run_speaks_for_a_main_thread_that_waits_for_it() -> None:
    with program(
        "import threading; t = threading.Thread(target=lambda: all(iter(lambda: 1, 0))); t.start(); t.join()"
    ) as pid:
        eventually(lambda: state_of(pid) == "R", "running")


def test_who_dies_early_is_started_again_ever_later_and_who_lived_long_at_once() -> None:
    backoff = Backoff()
    waits = [backoff.after(1.0) for _ in range(9)]
    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == 30.0
    assert backoff.after(3600.0) == 0.0
    assert backoff.after(1.0) == 0.0
