"""The hit log: every match is on disk before it is answered.

Each worker writes files of its own, named by time and process, in one directory. A file is begun with the first
hit that goes into it, is locked while it is open (flock), and is closed at its size limit. When one is begun, the
oldest closed files beyond a count are removed: a locked one never, for another worker still writes it. Records
that arrive while one write is being forced to disk go together in the next (group commit), so a flood of hits
costs few waits. A record holds no hash.

After a failure the writer tries the disk about every second, so that `ready` heals without another hit.
It does not read hits back.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_core.snapshot.files import sync_directory, transport_error
from hashcheck_service.logs import log_crash
from hashcheck_service.problems import Problem, unavailable

_REFUSED = unavailable("hit_log_unavailable", "Hits cannot be recorded, so nothing can be answered.")
_PROBE_SECONDS = 1.0  # how soon after a failure the disk is tried again


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

    def settle(self, error: TransportError | None) -> None:
        """Tell everyone who waits; one whose loop has closed is past caring."""
        for loop, done in self.waiting:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, done, error)


class HitLog:
    """Append with `await record(...)`; it returns when the records are on disk, or raises TransportError."""

    def __init__(self, directory: Path, *, file_bytes: int, keep_files: int, prefix: str = "hits") -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self._keep_files = keep_files
        self._prefix = prefix
        self._batch = _Batch()
        self._wake = threading.Condition()
        self._closing = False
        self._descriptor: int | None = None
        self._path = directory
        self._written = 0
        self._failed = False
        # Why no check may be answered now: what a match cannot get, a no-match does not get either.
        self.refusal: Problem | None = None
        self._thread = threading.Thread(target=self._run, name=f"{prefix}-log", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether a hit could be recorded now, as far as is known."""
        return not self._failed and self._thread.is_alive()

    def start(self) -> None:
        """Make the directory, try it and start the writer; raises TransportError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise transport_error(self._directory, error, "written") from None
        check_writable(self._directory)
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
        try:
            while self._turn():
                pass
        finally:
            with self._wake:
                self._closing = True
                self.refusal = _REFUSED
                left, self._batch = self._batch, _Batch()
            left.settle(_not_recorded(self._directory))
            self._close_file()

    def _turn(self) -> bool:
        """Write what is waiting, or try the disk after a failure; False when it is time to stop."""
        with self._wake:
            if not self._batch.waiting and not self._closing:
                self._wake.wait(_PROBE_SECONDS if self._failed else None)
            batch, self._batch = self._batch, _Batch()
            closing = self._closing
        if batch.waiting:
            self._write(batch)
        elif self._failed and not closing:
            with contextlib.suppress(TransportError):
                check_writable(self._directory)
                self._fails(failed=False)
        return bool(batch.waiting) or not closing

    def _write(self, batch: _Batch) -> None:
        error: TransportError | None = _not_recorded(self._directory)
        try:
            if self._descriptor is None or self._written >= self._file_bytes:
                self._open()
            self._append(b"".join(batch.lines))
            error = None
        except OSError:
            # The file may end in half a line now; the next batch begins a new one.
            self._close_file()
        except Exception as cause:
            log_crash("hit_log_failed", cause)
            self._close_file()
        finally:
            self._fails(failed=error is not None)
            batch.settle(error)

    def _fails(self, *, failed: bool) -> None:
        self._failed = failed
        self.refusal = _REFUSED if failed else None

    def _append(self, data: bytes) -> None:
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._written += written
            view = view[written:]
        os.fdatasync(self._descriptor)

    def _open(self) -> None:
        self._close_file()
        self._path = (
            self._directory / f"{self._prefix}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.jsonl"
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)
        self._written = 0
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        if os.fstat(self._descriptor).st_nlink == 0:
            raise FileNotFoundError("another worker removed the file before it was locked")
        sync_directory(self._directory)
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        """Remove closed files: those that hold nothing, and the oldest beyond `keep_files`."""
        kept = 0
        for path in sorted(self._directory.glob(f"{self._prefix}-*.jsonl"), reverse=True):
            with contextlib.suppress(OSError):  # it is open elsewhere, or gone, or not ours to remove
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    empty = os.fstat(descriptor).st_size == 0
                    kept += not empty
                    if empty or kept > self._keep_files:
                        path.unlink()
                finally:
                    os.close(descriptor)

    def _close_file(self) -> None:
        """Close the file, if one is open, and remove it if nothing was written. Never raises: what was
        answered has been forced to disk before."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with contextlib.suppress(OSError):
            if self._written == 0:
                self._path.unlink()
        with contextlib.suppress(OSError):
            os.close(descriptor)


def check_writable(directory: Path) -> None:
    """Raises TransportError unless a file can be written in `directory`.

    Some bytes are forced to disk: on a full one an empty file can often still be made.
    """
    path = directory / f".hit-log-probe-{os.getpid()}-{threading.get_ident()}"
    try:
        try:
            with path.open("wb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise transport_error(directory, error, "written") from None


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
