"""The buckets to look at for one radius: what is the same for every query, laid out as the kernels read it."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.search.multi_index.layout import Layout

GROUP_PROBES = 64  # most probes of a group: what one stage of the kernel's pipeline handles at once
_LINE_BITS = 4  # 16 offsets of 4 bytes share a cache line


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """groups: int64 (g, 8): chunk, first probe, probes, start, address bits, table start, T, lines << 32 | first line.

    probes: uint32 (p, 2): what to XOR an address with, and how many bits that turns; ascending within a chunk.
    lines: uint32 (l, 2): the cache lines of offsets the probes fall on: their XOR, and the turns left for the low bits.
    limits: int64 (2, m): t_c and T_c of each chunk.
    """

    groups: NDArray[np.int64]
    probes: NDArray[np.uint32]
    lines: NDArray[np.uint32]
    limits: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Buckets looked at for a query."""
        return int(self.groups[:, 2].sum())

    def entries(self, rows: int) -> float:
        """Signatures compared for a query over uniform rows."""
        return float((self.groups[:, 2] * (rows / 2.0 ** self.groups[:, 4])).sum())


def plan_probes(layout: Layout, radii: tuple[int, ...]) -> ProbePlan:
    """The probes of every chunk with a radius of 0 or more, in groups that begin at cache lines of offsets."""
    thresholds = layout.thresholds(radii)
    groups: list[tuple[int, ...]] = []
    probes: list[NDArray[np.uint32]] = []
    lines: list[NDArray[np.uint32]] = []
    first_probe = first_line = 0
    known: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
    for chunk, (address, radius) in enumerate(zip(layout.address, radii, strict=True)):
        if radius < 0:
            continue
        if (address, radius) not in known:
            masks = _masks(address, radius)
            new_line = np.flatnonzero(np.diff(masks >> _LINE_BITS, prepend=-1))
            heads = masks[new_line] & ~np.int64(15)
            known[address, radius] = [
                (first_probe + start, size, first_line + line, count)
                for start, size, line, count in _cut(len(masks), new_line)
            ]
            probes.append(np.stack([masks, np.bitwise_count(masks)], axis=1).astype(np.uint32))
            lines.append(np.stack([heads, radius - np.bitwise_count(heads)], axis=1).astype(np.uint32))
            first_probe += len(masks)
            first_line += len(new_line)
        where = (layout.starts[chunk], address, layout.table_starts[chunk], thresholds[chunk])
        groups += [
            (chunk, start, size, *where, count << 32 | line)
            for start, size, line, count in known[address, radius]
        ]
    return ProbePlan(
        np.array(groups, np.int64),
        np.concatenate(probes),
        np.concatenate(lines),
        np.array([radii, thresholds], np.int64),
    )


def _masks(bits: int, radius: int) -> NDArray[np.int64]:
    """All numbers of `bits` bits with at most `radius` ones, ascending."""
    chosen = (c for ones in range(radius + 1) for c in itertools.combinations(range(bits), ones))
    return np.array(sorted(sum(1 << bit for bit in bits_) for bits_ in chosen), np.int64)


def _cut(probes: int, new_line: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    """(first probe, probes, first line, lines) of even groups of at most GROUP_PROBES that begin at a line."""
    ends = np.append(new_line, probes)
    groups = -(-probes // GROUP_PROBES)
    while True:
        wanted = [int(np.searchsorted(new_line, probes * i // groups)) for i in range(1, groups)]
        cuts = sorted({0, len(new_line), *wanted})
        made = [(int(ends[a]), int(ends[b] - ends[a]), a, b - a) for a, b in itertools.pairwise(cuts)]
        if all(size <= GROUP_PROBES for _, size, _, _ in made):
            return made
        groups += 1
