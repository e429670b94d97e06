"""Small file work with this project's errors: read within a limit, replace atomically, make durable.

What another may have put in the place of a file is never waited for: only regular files are opened.
"""

import contextlib
import os
import shlex
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

from hashcheck_core.errors import ConfigError, NotAFileError, SnapshotFormatError, TransportError

_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a directory",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


class Privacy(NamedTuple):
    """Permission bits a file must not have, what they allow in words, and how chmod takes them away."""

    bits: int
    allowed: str
    chmod: str


# A private key stands for a person or a builder: nobody else's processes may read it.
OWNER_ONLY: Final = Privacy(0o077, "may be read or written by its group or by others", "go-rwx")
# Orchestrators mount secrets readable by a group.
NOT_FOR_OTHERS: Final = Privacy(0o007, "may be read or written by others than its owner and group", "o-rwx")
# Not secret, but who writes it decides.
OWNER_WRITES: Final = Privacy(0o022, "may be written by its group or by others", "go-w")


def transport_error(path: Path, error: OSError, doing: str) -> TransportError:
    """The TransportError for an OSError met while `doing` something to `path`."""
    return TransportError(
        f"{path} could not be {doing} ({error.strerror or type(error).__name__}).",
        next_step="Check that it exists, that this user may use it, and that the disk is well and not full.",
    )


def open_regular(path: Path, *, follow_links: bool = False) -> BufferedReader:
    """Open a regular file for reading. Never waits for a writer, as opening a named pipe does.

    Args:
        follow_links: For what an operator names (settings, keys, feeds): orchestrators mount links. A file of a
            store, a snapshot or the state directory is never one.

    Raises:
        NotAFileError: It is a pipe, a directory, a socket, a device or a link.
        OSError: As `open` does.
    """
    # Asked first, because opening a device can have effects of its own; and again, because it may be another by then.
    _must_be_regular(path, (path.stat() if follow_links else path.lstat()).st_mode)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path, flags | (0 if follow_links else os.O_NOFOLLOW))
    try:
        _must_be_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def must_be_regular(path: Path) -> None:
    """For what a library opens by its name. Raises NotAFileError for anything else that is there."""
    with contextlib.suppress(OSError):  # the library tells what is wrong then
        _must_be_regular(path, path.stat().st_mode)


def _must_be_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        raise NotAFileError(
            f"{path} is {kind}, not a regular file.",
            next_step="Find out who put it there, and put the right file in its place.",
        )


def read_limited(
    path: Path, limit: int, *, follow_links: bool = False, privacy: Privacy | None = None
) -> bytes:
    """All bytes of a regular file.

    Args:
        limit: The most bytes it may have.
        follow_links: As for `open_regular`.
        privacy: What its permissions must not allow.

    Raises:
        TransportError: It cannot be read, or is no regular file.
        SnapshotFormatError: It has more than `limit` bytes.
        ConfigError: Its permissions allow more than `privacy`.
    """
    try:
        with open_regular(path, follow_links=follow_links) as file:
            if privacy is not None and os.fstat(file.fileno()).st_mode & privacy.bits:
                raise ConfigError(
                    f"{path} {privacy.allowed}.",
                    next_step=f"Run: chmod {privacy.chmod} {shlex.quote(str(path))}",
                )
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
