"""A column on disk: an array that is appended to, and then read in parts or mapped.

A build keeps its columns so, whatever their size: the kernel holds them in memory while there is room, and writes
them out where there is none. None of it is durable; the folder they lie in is the build's to clear away.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PART_ROWS: Final = 1 << 20  # rows that are read at once where a column is gone through


class ArrayFile:
    """Rows of `dtype`, or with `width` rows of so many of it. No file stays open. Raises OSError."""

    def __init__(self, path: Path, dtype: "np.dtype[Any] | type[Any]", width: int = 0) -> None:
        self._dtype = np.dtype(dtype)
        self._row = (width,) if width else ()
        self._path = path
        self._rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        assert rows.shape[1:] == self._row
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._rows += len(rows)

    def __len__(self) -> int:
        return self._rows

    def read(self) -> NDArray[Any]:
        """All of it, in memory."""
        return np.fromfile(self._path, self._dtype).reshape(-1, *self._row) if self._rows else self._none()

    def parts(self) -> Iterator[NDArray[Any]]:
        """All of it, PART_ROWS at a time."""
        if not self._rows:
            return
        size = PART_ROWS * self._dtype.itemsize * (self._row[0] if self._row else 1)
        with self._path.open("rb") as file:
            while data := file.read(size):
                yield np.frombuffer(data, self._dtype).reshape(-1, *self._row)

    def mapped(self) -> NDArray[Any]:
        """All of it, mapped, read only."""
        if not self._rows:
            return self._none()
        return np.memmap(self._path, self._dtype, "r", shape=(self._rows, *self._row))

    def delete(self) -> None:
        """Give the disk its room back, once nothing maps it any more."""
        self._path.unlink(missing_ok=True)

    def _none(self) -> NDArray[Any]:
        return np.empty((0, *self._row), self._dtype)
