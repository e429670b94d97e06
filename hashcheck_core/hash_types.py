"""Hash types, and hashes as values: type and bytes always travel together.

It does not compute hashes (see `hashcheck_core.images`) and does not search for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from hashcheck_core.errors import ConfigError, HashError, UnknownHashTypeError


class HashKind(StrEnum):
    EXACT = "exact"
    PERCEPTUAL = "perceptual"


MIN_PERCEPTUAL_BITS: Final = 64  # below this, chance alone matches too much to accuse anyone
MAX_PERCEPTUAL_BITS: Final = 512
MAX_EXACT_BITS: Final = 512


@dataclass(frozen=True, slots=True)
class HashType:
    """A kind of hash the system knows.

    `bits` is the width; `radius` the default largest Hamming distance (bits) that still is a match, 0 for
    exact types; `min_quality` the least producer quality (0 to 100) at which a hash says anything about its
    picture, or None where the type has no quality.
    """

    name: str
    bits: int
    kind: HashKind
    radius: int = 0
    min_quality: int | None = None

    def __post_init__(self) -> None:
        low, high = (
            (MIN_PERCEPTUAL_BITS, MAX_PERCEPTUAL_BITS)
            if self.kind is HashKind.PERCEPTUAL
            else (64, MAX_EXACT_BITS)
        )
        if self.bits % 8 or not low <= self.bits <= high:
            raise ConfigError(
                f"Hash type {self.name!r} has {self.bits} bits.",
                next_step=f"Give a multiple of 8 from {low} to {high}.",
            )
        if not 0 <= self.radius <= self.max_radius:
            raise ConfigError(
                f"Hash type {self.name!r} has radius {self.radius}.",
                next_step="Exact types have radius 0; perceptual types at most a quarter of their bits.",
            )

    @property
    def max_radius(self) -> int:
        """The largest radius that still means anything, in bits: a quarter of them, 0 for exact types."""
        return 0 if self.kind is HashKind.EXACT else self.bits // 4

    @property
    def bytes(self) -> int:
        return self.bits // 8


def _built_in(*types: HashType) -> Mapping[str, HashType]:
    return MappingProxyType({t.name: t for t in types})


# Radii: PDQ 31 is the reference's advice (ThreatExchange pdq/README). For 64-bit hashes 4, not the customary
# 10: at 10 M listed hashes radius 10 matches one query in ten by chance alone, radius 4 one in 2.5 million.
BUILT_IN_TYPES: Final = _built_in(
    HashType("md5", 128, HashKind.EXACT),
    HashType("sha1", 160, HashKind.EXACT),
    HashType("sha256", 256, HashKind.EXACT),
    HashType("pdq", 256, HashKind.PERCEPTUAL, radius=31, min_quality=50),
    HashType("phash", 64, HashKind.PERCEPTUAL, radius=4),
)


def find_type(name: str, types: Mapping[str, HashType] = BUILT_IN_TYPES) -> HashType:
    """The hash type called `name`; raises UnknownHashTypeError."""
    try:
        return types[name]
    except KeyError:
        raise UnknownHashTypeError(
            "The hash type is not known.", next_step=f"Use one of: {', '.join(sorted(types))}."
        ) from None


@dataclass(frozen=True, slots=True)
class Hash:
    """One hash: its type and its bytes, most significant byte first as the hex form reads."""

    type: HashType
    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != self.type.bytes:
            raise HashError(
                f"A {self.type.name} hash has {self.type.bytes} bytes, not {len(self.value)}.",
                next_step="Send the whole hash.",
            )

    @classmethod
    def from_hex(cls, hash_type: HashType, text: str) -> Self:
        """Read hex digits in any case; anything else, white space too, raises HashError."""
        return cls(hash_type, parse_hex(hash_type, text))

    def hex(self) -> str:
        return self.value.hex()


def parse_hex(hash_type: HashType, text: str) -> bytes:
    """The bytes of a hash written in hex; raises HashError.

    `bytes.fromhex` skips white space, so the number of characters is checked beside the number of bytes.
    """
    expected = hash_type.bits // 4
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(text) != expected or len(value) != hash_type.bytes:
        raise HashError(
            f"A {hash_type.name} hash is {expected} hex digits and nothing else.",
            next_step="Check for a cut or padded value, white space, or another encoding.",
        )
    return value
