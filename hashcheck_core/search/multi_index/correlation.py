"""Which bits of a hash to put into which chunk, from the list itself.

Neighbouring bits of a perceptual hash say nearly the same. A chunk of such bits has few full buckets and many
empty ones, and a query that falls into a full one pays. So bits that correlate go to different chunks, and also
not next to each other on the ring, where the signature of one chunk comes from. Pure.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.search.multi_index.layout import Layout

SAMPLE_ROWS = 20_000
_NOTICEABLE = 4.0  # times the squared correlation that pure chance leaves in a sample


def choose_permutation(sample: NDArray[np.uint8], layout: Layout) -> tuple[int, ...] | None:
    """The permutation of bits for `layout`, from sample rows uint8 (k, bits / 8); None where bits are independent."""
    bits = np.unpackbits(sample, axis=1, bitorder="little").astype(np.float32)
    share = bits.mean(axis=0)
    scaled = (bits - share) / np.maximum(bits.std(axis=0), 1e-6)
    squared = (scaled.T @ scaled / max(len(scaled), 1)) ** 2
    np.fill_diagonal(squared, 0)
    balanced = bool(np.abs(share - 0.5).max() < 0.1) if len(sample) else True
    if len(sample) < 2 or (balanced and squared.mean() < _NOTICEABLE / len(sample)):
        return None
    chunks = _spread(squared, layout)
    # Within a chunk the most even bits come first: they are its address, and an even bit halves a bucket best.
    return tuple(
        bit for chunk in chunks for bit in sorted(chunk, key=lambda bit: (abs(share[bit] - 0.5), bit))
    )


def _spread(squared: NDArray[np.floating[Any]], layout: Layout) -> list[list[int]]:
    """Greedy: the most correlated bit first, each to the chunk with whose bits it has least in common."""
    m = len(layout.widths)
    chunks: list[list[int]] = [[] for _ in range(m)]
    common = np.zeros((m, layout.bits))
    free = np.array(layout.widths)
    ring = np.arange(m)
    for bit in np.argsort(-squared.sum(axis=1), kind="stable").tolist():
        score = common[:, bit].copy()
        if m > 2:
            score += 0.5 * (common[(ring + 1) % m, bit] + common[(ring - 1) % m, bit])
        score -= 1e-9 * free / np.array(layout.widths)  # equal scores: where there is most room
        score[free == 0] = np.inf
        chosen = int(np.argmin(score))
        chunks[chosen].append(bit)
        free[chosen] -= 1
        common[chosen] += squared[bit]
    return chunks
