"""The batch under way: pages on disk and a journal of them, from which a stopped fetch goes on.

A page is whole on disk before the journal tells of it, and a line of the journal counts when its newline is there: so
a kill at any moment costs the page that was coming, and nothing else. It knows neither sources nor seals.
"""

import hashlib
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_core.snapshot.files import (
    must_be_regular,
    open_regular,
    read_limited,
    sync_directory,
    transport_error,
    write_durably,
)
from index_builder.feeds.batches.seal import MAX_SEAL_BYTES, SEAL_NAME, Page

_BEGIN: Final = "begin.json"
_JOURNAL: Final = "journal"
_PART: Final = "part"


class Begin(msgspec.Struct, frozen=True):
    """What the poll set out to do. One that is resumed must be of the same source and settings."""

    source: str
    feed_format: str
    full: bool
    checkpoint: str
    started_at: datetime
    cursor: str
    covers: dict[str, str]


class Line(msgspec.Struct, frozen=True):
    """One step: of the pages so far the first `keep` stay, `page` joins them, and `cursor` is what to ask for next."""

    at: datetime
    keep: int
    page: Page | None
    cursor: str | None
    checkpoint: str


class Incoming:
    """One folder. Raises TransportError where the disk does not let it."""

    def __init__(self, path: Path, begin: Begin) -> None:
        self.path = path
        self.begin = begin
        self.pages: list[Page] = []
        self.lines: list[Line] = []
        self._numbers = 0

    @property
    def cursor(self) -> str | None:
        """What to ask for next; None when there is no more."""
        return self.lines[-1].cursor if self.lines else self.begin.cursor

    @property
    def checkpoint(self) -> str:
        return self.lines[-1].checkpoint if self.lines else self.begin.checkpoint

    @property
    def at(self) -> datetime:
        """When the last step was made."""
        return self.lines[-1].at if self.lines else self.begin.started_at

    @property
    def part(self) -> Path:
        """Where the page that is coming is written."""
        return self.path / _PART

    @classmethod
    def start(cls, path: Path, begin: Begin) -> Self:
        """Begin anew; what is there already is thrown away."""
        cls.discard(path)
        try:
            path.mkdir(parents=True, mode=0o750)
            write_durably(path / _BEGIN, msgspec.json.encode(begin))
            sync_directory(path)
        except OSError as error:
            raise transport_error(path, error, "written") from None
        return cls(path, begin)

    @classmethod
    def resume(cls, path: Path) -> "Incoming | None":
        """What an earlier run left; None where it left nothing to go on from."""
        try:
            begin = msgspec.json.decode(read_limited(path / _BEGIN, MAX_SEAL_BYTES), type=Begin)
        except (TransportError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        found = cls(path, begin)
        try:
            found._replay()
        except OSError as error:
            raise transport_error(path, error, "read") from None
        return found

    def _replay(self) -> None:
        journal = self.path / _JOURNAL
        if not journal.exists():
            return
        must_be_regular(journal)
        good = 0
        with journal.open("r+b") as file:
            for raw in file:
                try:
                    line = msgspec.json.decode(raw, type=Line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    break
                if not raw.endswith(b"\n") or not self._is_here(line.page):
                    break
                self._take(line)
                good += len(raw)
            file.truncate(good)

    def _is_here(self, page: Page | None) -> bool:
        if page is None:
            return True
        path = self.path / page.name
        return path.is_file() and path.stat().st_size == page.size

    def _take(self, line: Line) -> None:
        self.lines.append(line)
        del self.pages[line.keep :]
        if line.page is not None:
            self.pages.append(line.page)
            self._numbers = max(self._numbers, int(line.page.name[1:]))

    def next_name(self) -> str:
        """A page's name that none has had in this batch."""
        return f"p{self._numbers + 1:08}"

    def step(
        self, at: datetime, cursor: str | None, checkpoint: str, page: Page | None = None, *, drop: int = 0
    ) -> None:
        """Make one step durable. `page` is what now is in `part`; the last `drop` pages are given up."""
        line = Line(at, len(self.pages) - drop, page, cursor, checkpoint)
        try:
            if page is not None:
                with self.part.open("rb") as file:
                    os.fsync(file.fileno())
                # A name that a power cut takes back is missed by `_is_here`: no need to wait for the folder too.
                self.part.rename(self.path / page.name)
            with (self.path / _JOURNAL).open("ab") as journal:
                journal.write(msgspec.json.encode(line) + b"\n")
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise transport_error(self.path, error, "written") from None
        self._take(line)

    @staticmethod
    def discard(path: Path) -> None:
        """Give up all of it: the next run begins the poll again."""
        try:
            (path / SEAL_NAME).unlink(missing_ok=True)  # first: what is half removed must not pass for sealed
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise transport_error(path, error, "removed") from None
        shutil.rmtree(path, ignore_errors=True)

    def forget(self) -> None:
        """Take away what a run would go on from: the batch is sealed. The beginning goes first, see `is_forgotten`."""
        try:
            (self.path / _BEGIN).unlink()
            sync_directory(self.path)
        except OSError as error:
            raise transport_error(self.path, error, "written") from None
        self.sweep(self.path)

    @staticmethod
    def is_forgotten(path: Path) -> bool:
        return path.is_dir() and not (path / _BEGIN).exists()

    @staticmethod
    def sweep(path: Path) -> None:
        """What `forget` takes away after the beginning."""
        try:
            (path / _JOURNAL).unlink(missing_ok=True)
            sync_directory(path)
        except OSError as error:
            raise transport_error(path, error, "written") from None

    def tidy(self) -> None:
        """Remove what is no page of the batch: the last thing before it is sealed, when there is nothing to resume."""
        wanted = {page.name for page in self.pages} | {_BEGIN, _JOURNAL}
        try:
            for path in self.path.iterdir():
                if path.name not in wanted:
                    path.unlink()
        except OSError as error:
            raise transport_error(self.path, error, "written") from None


def page_of(path: Path, name: str, rows: int, *, redacted: int = 0, damaged: str = "") -> Page:
    """The description of a page that lies at `path`."""
    digest = hashlib.sha256()
    size = 0
    try:
        with open_regular(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise transport_error(path, error, "read") from None
    return Page(name, size, digest.hexdigest(), rows, redacted, damaged)
