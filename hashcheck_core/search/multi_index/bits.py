"""Permuting the bits of a hash, and cutting runs of bits from it. Pieces of the kernels."""

from typing import Any

import numpy as np

from hashcheck_core.search.multi_index.intrinsics import load8, load64u, store64u
from hashcheck_core.search.multi_index.jit import inlined


@inlined
def permute(source: Any, width: Any, table: Any, words: Any, target: Any) -> Any:
    """Permute the hash of `width` bytes at address `source` into `words` words at `target`.

    `table` is the address of Layout.byte_table(): a look-up a byte instead of a move a bit.
    """
    if words == 4:
        a = np.uint64(0)
        b = np.uint64(0)
        c = np.uint64(0)
        d = np.uint64(0)
        for byte in range(width):
            image = table + 32 * (256 * byte + load8(source + byte))
            a |= load64u(image)
            b |= load64u(image + 8)
            c |= load64u(image + 16)
            d |= load64u(image + 24)
        store64u(target, a)
        store64u(target + 8, b)
        store64u(target + 16, c)
        store64u(target + 24, d)
        return
    for word in range(words):
        value = np.uint64(0)
        for byte in range(width):
            value |= load64u(table + 8 * (words * (256 * byte + load8(source + byte)) + word))
        store64u(target + 8 * word, value)


@inlined
def cut(permuted: Any, place: Any, count: Any, bits: Any) -> Any:
    """`count` (<= 32) bits from `place` on, around the ring of `bits`, of the whole words at `permuted`."""
    if place >= bits:
        place -= bits
    word = place >> 6
    shift = place & 63
    value = load64u(permuted + 8 * word) >> np.uint64(shift)
    if shift + count > 64 and (word + 1) * 64 < bits:
        value |= load64u(permuted + 8 * word + 8) << np.uint64(64 - shift)
    if place + count > bits:
        have = bits - place
        value = (value & ((np.uint64(1) << np.uint64(have)) - np.uint64(1))) | (
            load64u(permuted) << np.uint64(have)
        )
    return np.int64(value & ((np.uint64(1) << np.uint64(count)) - np.uint64(1)))
