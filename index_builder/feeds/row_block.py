"""Many vetted rows of one feed, as columns. The hashes stand in one array as wide as the widest type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.hash_types import HashType
from hashcheck_core.snapshot.verifier import ENTRY_ID_BYTES
from index_builder.feeds.entry_ids import EntryIds
from index_builder.feeds.vetting import VettedRow

_CATEGORY_CODE = {category: code for code, category in enumerate(CATEGORY_CODES)}


class RowShape:
    """What all blocks of a build share: the names of its hash types, ascending, and the bytes of the widest."""

    def __init__(self, types: Mapping[str, HashType]) -> None:
        self.names = sorted(types)
        self.width = max(hash_type.bytes for hash_type in types.values())


@dataclass(frozen=True, slots=True)
class RowBlock:
    """In the order of the feed. lines uint64, ids uint8 (n, 16), categories uint8; kinds uint8, places in the names of
    the types; codes uint8 (n, bytes of the widest type), of which a narrower one means its own; up and down uint32."""

    lines: NDArray[np.uint64]
    ids: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    kinds: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    up: NDArray[np.uint32]
    down: NDArray[np.uint32]

    @classmethod
    def of(cls, rows: Sequence[VettedRow], entry_ids: EntryIds, shape: RowShape) -> Self:
        ids = entry_ids.of([row.id.encode(errors="surrogatepass") for row in rows])
        return cls.under(ids, rows, shape)

    @classmethod
    def under(cls, ids: NDArray[np.uint8], rows: Sequence[VettedRow], shape: RowShape) -> Self:
        """`rows` listed under these ids."""
        kind_of = {name: kind for kind, name in enumerate(shape.names)}
        codes = b"".join(row.value.ljust(shape.width, b"\0") for row in rows)
        return cls(
            lines=np.array([row.line for row in rows], np.uint64),
            ids=ids.reshape(len(rows), ENTRY_ID_BYTES),
            categories=np.array([_CATEGORY_CODE[row.category] for row in rows], np.uint8),
            kinds=np.array([kind_of[row.hash_type.name] for row in rows], np.uint8),
            codes=np.frombuffer(codes, np.uint8).reshape(len(rows), shape.width),
            up=np.array([row.up for row in rows], np.uint32),
            down=np.array([row.down for row in rows], np.uint32),
        )

    def merged(self, other: "RowBlock") -> "RowBlock":
        """Both, by line; no line is in both."""
        order = np.argsort(np.concatenate([self.lines, other.lines]), kind="stable")
        return RowBlock(
            np.concatenate([self.lines, other.lines])[order],
            np.concatenate([self.ids, other.ids])[order],
            np.concatenate([self.categories, other.categories])[order],
            np.concatenate([self.kinds, other.kinds])[order],
            np.concatenate([self.codes, other.codes])[order],
            np.concatenate([self.up, other.up])[order],
            np.concatenate([self.down, other.down])[order],
        )

    def __len__(self) -> int:
        return len(self.lines)
