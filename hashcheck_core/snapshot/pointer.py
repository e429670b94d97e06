"""The pointer: a small file beside the snapshots that names the current one, replaced atomically."""

import re
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.errors import SnapshotFormatError, TransportError
from hashcheck_core.snapshot.files import read_limited, write_atomically

POINTER_NAME: Final = "current"
POINTER_FORMAT: Final = "hashcheck-pointer/1"
_MAX_BYTES: Final = 4096
_SNAPSHOT_NAME: Final = re.compile(r"[0-9]{8}-[0-9a-f]{16}")


class _Pointer(msgspec.Struct, frozen=True):
    format: str
    snapshot: str


def read_pointer(root: Path) -> Path:
    """The directory of the current snapshot in `root`.

    Raises TransportError where there is no pointer, SnapshotFormatError where it is not one.
    """
    data = read_limited(root / POINTER_NAME, _MAX_BYTES)
    try:
        pointer = msgspec.json.decode(data, type=_Pointer)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pointer = None
    if pointer is None or pointer.format != POINTER_FORMAT or not _SNAPSHOT_NAME.fullmatch(pointer.snapshot):
        raise SnapshotFormatError(
            "The pointer file does not name a snapshot.",
            next_step="Publish a snapshot with: index-builder publish",
        )
    return root / pointer.snapshot


def write_pointer(root: Path, snapshot_name: str) -> None:
    """Make `snapshot_name` the current snapshot in `root`, atomically and durably."""
    if not _SNAPSHOT_NAME.fullmatch(snapshot_name):
        raise SnapshotFormatError(
            f"{snapshot_name[:80]!r} is not the name of a snapshot directory.",
            next_step="Name a directory that index-builder build made.",
        )
    data = msgspec.json.encode(_Pointer(POINTER_FORMAT, snapshot_name)) + b"\n"
    write_atomically(root / POINTER_NAME, data)


def pointer_stamp(root: Path) -> tuple[int, int, int] | None:
    """Changes whenever the pointer is replaced; None where there is none. Cheap enough to ask each second."""
    try:
        status = (root / POINTER_NAME).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TransportError(
            f"The pointer file cannot be looked at ({error.strerror}).",
            next_step=f"Check that {root} can be read.",
        ) from None
    return status.st_ino, status.st_mtime_ns, status.st_size
