"""A store that is a directory: of this machine, or mounted."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hashcheck_core.errors import MissingError, TransportError
from hashcheck_core.snapshot.files import (
    open_regular,
    sync_directory,
    transport_error,
    write_atomically,
    write_durably,
)
from hashcheck_core.snapshot.pointer import is_snapshot_name
from hashcheck_stores.deadline import Deadline
from hashcheck_stores.store import checked_name

# The slowest store that is allowed gives so much well within the deadline of one step.
_PART_BYTES: Final = 256 * 1024


class DirectoryStore:
    """`root` holds the names as files. Swaps of one machine exclude each other by a lock file; over a network
    file system they do so where that has flock."""

    def __init__(self, root: Path, deadline: Deadline | None = None) -> None:
        self.root = root
        self._deadline = deadline or Deadline()

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        return self._deadline.keep(name, _read(self.root / checked_name(name), name, offset))

    def create(self, name: str, source: Path | bytes) -> bool:
        path = self.root / checked_name(name)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            temporary.unlink(missing_ok=True)
            if isinstance(source, bytes):
                write_durably(temporary, source)
            else:
                shutil.copyfile(source, temporary)
                temporary.chmod(0o440)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            os.link(temporary, path)
            sync_directory(path.parent)
        except FileExistsError:
            return False
        except OSError as error:
            raise transport_error(path, error, "written") from None
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        path = self.root / checked_name(name)
        with self._locked():
            try:
                current = b"".join(self.read(name))
            except MissingError:
                current = None
            if current != before:
                return False
            write_atomically(path, after)
            return True

    def names(self) -> list[str]:
        return sorted(self._deadline.keep("its list of snapshots", _names(self.root)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.root / ".lock"
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o640)
        except OSError as error:
            raise transport_error(path, error, "opened") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise transport_error(path, error, "locked") from None
        finally:
            os.close(descriptor)


def _read(path: Path, name: str, offset: int) -> Iterator[bytes]:
    try:
        with open_regular(path) as file:
            file.seek(offset)
            while part := file.read(_PART_BYTES):
                yield part
    except FileNotFoundError:
        raise missing(name) from None
    except OSError as error:
        raise transport_error(path, error, "read") from None


def _names(root: Path) -> Iterator[str]:
    try:
        yield from (path.name for path in root.iterdir() if is_snapshot_name(path.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise transport_error(root, error, "read") from None


def missing(name: str) -> TransportError:
    """The error for a name that a store does not have."""
    return MissingError(
        f"The store has no {name}.",
        next_step="Publish with: index-builder publish; or see if it is the right store.",
    )
