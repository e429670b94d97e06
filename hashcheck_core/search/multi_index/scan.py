"""The flat scan of this engine: every row compared, 8 at a time. What a query is given to when its buckets are
too full to be worth looking into."""

from typing import Any

import numpy as np

from hashcheck_core.search.multi_index.intrinsics import (
    load64,
    load64u,
    near_rows_1,
    near_rows_2,
    near_rows_4,
    near_rows_8,
    popcount,
    store64,
    trailing_zeros,
)
from hashcheck_core.search.multi_index.jit import inlined, kernel


@inlined
def row_distance(row: Any, query: Any, width: Any) -> Any:
    """Hamming distance of two rows of `width` >= 8 bytes at two addresses.

    Where the width is no multiple of 8 the last word overlaps the one before, and only its new bytes count: no
    byte past the row is read.
    """
    distance = np.int64(0)
    place = np.int64(0)
    while place + 8 <= width:
        distance += popcount(load64u(row + place) ^ load64u(query + place))
        place += 8
    if place < width:
        new = np.uint64(64 - 8 * (width - place))
        distance += popcount((load64u(row + width - 8) ^ load64u(query + width - 8)) >> new)
    return distance


@kernel
def flat_scan(
    codes: Any, width: Any, rows: Any, query: Any, radius: Any, out: Any, room: Any, temp: Any
) -> Any:
    """Keys (distance << 32 | row) of the rows within `radius`, into `out` (int64 at an address).

    `temp`: 8 int64. Answers how many keys there are, or -1 as soon as `room` may not hold what the next rows give.
    """
    found = np.int64(0)
    row = np.int64(0)
    one = np.uint64(1)
    if width == 8 or width == 16 or width == 32 or width == 64:
        while row + 8 <= rows:
            place = codes + width * row
            if width == 32:
                near = near_rows_4(place, query, radius, temp)
            elif width == 8:
                near = near_rows_1(place, query, radius, temp)
            elif width == 16:
                near = near_rows_2(place, query, radius, temp)
            else:
                near = near_rows_8(place, query, radius, temp)
            if near != 0:
                if found + 8 > room:
                    return np.int64(-1)
                while near != 0:
                    lane = trailing_zeros(near)
                    near &= near - one
                    store64(out + 8 * found, load64(temp + 8 * lane) << 32 | (row + lane))
                    found += 1
            row += 8
    while row < rows:
        distance = row_distance(codes + width * row, query, width)
        if distance <= radius:
            if found >= room:
                return np.int64(-1)
            store64(out + 8 * found, distance << 32 | row)
            found += 1
        row += 1
    return found
