"""Sort more rows than fit memory: cut them by value into parts that do, and sort each by itself.

A row is a key (its bytes, compared as memcmp does) and a number that orders equal keys. The parts are cut by the first
eight bytes of the keys, at values taken from the keys themselves, so rows with equal keys are in one part. What comes
out is the same whatever the size of the parts.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index_builder.table.array_file import ArrayFile

Rows = tuple[NDArray[np.uint8], NDArray[np.uint32]]  # keys (n, bytes), and the number of each

SORT_ROWS: Final = 2_000_000  # in one part; of 32 bytes each it takes some 250 MB while it is sorted
_THREADS: Final = 2  # and so many parts are sorted at once
_PER_PART: Final = 256  # values looked at to cut off one part: their sizes then differ by a tenth


def sorted_parts(
    rows: Iterable[Rows], keys: NDArray[np.uint8], folder: Path, most: int = SORT_ROWS
) -> Iterator[Rows]:
    """`rows` in ascending order, in parts of about `most` rows. `keys`: all of theirs, in memory or mapped.

    The folder is for files of parts; none is left. Raises OSError.
    """
    count = -(-len(keys) // most)
    if count <= 1:
        yield _sorted(*_joined(list(rows)))
        return
    bounds = _bounds(keys, count)
    parts = [
        (
            ArrayFile(folder / f"part-{i}-keys", np.uint8, keys.shape[1]),
            ArrayFile(folder / f"part-{i}-numbers", np.uint32),
        )
        for i in range(len(bounds) + 1)
    ]
    for some_keys, numbers in rows:
        part_of = np.searchsorted(bounds, _first_words(some_keys), side="right").astype(np.uint16)
        order = np.argsort(part_of, kind="stable")
        ends = np.cumsum(np.bincount(part_of, minlength=len(parts)))
        for (key_file, number_file), end, length in zip(parts, ends, np.diff(ends, prepend=0), strict=True):
            mine = order[end - length : end]
            key_file.append(some_keys[mine])
            number_file.append(numbers[mine])
    yield from _each_sorted(parts)


def _each_sorted(parts: Sequence[tuple[ArrayFile, ArrayFile]]) -> Iterator[Rows]:
    def load(part: tuple[ArrayFile, ArrayFile]) -> Rows:
        rows = part[0].read(), part[1].read()
        for file in part:
            file.delete()
        return _sorted(*rows)

    waiting: deque[Future[Rows]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for part in parts:
            waiting.append(pool.submit(load, part))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _bounds(keys: NDArray[np.uint8], count: int) -> NDArray[np.uint64]:
    """First words that cut `keys` into about `count` equal parts."""
    looked_at = np.linspace(0, len(keys) - 1, min(len(keys), count * _PER_PART)).astype(np.int64)
    words = np.sort(_first_words(keys[looked_at]))
    cuts = np.arange(1, count) * len(words) // count
    return np.unique(words[cuts])


def _joined(rows: Sequence[Rows]) -> Rows:
    if len(rows) == 1:
        return rows[0]
    return np.concatenate([keys for keys, _ in rows]), np.concatenate([numbers for _, numbers in rows])


def _sorted(keys: NDArray[np.uint8], numbers: NDArray[np.uint32]) -> Rows:
    """By the first words, which is fast; then those that share one by all that is left."""
    words = _first_words(keys)
    order = np.argsort(words)
    words = words[order]
    same = words[1:] == words[:-1]
    if same.any():
        tied = np.zeros(len(words), bool)
        tied[1:] = same
        tied[:-1] |= same
        at = np.flatnonzero(tied)
        rows = order[at]
        rest = _words(keys[rows, 8:])
        order[at] = rows[np.lexsort((numbers[rows], *rest[:, ::-1].T, words[at]))]
    return keys[order], numbers[order]


def _first_words(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(keys[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


def _words(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """uint64 (n, words) that order as the bytes do."""
    width = -(-keys.shape[1] // 8) * 8
    padded = np.zeros((len(keys), width), np.uint8)
    padded[:, : keys.shape[1]] = keys
    return padded.view(">u8").astype(np.uint64)
