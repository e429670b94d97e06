"""Whether files can be written in a directory."""

import os
import threading
from pathlib import Path

from hashcheck_core.snapshot.files import transport_error


def try_writing(directory: Path) -> None:
    """Raises OSError unless a file can be written in `directory`.

    Some bytes are forced to disk: on a full one an empty file can often still be made.
    """
    path = directory / f".hit-log-probe-{os.getpid()}-{threading.get_ident()}"
    try:
        path.unlink(missing_ok=True)  # of a process that was killed, or something that another put there
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        path.unlink(missing_ok=True)


def check_writable(directory: Path) -> None:
    """The same; raises TransportError."""
    try:
        try_writing(directory)
    except OSError as error:
        raise transport_error(directory, error, "written") from None


def make_directory(path: Path, mode: int) -> None:
    """Make a directory, if it is missing, with this mode whatever the umask. Raises OSError."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
