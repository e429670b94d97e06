"""One file of the log, while it is written.

It is locked (flock) as long as it is open. Space ahead of its end is set aside on the disk, so that hits can still be
recorded for hours when something else has filled it.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hashcheck_core import __version__
from hashcheck_core.snapshot.files import sync_directory
from hashcheck_service.evidence.chain import Chain
from hashcheck_service.evidence.records import FORMAT, Begin, End, encode
from hashcheck_service.evidence.witness import Witness
from hashcheck_service.logs import log

_KEEP_SIZE: Final = 1  # FALLOC_FL_KEEP_SIZE
_NO_RESERVE: Final = {
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
}  # a file system that cannot set space aside
_COPY_BYTES: Final = 1 << 20
_fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)


class Disturbed(Exception):  # noqa: N818  it is what happened to the file
    """Somebody else did something to the file: `what` is `removed`, `replaced`, `cut` or `written`."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Segment:
    """A new file in `directory`, with space set aside for it. `start` writes its first line.

    Its methods raise OSError, but for `stands`.

    Attributes:
        bytes: its length; all of it is on disk.
        hits: whether a record is in it.
        link: of the last line.
        tenants: bytes of records, by tenant.
    """

    def __init__(
        self, directory: Path, prefix: str, *, reserve: int = 0, witnesses: Path | None = None
    ) -> None:
        self.begun = datetime.now(UTC)
        self.path = directory / f"{prefix}-{self.begun:%Y%m%dT%H%M%S.%f}-{os.getpid()}.jsonl"
        self.bytes = 0
        self.lines = 0
        self.hits = False
        self.link = ""
        self.tenants: Counter[str] = Counter()
        self._chain = Chain("")
        self._reserve = reserve
        self._set_aside = 0
        self._inode = 0
        self._witnesses = witnesses
        self._witness: Witness | None = None
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o640)
        try:
            os.fchmod(self._descriptor, 0o640)  # whatever the umask
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._inode = os.fstat(self._descriptor).st_ino
            self.set_aside()
        except BaseException:
            self.close()
            raise

    def start(self, after: "Segment | None") -> None:
        """Write the first line. Where there was a file before this one, it must be closed, for its last link is in it.
        Raises Disturbed where another worker took the file for one left behind, before it was locked."""
        start = after.link if after is not None else os.urandom(32).hex()
        self._chain = Chain(start)
        if self._witnesses is not None:
            self._witness = _witness(self._witnesses / self.path.name)
        begin = Begin(
            FORMAT,
            start,
            after.path.name if after is not None else None,
            self.begun.replace(microsecond=0),
            __version__,
            socket.gethostname(),
            os.getpid(),
        )
        self._write([encode(begin)])
        self.tell()
        sync_directory(self.path.parent)

    def append(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> None:
        """Force records to disk, one of each tenant in turn. Raises Disturbed where the file is not what was written,
        and OSError; then none of them counts as recorded."""
        lengths = self._write(bodies)
        self.hits = True
        for tenant, length in zip(tenants, lengths, strict=True):
            self.tenants[tenant] += length

    def check(self, size: int | None = None) -> None:
        """Raises Disturbed where the file is not, under its name, the one that was written, in its full length."""
        size = self.bytes if size is None else size
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            raise Disturbed("removed") from None
        if named.st_ino != self._inode:
            raise Disturbed("replaced")
        if named.st_size != size:
            raise Disturbed("cut" if named.st_size < size else "written")

    def stands(self) -> bool:
        """Whether the file is still there, in its full length. From any thread, also after it was closed."""
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return status.st_ino == self._inode and status.st_size >= self.bytes

    @property
    def reserve(self) -> int:
        """How many bytes are still set aside for it on the disk."""
        return max(0, self._set_aside - self.bytes)

    def set_aside(self) -> None:
        """Set space aside on the disk, where half of it is used. Raises OSError on a full disk."""
        if self._reserve and self.reserve <= self._reserve // 2:
            length = self.bytes + self._reserve
            _allocate(self._descriptor, length)
            self._set_aside = length

    def restore(self) -> Path | None:
        """Write what was in a file that is gone into a new one, which gets its name if it is free. None where the file
        is still there under its name, though cut or written by another: nothing more of it is to be had."""
        if self.stands() or os.fstat(self._descriptor).st_size < self.bytes:
            return None
        path = self.path
        if path.exists():
            path = path.with_name(f"{path.stem}-restored.jsonl")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.fchmod(descriptor, 0o640)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # nobody takes it for one that was left behind
            done = 0
            while done < self.bytes:
                part = os.pread(self._descriptor, min(_COPY_BYTES, self.bytes - done), done)
                done += os.write(descriptor, part)
            os.fsync(descriptor)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        sync_directory(path.parent)
        return path

    def tell(self) -> None:
        """Tell the witness how long the file is."""
        if self._witness is not None:
            with contextlib.suppress(OSError):
                self._witness.tell(self.bytes, self.lines, self.link)

    def tell_tenants(self) -> None:
        """Tell the witness who the records are of."""
        if self._witness is not None:
            with contextlib.suppress(OSError):
                self._witness.tell_tenants(self.tenants)

    def close(self) -> None:
        """Write the last line, or remove the file where no record is in it. Never raises: what was answered has been
        forced to disk before."""
        with contextlib.suppress(OSError, Disturbed):
            if self.hits:
                self.check()
                self._write([encode(End(datetime.now(UTC).replace(microsecond=0)))])
                self.tell()
                self.tell_tenants()
            elif self.stands():
                if self._witness is not None:
                    self._witness.forget()
                self.path.unlink()
        self.abandon()

    def abandon(self, *, undo: bool = False) -> None:
        """Close the file as it is. With `undo`, take back what was written and does not count as recorded."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            size = os.fstat(self._descriptor).st_size
            # It gives back what is set aside, too.
            os.ftruncate(self._descriptor, min(size, self.bytes) if undo else size)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1
        if self._witness is not None:
            self._witness.close()
            self._witness = None

    def _write(self, bodies: Sequence[bytes]) -> list[int]:
        lines = [self._chain.line(body) for body in bodies]
        data = b"".join(lines)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        self.check(self.bytes + len(data))
        self.bytes += len(data)
        self.lines += len(lines)
        self.link = self._chain.link
        return [len(line) for line in lines]


def _allocate(descriptor: int, length: int) -> None:
    """Set space for so many bytes aside for a file, where its file system can. The length of the file stays."""
    if _fallocate is None:
        return
    if _fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        if number not in _NO_RESERVE:
            raise OSError(number, os.strerror(number))


def _witness(path: Path) -> Witness | None:
    """The witness of a new file; without one the log goes on."""
    try:
        return Witness(path)
    except OSError as error:
        log.error("hit_log_witness_failed", errno=error.errno, error=error.strerror)
        return None
