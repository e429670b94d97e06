"""Hashes that say nothing about a picture: almost all bits equal, or the digest of an empty file.

Blank pages, solid colours and failed decodes all end in such hashes. On a list one of them accuses every
blank picture in the world; in a query it proves nothing. It does not look at PDQ quality, which is not part
of the hash itself.
"""

import hashlib
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.hash_types import HashKind, HashType

# A perceptual hash with fewer ones or zeros than 1/16 of its bits is degenerate. For 64 bits that is the
# calibrated "fewer than 4 or more than 60 ones" for blank pages; a PDQ hash is cut at its own median and so
# has about 128 ones of 256 unless the picture is flat.
_DEGENERATE_SHARE: Final = 16

EMPTY_FILES: Final = MappingProxyType(
    {
        "md5": hashlib.md5(b"", usedforsecurity=False).digest(),
        "sha1": hashlib.sha1(b"", usedforsecurity=False).digest(),
        "sha256": hashlib.sha256(b"").digest(),
    }
)


def margin(hash_type: HashType) -> int:
    """How many ones and how many zeros a hash of this type must have, or it is degenerate; 0 for exact types."""
    return 0 if hash_type.kind is HashKind.EXACT else hash_type.bits // _DEGENERATE_SHARE


def is_degenerate(hash_type: HashType, value: bytes) -> bool:
    """True for a perceptual hash that is nearly all zeros or all ones. `value`: hash_type.bytes bytes."""
    if hash_type.kind is HashKind.EXACT:
        return False
    ones = int.from_bytes(value).bit_count()
    least = margin(hash_type)
    return not least <= ones <= hash_type.bits - least


def any_degenerate(hash_type: HashType, codes: NDArray[np.uint8]) -> bool:
    """Whether any of `codes`, uint8 (n, hash_type.bytes), is degenerate."""
    if hash_type.kind is HashKind.EXACT:
        return False
    if len(codes) == 1:
        return is_degenerate(hash_type, codes.tobytes())
    words = codes.view(np.uint64) if hash_type.bytes % 8 == 0 else codes
    ones = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    least = margin(hash_type)
    return bool(((ones < least) | (ones > hash_type.bits - least)).any())


def is_empty_file(hash_type: HashType, value: bytes) -> bool:
    """True for the md5, sha1 or sha256 of zero bytes."""
    return EMPTY_FILES.get(hash_type.name) == value
