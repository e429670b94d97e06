"""Small file work with this project's errors: read within a limit, replace atomically, make durable."""

import os
import stat
from pathlib import Path

from hashcheck_core.errors import SnapshotFormatError, TransportError


def transport_error(path: Path, error: OSError, doing: str) -> TransportError:
    """The TransportError for an OSError met while `doing` something to `path`."""
    return TransportError(
        f"{path} could not be {doing} ({error.strerror or type(error).__name__}).",
        next_step="Check that it exists, that this user may use it, and that the disk is well and not full.",
    )


def read_limited(path: Path, limit: int, *, follow_links: bool = False) -> bytes:
    """All bytes of a file; raises TransportError, or SnapshotFormatError above `limit` bytes.

    `follow_links` is for what an operator names (settings, keys): mounts of orchestrators are links. A file of
    a snapshot, and the pointer, is never one.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | (0 if follow_links else os.O_NOFOLLOW) | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise transport_error(path, error, "read") from None
    if len(data) > limit:
        raise SnapshotFormatError(
            f"{path.name} has more than {limit} bytes.",
            next_step="It is not what it should be; copy it again.",
        )
    return data


def write_durably(path: Path, data: "bytes | memoryview", mode: int = 0o640) -> None:
    """Write a new file and force it to disk; raises TransportError, also where it is already there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise transport_error(path, error, "written") from None


def write_atomically(path: Path, data: bytes, mode: int = 0o640, *, keep_owner: bool = False) -> None:
    """Replace `path` as a whole: a reader sees the old bytes or the new ones. Raises TransportError.

    With `keep_owner` a file that is there already keeps its owner, group and mode.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        write_durably(temporary, data, mode)
        if keep_owner and path.exists():
            before = path.stat()
            os.chown(temporary, before.st_uid, before.st_gid)
            temporary.chmod(stat.S_IMODE(before.st_mode))
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise transport_error(path, error, "replaced") from None


def sync_directory(path: Path) -> None:
    """Force a directory's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
