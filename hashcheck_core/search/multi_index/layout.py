"""Which bits of a hash make which chunk, and the radii at which no neighbour is lost. Pure.

The bits are put in the order of a permutation and cut into m chunks, in a ring: after the last comes the first.
A chunk's first `address` bits choose its bucket; the `signature_bits` that follow them on the ring (into the next
chunks, where the chunk is used up) are kept beside each row number.

Why nothing is lost: let the chunks have radii t_c with sum(t_c + 1) = r + 1, and let d_c be the distance of two
hashes within chunk c. If the whole distance is at most r, then sum(d_c - t_c - 1) <= -1, and by the cycle lemma
there is a chunk from which on every prefix sum around the ring is <= -1: d_c <= t_c, d_c + d_c+1 <= t_c + t_c+1
+ 1, and so on (the pigeonring principle, Qin and Xiao 2018, here with the integer radii of Qin et al. 2018).
Address and signature are such a prefix of the ring, so for at least one chunk c of every true neighbour
distance(address) <= t_c and distance(address) + distance(signature) <= T_c, with T_c = sum of (t + 1) over the
chunks that address and signature reach into, less one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.errors import SnapshotFormatError

ENGINE_NAME: Final = "multi_index"
MAX_CHUNKS: Final = 64
MAX_ADDRESS_BITS: Final = 28  # a table of 2^28 offsets is a gibibyte
MAX_CHUNK_RADIUS: Final = 3  # beyond it the probes of one chunk outgrow a flat scan
SPARE_ROWS: Final = 64  # kernels read up to 63 signatures past the last one
_LINE: Final = 16  # offsets in a cache line


@dataclass(frozen=True, slots=True)
class Layout:
    """m chunks of `widths` bits (their sum is `bits`), of which `address` bits choose the bucket.

    `radius` and `radii` are what it was planned for; `permutation[i]` is the bit of the hash (0 is the least
    significant of byte 0) that stands at place i, or None where bits stay in place. Raises ValueError for an
    impossible layout.
    """

    bits: int
    widths: tuple[int, ...]
    address: tuple[int, ...]
    radii: tuple[int, ...]
    radius: int
    signature_bits: int
    permutation: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        m = len(self.widths)
        possible = (
            64 <= self.bits <= 512
            and self.bits % 8 == 0
            and 1 <= m <= MAX_CHUNKS
            and len(self.address) == len(self.radii) == m
            and sum(self.widths) == self.bits
            and all(
                1 <= a <= min(w, MAX_ADDRESS_BITS) for a, w in zip(self.address, self.widths, strict=True)
            )
            and all(
                -1 <= t <= min(a, MAX_CHUNK_RADIUS) for t, a in zip(self.radii, self.address, strict=True)
            )
            and sum(t + 1 for t in self.radii) == self.radius + 1
            and 8 <= self.signature_bits <= 16
            and self.signature_bits + max(self.address) <= self.bits
            and (self.permutation is None or sorted(self.permutation) == list(range(self.bits)))
        )
        if not possible:
            raise ValueError("an impossible layout of chunks")

    @property
    def starts(self) -> list[int]:
        """The first place of each chunk."""
        return [sum(self.widths[:c]) for c in range(len(self.widths))]

    @property
    def table_starts(self) -> list[int]:
        """Where each chunk's table begins among all bucket offsets; the last value is how many there are."""
        sizes = [-(-((1 << a) + 1) // _LINE) * _LINE for a in self.address]
        return [sum(sizes[:c]) for c in range(len(sizes) + 1)]

    def stride(self, rows: int) -> int:
        """Entries from one chunk's signatures to the next: rows, some to spare, to whole cache lines."""
        return -(-(rows + SPARE_ROWS) // 32) * 32

    def holds(self, rows: int) -> bool:
        """Whether a row number fits: 24 bits beside the signature and what the signature leaves of its 16."""
        return rows <= 1 << (24 + 16 - self.signature_bits)

    def radii_for(self, radius: int) -> tuple[int, ...] | None:
        """Radii for another radius than the planned one; None where probing would not pay (scan instead).

        Each step goes to the chunk where it costs the fewest more probes.
        """
        if radius == self.radius:
            return self.radii
        radii = [-1] * len(self.widths)
        for _ in range(radius + 1):
            costs = [
                (math.comb(a, t + 1) if t < min(a, MAX_CHUNK_RADIUS) else math.inf, -a, c)
                for c, (a, t) in enumerate(zip(self.address, radii, strict=True))
            ]
            cost, _, cheapest = min(costs)
            if cost == math.inf:
                return None
            radii[cheapest] += 1
        return tuple(radii)

    def thresholds(self, radii: Sequence[int]) -> list[int]:
        """T_c of each chunk: the largest distance of address and signature together; see the module."""
        m = len(self.widths)
        thresholds = []
        for c in range(m):
            reach, covered, total, at = self.address[c] + self.signature_bits, 0, 0, c
            while covered < reach:
                total += radii[at % m] + 1
                covered += self.widths[at % m]
                at += 1
            thresholds.append(total - 1)
        return thresholds

    def byte_table(self) -> NDArray[np.uint64]:
        """uint64 (bits / 8, 256, words): what each value of each byte becomes in the permuted words."""
        words = -(-self.bits // 64)
        table = np.zeros((self.bits // 8, 256, words), np.uint64)
        values = np.arange(256)
        for place, bit in enumerate(self.permutation or range(self.bits)):
            has_bit = (values >> (bit & 7)) & 1 == 1
            table[bit >> 3, has_bit, place >> 6] |= np.uint64(1 << (place & 63))
        return table

    def chunk_table(self, chunk: int) -> NDArray[np.uint64]:
        """uint64 (bits / 8, 256): what each value of each byte adds to a chunk's key.

        A key is the chunk's address bits, and above them its signature bits.
        """
        table = np.zeros((self.bits // 8, 256), np.uint64)
        values = np.arange(256)
        for key_bit in range(self.address[chunk] + self.signature_bits):
            place = (self.starts[chunk] + key_bit) % self.bits
            bit = place if self.permutation is None else self.permutation[place]
            table[bit >> 3, (values >> (bit & 7)) & 1 == 1] |= np.uint64(1 << key_bit)
        return table

    def parameters(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return {
            "widths": list(self.widths),
            "address": list(self.address),
            "radii": list(self.radii),
            "radius": self.radius,
            "signature_bits": self.signature_bits,
            "permutation": None if self.permutation is None else list(self.permutation),
        }

    @classmethod
    def of_parameters(cls, bits: int, parameters: dict[str, Any]) -> Self:
        """Read what `parameters` wrote; raises SnapshotFormatError for anything else."""
        try:
            permutation = parameters["permutation"]
            return cls(
                bits=bits,
                widths=_integers(parameters["widths"]),
                address=_integers(parameters["address"]),
                radii=_integers(parameters["radii"]),
                radius=_integers([parameters["radius"]])[0],
                signature_bits=_integers([parameters["signature_bits"]])[0],
                permutation=None if permutation is None else _integers(permutation),
            )
        except (KeyError, TypeError, ValueError):
            raise SnapshotFormatError(
                "The snapshot describes a multi-index that cannot be.",
                next_step="Build the snapshot again, with an index-builder of this version.",
            ) from None


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > 512 or not all(type(v) is int for v in values):
        raise TypeError("not a list of integers")
    return tuple(values)
