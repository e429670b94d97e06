"""What the supervisor counts of the processes, as metrics."""

import os
import platform
import resource
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hashcheck_core import __version__
from hashcheck_service.processes.children import Child, State
from hashcheck_service.processes.connections import open_descriptors
from hashcheck_service.processes.messages import Alive
from hashcheck_service.processes.reports import Family, counter, gauge

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Vitals:
    def __init__(self) -> None:
        self._started = {"supervisor": time.time()}
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._descriptors: dict[str, int] = {}
        self._connections: dict[str, int] = {}
        self._closed = self._pauses = 0

    def heard(self, child: Child, alive: Alive) -> None:
        self._descriptors[child.name] = alive.descriptors
        if child.kind == "worker":
            self._connections[child.name] = alive.connections
            self._closed += alive.closed
            self._pauses += alive.pauses

    def died(self, child: Child) -> None:
        """A child ended that should not have."""
        code = child.process.returncode
        cause = "hung" if child.killed_for else str(child.death().get("signal", f"exit_{code}"))
        self._deaths[child.kind, cause] += 1

    def families(self, children: Iterable[Child], dropped_lines: int) -> list[Family]:
        children = list(children)
        states = Counter(child.state for child in children if child.kind == "worker")
        processes = {"supervisor": os.getpid()} | {child.name: child.pid for child in children}
        started = self._started | {child.name: child.started_time for child in children}
        return [
            gauge(
                "hashcheck_workers",
                "Worker processes by state.",
                *(({"state": str(state)}, float(states[state])) for state in State),
            ),
            counter(
                "hashcheck_process_deaths",
                "Processes that ended and should not have, by cause.",
                *(({"process": kind, "cause": cause}, float(n)) for (kind, cause), n in self._deaths.items()),
            ),
            gauge(
                "hashcheck_process_resident_bytes",
                "Memory of each process, what it shares with others included.",
                *(({"process": name}, float(_resident(pid))) for name, pid in processes.items()),
            ),
            gauge(
                "hashcheck_process_open_descriptors",
                "Descriptors each process has open.",
                ({"process": "supervisor"}, float(open_descriptors())),
                *(
                    ({"process": name}, float(n))
                    for name, n in self._descriptors.items()
                    if name in processes
                ),
            ),
            gauge(
                "hashcheck_process_max_descriptors",
                "How many descriptors each process may have open.",
                ({}, float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
            ),
            gauge(
                "hashcheck_connections",
                "Connections of each worker.",
                *(
                    ({"process": name}, float(n))
                    for name, n in self._connections.items()
                    if name in processes
                ),
            ),
            counter(
                "hashcheck_connections_closed",
                "Connections without a key that were closed to make room.",
                ({}, float(self._closed)),
            ),
            counter(
                "hashcheck_accepting_pauses",
                "How often a worker accepted nothing for a moment, having no room.",
                ({}, float(self._pauses)),
            ),
            gauge(
                "hashcheck_process_start_timestamp_seconds",
                "When each process was started.",
                *(({"process": name}, moment) for name, moment in started.items()),
            ),
            gauge(
                "hashcheck_build_info",
                "Always 1.",
                ({"version": __version__, "python": platform.python_version()}, 1.0),
            ),
            counter(
                "hashcheck_log_lines_dropped",
                "Log lines that nobody read in time.",
                ({"process": "supervisor"}, float(dropped_lines)),
            ),
        ]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:  # it has just ended
        return 0
