"""Hashes of pictures and of bytes.

PDQ by the bindings of the reference C++ code, pHash by imagehash; md5, sha1 and sha256 by hashlib. Where
images differ by decoder, PDQ of conforming implementations may differ by up to 10 bits at quality 80 and
above (ThreatExchange pdq/README). It does not decode (see `decoder`).
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import imagehash
import numpy as np
import pdqhash
from PIL import Image

from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash

# The order of pdqhash.compute_dihedral, which is that of the reference implementation.
DIHEDRAL: Final = (
    "original",
    "rotate_90",
    "rotate_180",
    "rotate_270",
    "flip_vertical",
    "flip_horizontal",
    "rotate_90_flip_vertical",
    "rotate_90_flip_horizontal",
)


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


def hash_picture(rgb: Image.Image, *, dihedral: bool = False) -> list[ImageHash]:
    """PDQ (one hash, or with `dihedral` all eight) and then pHash of an RGB image."""
    return [*pdq(rgb, dihedral=dihedral), phash(rgb)]


def pdq(rgb: Image.Image, *, dihedral: bool = False) -> list[ImageHash]:
    """256-bit PDQ with its quality; with `dihedral` the hashes of all eight rotations and flips."""
    pixels = np.asarray(rgb)
    if dihedral:
        vectors, quality = pdqhash.compute_dihedral(pixels)
    else:
        vector, quality = pdqhash.compute(pixels)
        vectors = [vector]
    return [
        ImageHash(Hash(BUILT_IN_TYPES["pdq"], np.packbits(vector).tobytes()), int(quality), name)
        for name, vector in zip(DIHEDRAL, vectors, strict=False)
    ]


def phash(rgb: Image.Image) -> ImageHash:
    """64-bit DCT pHash, bits in the order of imagehash's own hex form."""
    bits = imagehash.phash(rgb).hash
    return ImageHash(Hash(BUILT_IN_TYPES["phash"], np.packbits(bits).tobytes()))
