"""Hashes of pictures and of bytes.

PDQ is that of the reference (ThreatExchange pdq/cpp, through its Python bindings, beside which tests lay it) but for
the order in which sums are rounded: 0 to 2 bits differ, at a tenth of the time. Where images differ by decoder,
conforming implementations may differ by up to 10 bits at quality 80 and above (pdq/README). pHash is that of the
Python library imagehash. md5, sha1 and sha256 are hashlib's. It does not decode (see `decoder`).
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash
from hashcheck_core.images.resampling import PDQ_SIDE, PHASH_SIDE, samples

# In the order of the reference implementation, each beside what makes it of the picture: whether rows and columns
# change places, and then whether the order of rows, and of columns, is turned round.
_TURNS: Final = {
    "original": (False, False, False),
    "rotate_90": (True, True, False),
    "rotate_180": (False, True, True),
    "rotate_270": (True, False, True),
    "flip_vertical": (False, True, False),
    "flip_horizontal": (False, False, True),
    "rotate_90_flip_vertical": (True, False, False),
    "rotate_90_flip_horizontal": (True, True, True),
}
DIHEDRAL: Final = tuple(_TURNS)
_LOWEST: Final = 16  # of PDQ's frequencies in each direction, without the constant one


def _cosines(frequencies: range, side: int) -> NDArray[np.float64]:
    """(frequencies, side): the rows of a discrete cosine transform."""
    return np.cos(np.pi / 2 / side * np.outer(list(frequencies), 2 * np.arange(side) + 1))


_PDQ_DCT: Final = np.sqrt(2 / PDQ_SIDE) * _cosines(range(1, _LOWEST + 1), PDQ_SIDE)
_PHASH_DCT: Final = 2 * _cosines(range(8), PHASH_SIDE)


@dataclass(frozen=True, slots=True)
class ImageHash:
    """A computed hash. `quality` is 0 to 100 for types that have one; `transform` is one of DIHEDRAL."""

    hash: Hash
    quality: int | None = None
    transform: str = DIHEDRAL[0]


def hash_bytes(data: bytes) -> list[ImageHash]:
    """md5, sha1 and sha256 of `data`, in this order."""
    digests = (
        ("md5", hashlib.md5(data, usedforsecurity=False)),
        ("sha1", hashlib.sha1(data, usedforsecurity=False)),
        ("sha256", hashlib.sha256(data)),
    )
    return [ImageHash(Hash(BUILT_IN_TYPES[name], digest.digest())) for name, digest in digests]


def hash_picture(picture: Image.Image, *, dihedral: bool = False) -> list[ImageHash]:
    """PDQ (one hash, or with `dihedral` all eight) and then pHash of a grey or RGB image."""
    for_pdq, for_phash = samples(_grey(picture))
    return [*_pdq(for_pdq, dihedral=dihedral), _phash(for_phash)]


def pdq(picture: Image.Image, *, dihedral: bool = False) -> list[ImageHash]:
    """256-bit PDQ with its quality; with `dihedral` the hashes of all eight rotations and flips."""
    return _pdq(samples(_grey(picture))[0], dihedral=dihedral)


def phash(picture: Image.Image) -> ImageHash:
    """64-bit DCT pHash, bits in the order of imagehash's own hex form."""
    return _phash(samples(_grey(picture))[1])


def _grey(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture if picture.mode == "L" else picture.convert("L"))


def _pdq(luma: NDArray[np.float32], *, dihedral: bool) -> list[ImageHash]:
    quality = _pdq_quality(luma)
    hashes = []
    for name in DIHEDRAL if dihedral else DIHEDRAL[:1]:
        swap, rows, columns = _TURNS[name]
        turned = luma.T if swap else luma
        turned = turned[:: -1 if rows else 1, :: -1 if columns else 1]
        spectrum = _PDQ_DCT @ turned.astype(np.float64) @ _PDQ_DCT.T
        # The reference's median is the 128th of the 256, and its first bit is the last of its hex form.
        bits = (spectrum > np.partition(spectrum, 127, axis=None)[127]).ravel()[::-1]
        value = np.packbits(bits).tobytes()
        hashes.append(ImageHash(Hash(BUILT_IN_TYPES["pdq"], value), quality, name))
    return hashes


def _pdq_quality(luma: NDArray[np.float32]) -> int:
    """How much the picture varies, 0 to 100: pdqImageDomainQualityMetric of the reference."""
    steps = 0
    for axis in (0, 1):
        steps += int(np.abs(np.trunc(np.diff(luma, axis=axis) * 100 / 255)).sum())
    return min(100, steps // 90)


def _phash(grey: NDArray[np.float32]) -> ImageHash:
    spectrum = _PHASH_DCT @ grey.astype(np.float64) @ _PHASH_DCT.T
    bits = spectrum > np.median(spectrum)
    return ImageHash(Hash(BUILT_IN_TYPES["phash"], np.packbits(bits).tobytes()))
