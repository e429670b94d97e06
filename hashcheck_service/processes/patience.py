"""Whether a child that says nothing hangs, or only waits for the processor.

A child that hangs must be replaced within seconds; one that a busy machine keeps from running must not: its successor
would have to start on the same busy machine. Both are silent, so the kernel is asked what the child did
meanwhile.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# A main thread that sleeps for so long and does not turn its event loop is blocked: the loop turns once a second.
SILENCE_SECONDS: Final = 10.0
# A thread that waits for a disk cannot be killed before the disk answers, and its successor would wait too.
_DISK_SECONDS: Final = 60.0
# With so much processor time, and without a sign of life, it is in an endless loop.
_BUSY_SECONDS: Final = 10.0


_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process is doing.

    Attributes:
        state: R if any of its threads runs or waits for a processor; else that of its main thread, a letter of
            /proc/PID/stat: S sleeps, D waits for a disk, T is stopped by a signal, t by a debugger.
        processor_seconds: what all its threads have had of the processors so far.
    """

    state: str
    processor_seconds: float


def activity_of(pid: int) -> Activity | None:
    """What a process does; None where it has ended."""
    states: dict[str, str] = {}
    ticks = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # this thread has just ended
                fields = (thread / "stat").read_text().rpartition(")")[2].split()
                states[thread.name] = fields[0]
                ticks += int(fields[11]) + int(fields[12])
    except OSError:
        return None
    main = states.get(str(pid))
    if main is None:
        return None
    return Activity("R" if "R" in states.values() else main, ticks / _TICKS)


class Patience:
    """Watches one child that has been silent since it was made. Ask `verdict` about once a second."""

    def __init__(self, since: float, first: Activity) -> None:
        self._since = since
        self._first = first
        self._asked = 0
        self._waiting = 0  # how often it was seen to want the processor

    def verdict(self, now: float, seen: Activity) -> str | None:
        """Why the child is to be killed; None while it may only be slow."""
        self._asked += 1
        self._waiting += seen.state == "R"
        silent = now - self._since
        used = seen.processor_seconds - self._first.processor_seconds
        if silent < SILENCE_SECONDS or seen.state == "t":
            return None
        if used >= _BUSY_SECONDS:
            return (
                f"it used {used:.0f} s of processor time in {silent:.0f} s without a turn of its event loop"
            )
        if seen.state == "R" or self._waiting * 2 > self._asked:
            return None  # it wants to run, and the machine does not let it
        if seen.state == "D" and silent < _DISK_SECONDS:
            return None
        doing = {"D": "waits for a disk", "T": "is stopped by a signal"}.get(seen.state, "is blocked")
        return f"it {doing} since {silent:.0f} s"
