"""The hit log: every match is on disk before it is answered.

Each worker writes files of its own, named by time and process, in one directory; a file is closed at its size
limit and the oldest of all are removed beyond a count. Records that arrive while one write is being forced to
disk go together in the next (group commit), so a flood of hits costs few waits. A record holds no hash.

It does not read hits back.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_core.snapshot.files import sync_directory, transport_error


class HitRecord(msgspec.Struct, frozen=True):
    """One line of the log. `distance` in bits; `time` to the second."""

    match_id: str
    tenant: str
    time: datetime
    request_id: str
    snapshot: str
    entry: str
    category: str
    type: str
    distance: int


@dataclass(slots=True)
class _Batch:
    """What is waiting for the next write, and the future of everyone who waits for it."""

    lines: list[bytes] = field(default_factory=list)
    waiting: list[tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]] = field(default_factory=list)


class HitLog:
    """Append with `await record(...)`; it returns when the records are on disk, or raises TransportError."""

    def __init__(self, directory: Path, *, file_bytes: int, keep_files: int) -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self._keep_files = keep_files
        self._batch = _Batch()
        self._wake = threading.Condition()
        self._closing = False
        self._descriptor: int | None = None
        self._written = 0
        self._opened = 0
        self.failed: str | None = None
        self._thread = threading.Thread(target=self._run, name="hit-log", daemon=True)

    def start(self) -> None:
        """Make the directory, open the first file and start the writer; raises TransportError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._open()
        except OSError as error:
            raise transport_error(self._directory, error, "written") from None
        self._thread.start()

    async def record(self, hits: Sequence[HitRecord]) -> None:
        """Return when all of `hits` are on disk; raises TransportError, and then they must not be answered."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._wake:
            if self._closing:
                raise _not_recorded(self._directory)
            self._batch.lines.extend(msgspec.json.encode(hit) + b"\n" for hit in hits)
            self._batch.waiting.append((loop, done))
            self._wake.notify()
        await done

    def close(self) -> None:
        """Write what is waiting, and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._batch.waiting and not self._closing:
                    self._wake.wait()
                batch, self._batch = self._batch, _Batch()
                closing = self._closing
            if batch.waiting:
                self._write(batch)
            if closing and not batch.waiting:
                self._close_file()
                return

    def _write(self, batch: _Batch) -> None:
        error: TransportError | None = None
        try:
            if self._descriptor is None or self._written >= self._file_bytes:
                self._open()
            self._append(b"".join(batch.lines))
            self.failed = None
        except OSError as cause:
            # The file may end in half a line now; the next batch begins a new one.
            self._close_file()
            self.failed = cause.strerror or type(cause).__name__
            error = _not_recorded(self._directory)
        for loop, done in batch.waiting:
            loop.call_soon_threadsafe(_settle, done, error)

    def _append(self, data: bytes) -> None:
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        self._written += len(data)

    def _open(self) -> None:
        self._close_file()
        self._opened += 1
        name = f"hits-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{self._opened:04d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._directory / name, flags, 0o640)
        self._written = 0
        sync_directory(self._directory)
        for old in sorted(self._directory.glob("hits-*.jsonl"))[: -self._keep_files]:
            old.unlink(missing_ok=True)

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _settle(done: "asyncio.Future[None]", error: TransportError | None) -> None:
    if done.done():  # its request was cancelled meanwhile
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _not_recorded(directory: Path) -> TransportError:
    return TransportError(
        f"The hit could not be recorded in {directory}.",
        next_step="Look at its disk: a match is only answered once it is on record.",
    )
