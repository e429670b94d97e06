"""A store that is a directory: of this machine, or mounted."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashcheck_core.errors import MissingError, TransportError
from hashcheck_core.snapshot.files import (
    sync_directory,
    transport_error,
    write_atomically,
    write_durably,
)
from hashcheck_core.snapshot.pointer import is_snapshot_name
from hashcheck_stores.store import CHUNK_BYTES, checked_name


class DirectoryStore:
    """`root` holds the names as files. Swaps of one machine exclude each other by a lock file; over a network
    file system they do so where that has flock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        path = self.root / checked_name(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                file.seek(offset)
                while part := file.read(CHUNK_BYTES):
                    yield part
        except FileNotFoundError:
            raise missing(name) from None
        except OSError as error:
            raise transport_error(path, error, "read") from None

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
        try:
            return sorted(path.name for path in self.root.iterdir() if is_snapshot_name(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise transport_error(self.root, error, "read") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.root / ".lock"
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise transport_error(path, error, "opened") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise transport_error(path, error, "locked") from None
        finally:
            os.close(descriptor)


def missing(name: str) -> TransportError:
    """The error for a name that a store does not have."""
    return MissingError(
        f"The store has no {name}.",
        next_step="Publish with: index-builder publish; or see if it is the right store.",
    )
