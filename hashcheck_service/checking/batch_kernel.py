"""Reading a plain batch from its bytes, and writing a plain answer, as machine code that holds no lock.

A batch is plain where it has only the fields of the API, each at most once, strings of plain ASCII without escapes,
and small whole numbers. Nearly all are. Whatever else there may be is not plain, and is given back: `encodings` reads
it the usual way and says what is wrong with it. So there is one judge of what is right, and this is a short way to it.

A reader writes, for each item, where its ref begins and ends in the body, as it is encoded there; for each hash its
item, its type (a place in the table of names), its quality (-1 for none), and where its value begins and ends.

Nothing here checks the bounds of what is written: `plain_batches` makes room for the most that may come. What is read
is followed by NULs, so that a reader may look a word ahead.
"""

from typing import Any, Final

import numpy as np

from hashcheck_core.search.multi_index.intrinsics import (
    load8,
    load16,
    load32,
    load64,
    load64u,
    popcount,
    store8,
    store32,
    store64,
    store64u,
)
from hashcheck_core.search.multi_index.jit import inlined, kernel

NOT_PLAIN: Final = -1

# What a reader is given and what it says, as int64: addresses, sizes, limits; then the counts it found.
(
    BODY, SIZE, NAMES, NAME_ENDS, TYPES, MAX_ITEMS, MAX_HASHES, MAX_REF,
    REF_SPANS, HASH_ITEM, HASH_TYPE, HASH_QUALITY, HASH_SPANS, ITEMS, HASHES,
) = range(15)  # fmt: skip
CONTEXT_SIZE: Final = 15


@kernel
def type_of(context: Any, start: Any, end: Any) -> Any:
    """The place of a type's name in the table; TYPES where it is not there."""
    size = end - start
    first = 0
    for place in range(context[TYPES]):
        last = load32(context[NAME_ENDS] + 4 * place)
        if last - first == size:
            same = True
            for i in range(size):
                if load8(context[NAMES] + first + i) != load8(start + i):
                    same = False
                    break
            if same:
                return place
        first = last
    return context[TYPES]


# What `take` finds of a hash: it is whole, or why it cannot be checked.
WHOLE, MALFORMED, LOW_QUALITY, DEGENERATE = range(4)

# What `take` is given beside: the types, how values are written, and where its results go.
(
    KINDS, HEX, DIGITS, CODES, KEPT_OWNERS, KEPT_ROWS, FOUND, SLOTS, SEED, COUNTS,
) = range(CONTEXT_SIZE, CONTEXT_SIZE + 10)  # fmt: skip
FULL_CONTEXT_SIZE: Final = CONTEXT_SIZE + 10
# Of each type, as int64: what is known of it,
WIDTH, LEAST_QUALITY, MARGIN, KIND_SIZE = range(4)
# and what was found: how many hashes, distinct values and whole hashes, and where the latter two begin.
GIVEN, DISTINCT, KEPT, FIRST_BYTE, FIRST_KEPT, COUNTS_SIZE = range(6)


@inlined
def _decode(context: Any, start: Any, end: Any, code: Any, width: Any) -> Any:
    """Whether all of `start` to `end` is the value of a hash; it is written to `code`."""
    if context[HEX] == 0:
        if end - start != width:
            return False
        for i in range(width):
            store8(code + i, load8(start + i))
        return True
    if end - start != 2 * width:
        return False
    wrong = 0
    for i in range(width):
        high = load8(context[DIGITS] + load8(start + 2 * i))
        low = load8(context[DIGITS] + load8(start + 2 * i + 1))
        wrong |= high | low
        store8(code + i, (high << 4 | low) & 255)
    return wrong < 16


@inlined
def _ones(code: Any, width: Any) -> Any:
    total = 0
    for i in range(width):
        total += popcount(np.uint64(load8(code + i)))
    return total


@inlined
def _mixed(code: Any, width: Any, seed: Any) -> Any:
    """A value's place in the table of those that were met. The seed is secret: nobody can make values that collide."""
    mixed = np.uint64(seed)
    for word in range(width // 8):
        mixed = (mixed ^ load64u(code + 8 * word)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
    return mixed


@inlined
def _known(context: Any, code: Any, values: Any, width: Any, distinct: Any, mask: Any) -> Any:
    """The row of a value among those met before; where it is new, `distinct`, and it is noted down."""
    slot = np.int64(_mixed(code, width, context[SEED]) >> np.uint64(32)) & mask
    while True:
        other = load32(context[SLOTS] + 4 * slot)
        if other == 0:
            store32(context[SLOTS] + 4 * slot, distinct + 1)
            return distinct
        same = True
        for i in range(width):
            if load8(values + width * (other - 1) + i) != load8(code + i):
                same = False
                break
        if same:
            return other - 1
        slot = (slot + 1) & mask


@kernel
def _take(context: Any, type_: Any, counts: Any, first_byte: Any, first_kept: Any) -> Any:
    """`take` for one type."""
    kind = context[KINDS] + 8 * KIND_SIZE * type_
    width, least_quality, margin = load64(kind), load64(kind + 8), load64(kind + 16)
    body, values = context[BODY], context[CODES] + first_byte
    mask = 1
    while mask < 2 * load64(counts + 8 * GIVEN):
        mask <<= 1
    mask -= 1
    for slot in range(mask + 1):
        store32(context[SLOTS] + 4 * slot, 0)
    distinct, kept = 0, first_kept
    for number in range(context[HASHES]):
        if load8(context[HASH_TYPE] + number) != type_:
            continue
        start = body + load32(context[HASH_SPANS] + 8 * number)
        end = body + load32(context[HASH_SPANS] + 8 * number + 4)
        code = values + width * distinct
        if not _decode(context, start, end, code, width):
            store8(context[FOUND] + number, MALFORMED)
            continue
        if load16(context[HASH_QUALITY] + 2 * number) < least_quality:
            store8(context[FOUND] + number, LOW_QUALITY)
            continue
        if margin > 0:
            ones = _ones(code, width)
            if ones < margin or ones > 8 * width - margin:
                store8(context[FOUND] + number, DEGENERATE)
                continue
        store8(context[FOUND] + number, WHOLE)
        row = _known(context, code, values, width, distinct, mask)
        if row == distinct:
            distinct += 1
        store32(context[KEPT_OWNERS] + 4 * kept, load32(context[HASH_ITEM] + 4 * number))
        store32(context[KEPT_ROWS] + 4 * kept, row)
        kept += 1
    store64(counts + 8 * DISTINCT, distinct)
    store64(counts + 8 * KEPT, kept - first_kept)
    store64(counts + 8 * FIRST_BYTE, first_byte)
    store64(counts + 8 * FIRST_KEPT, first_kept)
    return distinct * width


@kernel
def take(context: Any) -> Any:
    """Decode the hashes that were read, each distinct value of a type once, and look them over.

    Type after type it writes the values to CODES, and for each hash that is whole its item to KEPT_OWNERS and the row
    of its value to KEPT_ROWS; for every hash what it is to FOUND; for every type, and last for what is of no type, its
    counts to COUNTS.
    """
    types = context[TYPES]
    for place in range(COUNTS_SIZE * (types + 1)):
        store64(context[COUNTS] + 8 * place, 0)
    for number in range(context[HASHES]):
        given = context[COUNTS] + 8 * (COUNTS_SIZE * load8(context[HASH_TYPE] + number) + GIVEN)
        store64(given, load64(given) + 1)
    first_byte, first_kept = 0, 0
    for type_ in range(types):
        counts = context[COUNTS] + 8 * COUNTS_SIZE * type_
        if load64(counts + 8 * GIVEN) > 0:
            first_byte += _take(context, type_, counts, first_byte, first_kept)
            first_kept += load64(counts + 8 * KEPT)


@inlined
def _copy(start: Any, size: Any, to: Any) -> Any:
    """Copy so many bytes, by words: up to seven more are read and written. Returns where the copy ends."""
    for i in range(0, size, 8):
        store64u(to + i, load64u(start + i))
    return to + size


@kernel
def write(parts: Any, spans: Any, comma: Any, head: Any, tail: Any, out: Any) -> Any:
    """Write answers that differ in nothing but their refs: for each the head, the ref and the tail.

    Args:
        parts: uint8: what stands between two, the head, the tail, and the body with the refs; then a word of NULs.
        spans: uint32 (items, 2): where in the body each ref begins and ends.
        comma, head, tail: the sizes of these parts.
        out: uint8, with room for all and a word more.

    Returns the number of bytes.
    """
    source, begin = np.int64(parts.ctypes.data), np.int64(out.ctypes.data)
    at = begin
    for item in range(len(spans)):
        if item:
            at = _copy(source, comma, at)
        at = _copy(source + comma, head, at)
        start = np.int64(spans[item, 0])
        at = _copy(source + comma + head + tail + start, np.int64(spans[item, 1]) - start, at)
        at = _copy(source + comma + head, tail, at)
    return at - begin
