"""What goes, and what there is room for.

Records go by age alone: nothing young is ever removed to make room. So that no tenant can fill the log, a tenant may
have as many bytes as are still free besides: one alone gets half, two get a third each, and something is always left
for the next. A tenant beyond that is refused its checks, and no other.

Matches of the reserved test hashes are no evidence: of those the oldest files go to make room.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hashcheck_service.evidence.witness import read_witness

_DAY_SECONDS: Final = 86_400
_SLACK: Final = 256 * 1024  # bytes on the disk beyond a file's length that are no reserve
_HOLDS_NOTHING: Final = 1024  # bytes: a file of a first line alone is shorter


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in the log, in bytes; `oldest` in seconds since 1970, of the last record of the oldest file."""

    bytes: int
    files: int
    oldest: float | None
    tenants: Mapping[str, int]

    def share_used(self, limit: int) -> set[str]:
        """The tenants that have used their share of a log of `limit` bytes."""
        free = max(0, limit - self.bytes)
        return {tenant for tenant, used in self.tenants.items() if used >= free}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    status: os.stat_result


class Retention:
    """Of the files in `directory` that begin with `prefix`, by whichever worker.

    Args:
        days: how long a file is kept after its last record.
        bytes: of all files together.
        drop_oldest: remove the oldest files beyond `bytes`, however young.
    """

    def __init__(
        self,
        directory: Path,
        prefix: str,
        days: int,
        bytes: int,  # noqa: A002
        *,
        witnesses: Path | None = None,
        drop_oldest: bool = False,
    ) -> None:
        self.days = days
        self.bytes = bytes
        self._directory = directory
        self._prefix = prefix
        self._witnesses = witnesses
        self.drop_oldest = drop_oldest
        self._tenants: dict[str, tuple[int, Mapping[str, int]]] = {}  # by file: when its witness last spoke

    def look(self) -> Kept:
        """Remove what is to go, and add up what is left. Raises OSError."""
        files = sorted(self._files(), key=lambda file: file.status.st_mtime)
        total = sum(file.status.st_size for file in files)
        past = time.time() - self.days * _DAY_SECONDS
        kept = []
        for file in files:
            old = file.status.st_mtime < past or (self.drop_oldest and total > self.bytes)
            if (old or file.status.st_size < _HOLDS_NOTHING) and self._remove(file, old=old):
                total -= file.status.st_size
                continue
            if file.status.st_blocks * 512 - file.status.st_size > _SLACK:
                self._give_back(file)
            kept.append(file)
        oldest = kept[0].status.st_mtime if kept else None
        return Kept(total, len(kept), oldest, self._by_tenant(kept))

    def _files(self) -> list[_File]:
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.startswith(f"{self._prefix}-") and entry.name.endswith(".jsonl"):
                    with contextlib.suppress(OSError):
                        found.append(_File(Path(entry.path), entry.stat(follow_symlinks=False)))
        return [file for file in found if stat.S_ISREG(file.status.st_mode)]

    def _remove(self, file: _File, *, old: bool) -> bool:
        """Remove a file that no worker writes, if it is old or holds no record."""
        try:
            with _closed(file.path) as descriptor:
                if not old and not self._holds_nothing(file.path.name, descriptor):
                    return False
                if self._witnesses is not None:
                    (self._witnesses / file.path.name).unlink(missing_ok=True)
                file.path.unlink()
        except OSError:  # it is open elsewhere, or gone, or not ours to remove
            return False
        return True

    def _holds_nothing(self, name: str, descriptor: int) -> bool:
        """Whether there is no record in a short file, and never was."""
        seen = read_witness(self._witnesses / name) if self._witnesses is not None else None
        lines = os.pread(descriptor, _HOLDS_NOTHING, 0).count(b"\n")
        return lines <= 1 and (seen is None or seen.lines <= 1)

    def _give_back(self, file: _File) -> None:
        """Give back what a worker that was killed had set aside behind the end of its file."""
        with contextlib.suppress(OSError), _closed(file.path) as descriptor:
            os.ftruncate(descriptor, file.status.st_size)
            os.utime(descriptor, ns=(file.status.st_atime_ns, file.status.st_mtime_ns))  # its age stays

    def _by_tenant(self, files: list[_File]) -> Mapping[str, int]:
        if self._witnesses is None:
            return {}
        known, self._tenants = self._tenants, {}
        total: Counter[str] = Counter()
        for file in files:
            name = file.path.name
            with contextlib.suppress(OSError):
                spoke = (self._witnesses / name).stat().st_mtime_ns
                if name not in known or known[name][0] != spoke:
                    seen = read_witness(self._witnesses / name)
                    known[name] = (spoke, seen.tenants if seen is not None else {})
                self._tenants[name] = known[name]
                total.update(known[name][1])
        return total


@contextlib.contextmanager
def _closed(path: Path) -> Iterator[int]:
    """The descriptor of a file that no worker has open, locked meanwhile. Raises OSError for one that is open."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)
