"""The supervisor's part in metrics: it asks every child what it has counted, and tells who wanted to know."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

from hashcheck_service.processes import messages as m
from hashcheck_service.processes.channel import ChannelError
from hashcheck_service.processes.children import Child
from hashcheck_service.processes.reports import Family, lasting, merged

# A child that does not answer by then is taken with what it said last.
_PATIENCE_SECONDS: Final = 1.0


class Gathering:
    """`own` says what the supervisor itself has counted."""

    def __init__(self, own: Callable[[], list[Family]]) -> None:
        self._own = own
        self._last: dict[Child, list[Family]] = {}
        self._ended: list[Family] = []
        self._askers: list[tuple[Child, int]] = []
        self._awaited: set[Child] = set()
        self._deadline = 0.0

    def ask(self, asker: Child, number: int, children: Iterable[Child]) -> None:
        """`asker` wants to know what all children have counted."""
        self._askers.append((asker, number))
        if len(self._askers) > 1:
            return  # a round is under way
        self._deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in children:
            if child.started:
                with contextlib.suppress(ChannelError):
                    child.channel.send(m.ReportMetrics())
                    self._awaited.add(child)

    def keep(self, child: Child, report: list[Family]) -> None:
        self._last[child] = report
        self._awaited.discard(child)
        self.answer(time.monotonic())

    def ended(self, child: Child) -> None:
        """The child has ended: what it counted stays."""
        self._ended = merged([self._ended, lasting(self._last.pop(child, []))])
        self._awaited.discard(child)
        self._askers = [(asker, number) for asker, number in self._askers if asker is not child]

    def answer(self, now: float) -> None:
        """Answer whoever waits, if all have reported or it has taken too long."""
        if not self._askers or (self._awaited and now < self._deadline):
            return
        report = merged([self._own(), self._ended, *self._last.values()])
        for asker, number in self._askers:
            with contextlib.suppress(ChannelError):
                asker.channel.send(m.AllMetrics(number, report))
        self._askers, self._awaited = [], set()
