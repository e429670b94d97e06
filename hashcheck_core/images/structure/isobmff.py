"""HEIF and AVIF: the boxes that say how many items there are (ISO/IEC 14496-12 and 23008-12)."""

from typing import Final

from hashcheck_core.images.structure.boxes import boxes
from hashcheck_core.images.structure.limits import MOST_BOXES, MOST_HEIF_ITEMS, hold

_NESTED: Final = {
    b"meta": 4,
    b"iprp": 0,
    b"ipco": 0,
    b"moov": 0,
    b"trak": 0,
}  # bytes before the first box in it
_COUNTS: Final = frozenset({b"iinf", b"iloc", b"ipma"})


def frames(data: bytes) -> int:
    """Always one: an AVIF decoder tells how long a sequence is, and of HEIF the primary picture stands for all."""
    found = 0
    places = [(0, len(data))]
    while places:
        for kind, start, end in boxes(data, *places.pop()):
            found += 1
            hold("boxes", found, MOST_BOXES)
            if kind in _NESTED:
                places.append((start + _NESTED[kind], end))
            elif kind in _COUNTS:
                hold("items", _count(kind, data[start : start + 12]), MOST_HEIF_ITEMS)
    return 1


def _count(kind: bytes, head: bytes) -> int:
    """How many the box says it has; its place in the box depends on the version."""
    version = head[0] if head else 0
    if kind == b"iinf":
        return int.from_bytes(head[4:8] if version else head[4:6])
    if kind == b"iloc":
        return int.from_bytes(head[6:10] if version == 2 else head[6:8])
    return int.from_bytes(head[4:8])
