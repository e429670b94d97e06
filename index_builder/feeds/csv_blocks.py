"""A csv feed in blocks of lines: the plain ones by the block, the odd ones by the readers of single rows.

What comes out (rows, rejects, their reasons and numbers) is what `formats.csv_rows` and `vetting` make of each line;
a test holds the two equal. A line that is taken never becomes an object of its own. Nor does a plain one that is
rejected, once its reason has been told often enough: it is counted.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.degenerate import EMPTY_FILES, margin
from hashcheck_core.hash_types import HashType
from index_builder.feeds import csv_kernel as k
from index_builder.feeds.entry_ids import EntryIds
from index_builder.feeds.formats.csv_rows import CsvHeader
from index_builder.feeds.formats.lines import Line, LineBlock
from index_builder.feeds.formats.record import BadRow, Record
from index_builder.feeds.rejects import RejectLog
from index_builder.feeds.row_block import RowBlock, RowShape
from index_builder.feeds.vetting import VettedRow, Vetting

_AHEAD: Final = 2  # blocks that are looked through while the one before gets its ids
_SHORTEST: Final = 20  # bytes; a line with a hash has 16 digits and four commas at least


@dataclass(frozen=True, slots=True)
class _Seen:
    """What `csv_kernel.read_lines` says of a block."""

    block: LineBlock
    starts: NDArray[np.int64]
    said: NDArray[np.uint32]
    codes: NDArray[np.uint8]
    ids: bytes


class PlainRows:
    """The rows of one csv feed."""

    def __init__(self, header: CsvHeader, vetting: Vetting, entry_ids: EntryIds, shape: RowShape) -> None:
        self._header = header
        self._vetting = vetting
        self._entry_ids = entry_ids
        self._shape = shape
        codes = [
            CATEGORY_CODES.index(category) if category in vetting.wanted else -1
            for category in vetting.categories.values()
        ]
        self._tables = (
            np.array(header.places, np.int64),
            header.width,
            *_joined(shape.names),
            *_types(shape, vetting.types),
            *_joined(vetting.categories),
            np.array(codes, np.int64),
            k.DIGITS,
            k.ONES,
        )

    def read(self, blocks: Iterable[LineBlock], rejects: RejectLog) -> Iterator[tuple[RowBlock, int]]:
        """What is taken of each block, and how many rows it holds; what is not goes to `rejects`."""
        ahead: deque[Future[_Seen]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for block in blocks:
                ahead.append(pool.submit(self._look, block))
                if len(ahead) > _AHEAD:
                    yield self._take(ahead.popleft().result(), rejects)
            while ahead:
                yield self._take(ahead.popleft().result(), rejects)

    def _look(self, block: LineBlock) -> _Seen:
        data = block.data
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        starts = np.empty(lines + 1, np.int64)
        said = np.zeros((lines, 4), np.uint32)
        codes = np.zeros((min(lines, len(data) // _SHORTEST) + 1, self._shape.width), np.uint8)
        ids = np.empty(len(data) + 1, np.uint8)
        cells = np.empty(2 * self._header.width + 2, np.int64)
        written = k.read_lines(
            np.frombuffer(data, np.uint8), _is_utf8(data), *self._tables, cells, starts, said, codes, ids
        )
        return _Seen(block, starts, said, codes, ids[:written].tobytes())

    def _take(self, seen: _Seen, rejects: RejectLog) -> tuple[RowBlock, int]:
        verdicts = seen.said[:, k.VERDICT]
        taken = np.flatnonzero(verdicts == k.TAKEN)
        plain = self._plain(seen, taken)
        if len(taken) == len(verdicts):
            return plain, len(taken)
        rows = int((verdicts > k.BLANK).sum()) + len(taken)
        by_hand = verdicts == k.ODD
        untold = {}
        for reason, verdict in k.VERDICTS.items():
            places = np.flatnonzero(verdicts == verdict)
            room = rejects.room(reason)
            by_hand[places[:room]] = True
            untold[reason] = max(len(places) - room, 0)
        odd: list[VettedRow] = []
        for place in np.flatnonzero(by_hand).tolist():
            item = self._one(seen, place)
            if item is not None and verdicts[place] == k.ODD:
                rows += 1
            if isinstance(item, BadRow):
                rejects.add(item)
            elif item is not None:
                odd.append(item)
        for reason, count in untold.items():
            if count:
                rejects.count(reason, count)
        if not odd:
            return plain, rows
        return plain.merged(RowBlock.of(odd, self._entry_ids, self._shape)), rows

    def _plain(self, seen: _Seen, taken: NDArray[np.int64]) -> RowBlock:
        said = seen.said[taken]
        ids = self._entry_ids.of(seen.ids.split(b"\n")[:-1])
        none = np.zeros(len(taken), np.uint32)
        return RowBlock(
            lines=(taken + seen.block.first).astype(np.uint64),
            ids=ids[said[:, k.ID]],
            categories=said[:, k.CATEGORY].astype(np.uint8),
            kinds=said[:, k.KIND].astype(np.uint8),
            codes=seen.codes[: len(taken)],
            up=none,
            down=none,
        )

    def _one(self, seen: _Seen, place: int) -> VettedRow | BadRow | None:
        """One line as the readers of single rows take it."""
        raw = seen.block.data[seen.starts[place] : seen.starts[place + 1]]
        item = self._header.row(Line.of(seen.block.first + place, raw))
        return self._vetting.vet(item) if isinstance(item, Record) else item


def _joined(names: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all names, and the bounds of each."""
    encoded = [name.encode() for name in names]
    bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded) + b"\0", np.uint8), bounds


def _types(shape: RowShape, types: Mapping[str, HashType]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    rows = np.full((len(shape.names), 4), -1, np.int64)
    empty = np.zeros((len(shape.names), shape.width), np.uint8)
    for row, hash_type in enumerate(types[name] for name in shape.names):
        digest = EMPTY_FILES.get(hash_type.name)
        rows[row, k.WIDTH] = hash_type.bytes
        rows[row, k.MARGIN] = margin(hash_type)
        rows[row, k.MIN_QUALITY] = -1 if hash_type.min_quality is None else hash_type.min_quality
        rows[row, k.HAS_EMPTY] = digest is not None
        if digest is not None:
            empty[row, : len(digest)] = list(digest)
    return rows, empty


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
