"""The arrays of a multi-index, built from the codes by one counting sort a chunk.

    buckets     uint32 (layout.table_starts[-1])  chunk c: 2^address + 1 bucket bounds from table_starts[c] on
    signatures  uint16 (m, stride)  in bucket order: signature bits, and above them bits 24 and up of the row number
    ids         uint8 (m, 3 * stride)  in bucket order: the low 24 bits of the row number, little-endian

Within a bucket rows ascend. Five bytes a row and chunk, and no pointer: the arrays are mapped as they are.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.search.multi_index.intrinsics import (
    load8,
    load16,
    load32,
    load64,
    load64u,
    store8,
    store16,
    store32,
    store64u,
)
from hashcheck_core.search.multi_index.jit import kernel
from hashcheck_core.search.multi_index.layout import Layout

KEYS_AT_ONCE: Final = 1 << 25  # 256 MiB of them a thread; of more rows they are made twice over

Allocate = Callable[[str, tuple[int, ...], str], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Tables:
    buckets: NDArray[np.uint32]
    signatures: NDArray[np.uint16]
    ids: NDArray[np.uint8]


def shapes(layout: Layout, rows: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each array, by role."""
    m, stride = len(layout.widths), layout.stride(rows)
    return {
        "buckets": ((layout.table_starts[-1],), "<u4"),
        "signatures": ((m, stride), "<u2"),
        "ids": ((m, 3 * stride), "|u1"),
    }


def index_bytes(layout: Layout, rows: int) -> int:
    """Bytes of the codes and all arrays."""
    tables = sum(
        int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes(layout, rows).values()
    )
    return rows * layout.bits // 8 + tables


def _zeros(_: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Zeroed and on whole cache lines, as mapped files are: the scan reads lines, and split ones cost double."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def build_tables(
    layout: Layout,
    codes: NDArray[np.uint8],
    *,
    allocate: Allocate = _zeros,
    threads: int = 2,
    keys_at_once: int = KEYS_AT_ONCE,
    on_chunk: Callable[[int, int], None] = lambda done, of: None,
) -> Tables:
    """Build the arrays for `codes`, uint8 (n, bits / 8), C-contiguous.

    `allocate(role, shape, dtype)` gives zeroed arrays, mapped files where they are to outgrow memory. Beside them
    each thread takes 8 bytes a row, of `keys_at_once` rows at most. `on_chunk` hears how many chunks are done. Raises
    ValueError for more rows than the layout can number.
    """
    rows, width = codes.shape
    if not layout.holds(rows) or width * 8 != layout.bits or not codes.flags.c_contiguous:
        raise ValueError("the codes do not fit the layout")
    made = {role: allocate(role, shape, dtype) for role, (shape, dtype) in shapes(layout, rows).items()}
    tables = Tables(made["buckets"], made["signatures"], made["ids"])

    def build(chunk: int) -> None:
        at_once = max(1, min(rows, keys_at_once))
        keys = np.empty(at_once, np.uint64)
        byte_table = layout.chunk_table(chunk)
        buckets = tables.buckets.ctypes.data + 4 * layout.table_starts[chunk]

        def parts(made: bool) -> Iterator[tuple[int, int]]:
            """(first row, count) of each part, its keys in `keys`."""
            for first in range(0, rows, at_once):
                count = min(at_once, rows - first)
                if not made or at_once < rows:
                    start = codes.ctypes.data + first * width
                    _make_keys(start, count, width, byte_table.ctypes.data, keys.ctypes.data)
                yield first, count

        for _, count in parts(made=False):
            _count(keys.ctypes.data, count, layout.address[chunk], buckets)
        _counts_to_starts(layout.address[chunk], buckets)
        for first, count in parts(made=True):
            _place(
                keys.ctypes.data,
                first,
                count,
                layout.address[chunk],
                layout.signature_bits,
                buckets,
                tables.signatures[chunk].ctypes.data,
                tables.ids[chunk].ctypes.data,
            )

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(build, range(len(layout.widths))), 1):
            on_chunk(done, len(layout.widths))
    return tables


def tables_are_sound(layout: Layout, rows: int, tables: Tables) -> bool:
    """Whether every bucket bound and every row number is in range: the search kernels check none of them."""
    return all(
        _chunk_is_sound(
            tables.buckets.ctypes.data + 4 * layout.table_starts[chunk],
            layout.address[chunk],
            rows,
            layout.signature_bits,
            tables.signatures[chunk].ctypes.data,
            tables.ids[chunk].ctypes.data,
        )
        for chunk in range(len(layout.widths))
    )


@kernel
def _make_keys(codes: Any, rows: Any, width: Any, byte_table: Any, keys: Any) -> Any:
    """The key of every row of `width` bytes, by Layout.chunk_table."""
    for row in range(rows):
        key = np.uint64(0)
        for byte in range(width):
            key |= load64u(byte_table + 8 * (256 * byte + load8(codes + width * row + byte)))
        store64u(keys + 8 * row, key)


# A counting sort of the rows by the low `address` bits of their keys, in three steps; `buckets` is zeroed before.


@kernel
def _count(keys: Any, rows: Any, address: Any, buckets: Any) -> Any:
    mask = (np.int64(1) << address) - 1
    for row in range(rows):
        place = buckets + 4 * (load64(keys + 8 * row) & mask) + 4
        store32(place, load32(place) + 1)


@kernel
def _counts_to_starts(address: Any, buckets: Any) -> Any:
    """Bound k + 1 becomes the start of bucket k; filling moves it to its end."""
    total = np.int64(0)
    for bucket in range(np.int64(1) << address):
        place = buckets + 4 * bucket + 4
        count = load32(place)
        store32(place, total)
        total += count


@kernel
def _place(
    keys: Any,
    first: Any,
    count: Any,
    address: Any,
    signature_bits: Any,
    buckets: Any,
    signatures: Any,
    ids: Any,
) -> Any:
    """Put rows `first` and on, whose keys these are, where the starts of their buckets say."""
    mask = (np.int64(1) << address) - 1
    for row in range(first, first + count):
        key = load64(keys + 8 * (row - first))
        bucket_end = buckets + 4 * (key & mask) + 4
        place = load32(bucket_end)
        store32(bucket_end, place + 1)
        signature = key >> address
        if signature_bits < 16:
            signature |= (row >> 24) << signature_bits
        store16(signatures + 2 * place, signature)
        store16(ids + 3 * place, row & 0xFFFF)
        store8(ids + 3 * place + 2, (row >> 16) & 0xFF)


@kernel
def _chunk_is_sound(
    buckets: Any, address: Any, rows: Any, signature_bits: Any, signatures: Any, ids: Any
) -> Any:
    before = np.int64(0)
    sound = load32(buckets) == 0
    for bucket in range((np.int64(1) << address) + 1):
        bound = load32(buckets + 4 * bucket)
        sound &= bound >= before
        before = bound
    sound &= before == rows
    for place in range(rows):
        row = load16(ids + 3 * place) | load8(ids + 3 * place + 2) << 16
        if signature_bits < 16:
            row |= (load16(signatures + 2 * place) >> signature_bits) << 24
        sound &= row < rows
    return sound
