"""What is known of each file of the log outside its directory: a small file in the state directory for each.

    <length of the file in bytes> <lines> <link of the last line>
    {"<tenant>": <bytes of its records>, ...}

The first line is written after each commit, and not forced to disk: it survives the death of the worker, not a power
cut. It may be behind the file, never ahead of it. So a file that was taken away, cut, or written anew as a whole is
noticed. The second line is written now and then; by it tenants share the log.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.errors import HashcheckError
from hashcheck_core.snapshot.files import read_limited

_FIRST: Final = "%20d %20d %64s\n"
_FIRST_BYTES: Final = len(_FIRST % (0, 0, ""))
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness says: the file had so many bytes and lines, and the last line had this link."""

    name: str
    bytes: int
    lines: int
    link: str
    tenants: Mapping[str, int]


class Witness:
    """Of one file that is being written. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def tell(self, size: int, lines: int, link: str) -> None:
        os.pwrite(self._descriptor, (_FIRST % (size, lines, link)).encode(), 0)

    def tell_tenants(self, tenants: Mapping[str, int]) -> None:
        os.pwrite(self._descriptor, msgspec.json.encode(tenants) + b"\n", _FIRST_BYTES)

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)


def read_witnesses(directory: Path, prefix: str) -> Iterator[Seen]:
    """All that can be read; one that cannot says nothing."""
    try:
        names = sorted(path.name for path in directory.iterdir() if path.name.startswith(f"{prefix}-"))
    except OSError:
        return
    for name in names:
        if (seen := read_witness(directory / name)) is not None:
            yield seen


def read_witness(path: Path) -> Seen | None:
    try:
        first, _, rest = read_limited(path, _MOST_BYTES).partition(b"\n")
        size, lines, link = first.decode("ascii").split()
        tenants = msgspec.json.decode(rest, type=dict[str, int]) if rest.strip() else {}
        return Seen(path.name, int(size), int(lines), link, tenants)
    except (HashcheckError, ValueError, msgspec.DecodeError, UnicodeDecodeError):
        return None
