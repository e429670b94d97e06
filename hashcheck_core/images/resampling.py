"""Resampling of a picture to a few samples as two matrix products: rows times picture times columns.

PDQ and pHash look at 64 by 64 and 32 by 32 samples, each a weighted mean of pixels around it. A filter that runs over
all pixels computes the mean around every one of them; here only the samples are computed, by one product for both
hashes. It knows nothing of hashes and of files.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PDQ_SIDE: Final = 64
PHASH_SIDE: Final = 32
_SUPPORT: Final = 3.0  # of Lanczos's filter, in samples


def samples(grey: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Of a grey picture, uint8 (height, width): PDQ's samples, float32 (64, 64), and pHash's, float32 (32, 32)."""
    height, width = grey.shape
    across = grey.astype(np.float32) @ np.concatenate((jarosz(width), lanczos(width))).T
    for_pdq = jarosz(height) @ across[:, :PDQ_SIDE]
    # Pillow's resampling keeps 8 bits between its two passes, and so does every pHash in use.
    for_phash = _whole(lanczos(height) @ _whole(across[:, PDQ_SIDE:]))
    return for_pdq, for_phash


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
