"""What each tenant has used in the minute that runs, shared by all workers of a machine and kept over a restart.

It is a memory-mapped file. Each worker adds only to cells of its own, in a column that it holds by a lock, and reads
those of all. So nothing is added up wrongly, and no worker waits for another.

    header   8 bytes of format, then the number of columns that were ever held, uint64
    names    ROWS x 16 bytes: the digest of a tenant's name, zeros for a free row
    cells    ROWS x KINDS x COLUMNS x (minute, amount), uint64 each, little-endian as the machine
"""

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hashcheck_core.errors import TransportError
from hashcheck_core.snapshot.files import transport_error

_FORMAT: Final = b"hcusage1"
_ROWS: Final = 2048  # tenants; a machine that had more counts the rest by worker
_COLUMNS: Final = 64  # workers; more of them share the last column
_NAME: Final = struct.Struct("16s")
_HEADER: Final = 16


class Account:
    """What one tenant has used of one kind, in a minute: all workers of this machine together."""

    __slots__ = ("_cells", "_columns", "_first", "_mine")

    def __init__(self, cells: "memoryview[int]", first: int, mine: int, columns: "memoryview[int]") -> None:
        self._cells = cells
        self._first = first
        self._mine = mine
        self._columns = columns

    def used(self, minute: int) -> int:
        cells, first = self._cells, self._first
        total = cells[first + 1] if cells[first] == minute else 0
        if self._columns[0] > 1:
            for cell in range(first + 2, first + 2 * self._columns[0], 2):
                if cells[cell] == minute:
                    total += cells[cell + 1]
        return total

    def add(self, minute: int, amount: int) -> None:
        """Add what this worker has used."""
        cells, mine = self._cells, self._mine
        if cells[mine] != minute:
            cells[mine + 1] = 0
            cells[mine] = minute
        cells[mine + 1] += amount


class UsageTable:
    """Amounts of so many `kinds`, by tenant and minute. Raises TransportError where the file cannot be used."""

    def __init__(self, path: Path, kinds: int) -> None:
        self._kinds = kinds
        names = _ROWS * _NAME.size
        cells = _ROWS * kinds * _COLUMNS * 16
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with self._locked():
                fresh = os.pread(self._descriptor, len(_FORMAT), 0) != _FORMAT
                if fresh or os.fstat(self._descriptor).st_size != _HEADER + names + cells:
                    os.ftruncate(self._descriptor, 0)
                    os.ftruncate(self._descriptor, _HEADER + names + cells)
                    os.pwrite(self._descriptor, _FORMAT, 0)
            self._map = mmap.mmap(self._descriptor, _HEADER + names + cells)
        except OSError as error:
            raise transport_error(path, error, "used") from None
        self._columns = memoryview(self._map)[8:_HEADER].cast("Q")
        self._cells = memoryview(self._map)[_HEADER + names :].cast("Q")
        self._column = self._hold_a_column()

    def account(self, tenant: str, kind: int) -> Account:
        """The account of a tenant. Where there are more tenants than rows, it is this worker's alone."""
        row = self._find_row(tenant)
        if row is None:
            one = memoryview(bytearray(24)).cast("Q")
            one[2] = 1
            return Account(one, 0, 0, one[2:])
        first = (row * self._kinds + kind) * _COLUMNS * 2
        return Account(self._cells, first, first + 2 * self._column, self._columns)

    def _find_row(self, tenant: str) -> int | None:
        digest = hashlib.blake2b(tenant.encode(), digest_size=_NAME.size).digest()
        start = int.from_bytes(digest[:4]) % _ROWS
        with self._locked():
            for step in range(_ROWS):
                row = (start + step) % _ROWS
                place = _HEADER + row * _NAME.size
                name = self._map[place : place + _NAME.size]
                if not any(name):
                    self._map[place : place + _NAME.size] = digest
                    return row
                if name == digest:
                    return row
        return None

    def _hold_a_column(self) -> int:
        """The first column that no living process holds. It is let go when this process ends, however it ends."""
        for column in range(_COLUMNS):
            try:
                # Byte `column` of the file stands for it; locks of bytes have nothing to do with what is in them.
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, column)
            except OSError:
                continue
            break
        with self._locked():
            self._columns[0] = max(self._columns[0], column + 1)
        return column

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise TransportError(
                f"The table of what tenants have used cannot be locked ({error.strerror}).",
                next_step="Keep the state directory on a local file system.",
            ) from None
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
