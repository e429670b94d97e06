"""Progress of a build or a fetch: bars on a terminal, now and then a line elsewhere. Standard error either way."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_LINE_EVERY_SECONDS = 5.0


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def feed(self, name: str, done: int, total: int) -> None:
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = self._bars.add_task(name, total=max(total, 1))
        self._bars.update(task, completed=done)

    def fetched(self, name: str, pages: int, rows: int, size: int) -> None:
        task = self._tasks.get(name)
        if task is None:  # how much there is, a source does not say
            task = self._tasks[name] = self._bars.add_task(name, total=None, pages=0, rows=0)
        self._bars.update(task, completed=size, pages=pages, rows=rows)

    def step(self, text: str) -> None:
        self._bars.console.log(text)


class _Lines:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def feed(self, name: str, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._last > _LINE_EVERY_SECONDS:
            self._last = time.monotonic()
            self.step(f"{name}: {done:,} of {total:,} bytes")

    def fetched(self, name: str, pages: int, rows: int, size: int) -> None:
        if time.monotonic() - self._last > _LINE_EVERY_SECONDS:
            self._last = time.monotonic()
            self.step(f"{name}: {pages:,} pages, {rows:,} entries, {size:,} bytes")

    def step(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")


@contextmanager
def shown() -> Iterator[_Bars | _Lines]:
    """Progress fit for where standard error goes."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        yield _Bars(bars)


@contextmanager
def fetching_shown() -> Iterator[_Bars | _Lines]:
    """The same for a fetch, which does not know how much is to come."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    counts = TextColumn("{task.fields[pages]:,} pages, {task.fields[rows]:,} entries")
    with Progress(*columns, counts, console=Console(stderr=True)) as bars:
        yield _Bars(bars)
