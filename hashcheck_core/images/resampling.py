"""Resampling of a picture to a few samples as matrix products: rows times picture times columns.

PDQ and pHash look at 64 by 64 and 32 by 32 samples, each a weighted mean of pixels around it. A filter that runs over
all pixels computes the mean around every one of them; here only the samples are computed. A sample sees only the pixels
near it, so the product across the picture is made of narrow ones, a few samples with the pixels they see. It knows
nothing of hashes and of files.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PDQ_SIDE: Final = 64
PHASH_SIDE: Final = 32
_SUPPORT: Final = 3.0  # of Lanczos's filter, in samples
# A product of fewer samples, or over fewer pixels, costs more to call than it saves.
_LEAST_SAMPLES: Final = 4
_LEAST_PIXELS: Final = 80
_ROWS: Final = 256  # brought to floats at a time, to stay in the cache


def samples(grey: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Of a grey picture, uint8 (height, width): PDQ's samples, float32 (64, 64), and pHash's, float32 (32, 32)."""
    height, width = grey.shape
    across_pdq = np.empty((height, PDQ_SIDE), np.float32)
    across_phash = np.empty((height, PHASH_SIDE), np.float32)
    for top in range(0, height, _ROWS):
        rows = grey[top : top + _ROWS].astype(np.float32)
        for across, weights in ((across_pdq, jarosz), (across_phash, lanczos)):
            for some, seen, band in _bands(weights, width):
                np.matmul(rows[:, seen], band, out=across[top : top + _ROWS, some])
    for_pdq = jarosz(height) @ across_pdq
    # Pillow's resampling keeps 8 bits between its two passes, and so does every pHash in use.
    for_phash = _whole(lanczos(height) @ _whole(across_phash))
    return for_pdq, for_phash


@lru_cache(256)
def _bands(weights: Callable[[int], Floats], pixels: int) -> list[tuple[slice, slice, Floats]]:
    """`weights` of so many pixels cut up: a few samples, the pixels they see, and (pixels, samples) the weights."""
    whole = weights(pixels)
    few = _LEAST_SAMPLES
    while few * pixels < _LEAST_PIXELS * len(whole):
        few *= 2
    bands = []
    for first in range(0, len(whole), few):
        part = whole[first : first + few]
        seen = np.flatnonzero(part.any(axis=0))
        near = slice(int(seen[0]), int(seen[-1]) + 1)
        bands.append((slice(first, first + few), near, np.ascontiguousarray(part[:, near].T)))
    return bands


@lru_cache(256)
def jarosz(pixels: int) -> Floats:
    """(64, pixels): a box filter over a 128th of the pixels, twice, at the middle of each 64th.

    Source: pdq/cpp/downscaling and pdq/cpp/hashing/pdqhashing.cpp of ThreatExchange (box1DFloat, decimateFloat). At
    the ends the box is cut, and the mean is over what is left of it.
    """
    box = (pixels + 2 * PDQ_SIDE - 1) // (2 * PDQ_SIDE)
    ahead = (box + 2) // 2
    place = np.arange(pixels)
    first, last = np.maximum(0, place + ahead - box), np.minimum(pixels, place + ahead)
    middles = ((np.arange(PDQ_SIDE) + 0.5) * pixels / PDQ_SIDE).astype(np.int64)
    weights = np.zeros((PDQ_SIDE, pixels))
    for sample, middle in enumerate(middles):
        for near in range(first[middle], last[middle]):
            weights[sample, first[near] : last[near]] += 1.0 / (last[near] - first[near])
        weights[sample] /= last[middle] - first[middle]
    return weights.astype(np.float32)


@lru_cache(256)
def lanczos(pixels: int) -> Floats:
    """(32, pixels): what Pillow's Image.resize with Resampling.LANCZOS multiplies by (src/libImaging/Resample.c)."""
    scale = pixels / PHASH_SIDE
    stretch = max(scale, 1.0)
    place = np.arange(pixels)
    weights = np.zeros((PHASH_SIDE, pixels))
    for sample in range(PHASH_SIDE):
        middle = (sample + 0.5) * scale
        first = max(0, int(middle - _SUPPORT * stretch + 0.5))
        last = min(pixels, int(middle + _SUPPORT * stretch + 0.5))
        x = (place[first:last] - middle + 0.5) / stretch
        near = np.where(np.abs(x) < _SUPPORT, np.sinc(x) * np.sinc(x / _SUPPORT), 0.0)
        weights[sample, first:last] = near / near.sum()
    return weights.astype(np.float32)


def _whole(values: Floats) -> Floats:
    """Rounded to the nearest of 0 to 255."""
    rounded: Floats = np.clip(np.floor(values + np.float32(0.5)), 0, 255)
    return rounded
