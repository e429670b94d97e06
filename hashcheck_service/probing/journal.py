"""Tells all workers of a machine of the near matches that each of them sees, also over a restart.

Files of lines in the state directory, one JSON array a near match. Each worker appends to the newest file, and reads on
where it last stopped. Appending is atomic, so no worker waits for another. Writing is done in a thread, for a disk may
stand still. A file is removed when all in it is older than a day, at a start or when another is begun.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.snapshot.files import transport_error
from hashcheck_service.logs import log
from hashcheck_service.probing.edge_counter import DAY_SECONDS, NearMatch

_FILE_SECONDS: Final = DAY_SECONDS // 4
# Some 200,000 near matches. Of what is beyond, each worker knows what it saw itself.
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_WAITING: Final = 10_000
_READ_BYTES: Final = 256 * 1024
# So long after a new file was begun, a line may still come into the one before.
_LATE_SECONDS: Final = 60
_CLOSE_SECONDS: Final = 2.0
# No waiting for a file that is none, and no following of links.
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Journal:
    """For one worker. `heard` is not safe to call from two threads at once; `tell` is."""

    def __init__(self, directory: Path) -> None:
        """Raises TransportError where the directory cannot be made."""
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise transport_error(directory, error, "made") from None
        self._waiting: queue.Queue[NearMatch | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._write_all, name="near-matches", daemon=True)
        self._readers: dict[int, _Reader] = {}
        self._newest = 0  # the number of the newest file there was
        self._failed = False

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is waiting, and stop. A disk that stands still does not hold up the end for long."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        for reader in self._readers.values():
            reader.close()

    def tell(self, match: NearMatch) -> None:
        """Have `match` written soon. Nothing is raised: what cannot be written, this worker alone knows."""
        try:
            self._waiting.put_nowait(match)
        except queue.Full:
            self._fail("too many are waiting to be written")

    def heard(self, now: int) -> Iterator[NearMatch]:
        """What was told since the last call, by this worker too; at the first call, in the last day."""
        newest = now // _FILE_SECONDS
        oldest = newest - DAY_SECONDS // _FILE_SECONDS
        for number in range(oldest, newest + 1):
            reader = self._readers.get(number)
            if reader is None:
                reader = self._readers[number] = _Reader(self._path(number), create=number == newest)
            if reader.ended:
                continue
            try:
                yield from reader.read()
            except OSError as error:
                self._fail(error.strerror or type(error).__name__)
            reader.ended |= now > (number + 1) * _FILE_SECONDS + _LATE_SECONDS
        if newest != self._newest:
            self._newest = newest
            self._remove_before(oldest)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.jsonl"

    def _write_all(self) -> None:
        ended = False
        while not ended:
            matches = [self._waiting.get()]
            while not self._waiting.empty():
                matches.append(self._waiting.get())
            ended = None in matches
            if told := [match for match in matches if match is not None]:
                try:
                    self._append(told)
                except OSError as error:
                    self._fail(error.strerror or type(error).__name__)

    def _append(self, matches: list[NearMatch]) -> None:
        number = matches[-1].at // _FILE_SECONDS
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
        try:
            if os.fstat(descriptor).st_size >= _MOST_BYTES:
                self._fail("the file of these hours is full")
                return
            # In one write, for between two there may be another worker's. A line end comes first, for that worker may
            # have died in the middle of a line.
            os.write(descriptor, b"\n" + b"".join(msgspec.json.encode(match) + b"\n" for match in matches))
        finally:
            os.close(descriptor)
        self._failed = False

    def _remove_before(self, oldest: int) -> None:
        for number in [number for number in self._readers if number < oldest]:
            self._readers.pop(number).close()
        for path in self._directory.glob("*.jsonl"):
            if path.stem.isdecimal() and int(path.stem) < oldest:
                with contextlib.suppress(OSError):  # another worker was first
                    path.unlink()

    def _fail(self, why: str) -> None:
        """Tell it once, until it works again."""
        if not self._failed:
            log.error("near_matches_not_shared", why=why, path=str(self._directory))
        self._failed = True


class _Reader:
    """One file and how far it was read. `ended`: nothing more comes into it."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """`create`: it is made, for something may still come; else it may be missing."""
        self.ended = False
        self._path = path
        self._flags = os.O_RDONLY | _FLAGS | (os.O_CREAT if create else 0)
        self._descriptor: int | None = None
        self._at = 0
        self._rest = b""

    def read(self) -> Iterator[NearMatch]:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, self._flags, 0o600)
            except FileNotFoundError:
                if self._flags & os.O_CREAT:  # the directory is gone: it may come back
                    raise
                self.ended = True
                return
        while data := os.pread(self._descriptor, _READ_BYTES, self._at):
            self._at += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                try:
                    yield msgspec.json.decode(line, type=NearMatch)
                except msgspec.DecodeError:
                    continue  # a worker died, or the disk was full, in the middle of it

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
