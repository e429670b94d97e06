"""JPEG 2000: the grid of tiles and the layers (ITU-T T.800, annex A)."""

from typing import Final

from hashcheck_core.images.structure.boxes import boxes
from hashcheck_core.images.structure.limits import (
    MOST_BOXES,
    MOST_JPEG2000_LAYERS,
    MOST_JPEG2000_SEGMENTS,
    MOST_JPEG2000_TILES,
    hold,
)

_CODESTREAM: Final = b"\xff\x4f"
_CODING: Final = b"\xff\x52"
_DATA: Final = b"\xff\x93"


def frames(data: bytes) -> int:
    """Always one: there is no other."""
    if data.startswith(_CODESTREAM):
        _hold(data, 0)
        return 1
    for count, (kind, start, _) in enumerate(boxes(data, 0, len(data)), 1):
        hold("boxes", count, MOST_BOXES)
        if kind == b"jp2c":
            _hold(data, start)
            break
    return 1


def _hold(data: bytes, start: int) -> None:
    """Hold a codestream to the limits: its first marker segment has the sizes, one behind it the layers."""

    def number(place: int, size: int = 4) -> int:
        return int.from_bytes(data[start + place : start + place + size])

    tiles = 1
    for grid, tile, first in ((8, 24, 32), (12, 28, 36)):  # Xsiz, XTsiz, XTOsiz; Ysiz, YTsiz, YTOsiz
        tiles *= max(1, -(-(number(grid) - number(first)) // max(1, number(tile))))
    hold("tiles", tiles, MOST_JPEG2000_TILES)
    place, segments = 2, 0
    # Also of the first tile, which may say otherwise than the main header.
    while (marker := data[start + place : start + place + 2])[:1] == b"\xff" and marker != _DATA:
        segments += 1
        hold("segments", segments, MOST_JPEG2000_SEGMENTS)
        if marker == _CODING:
            hold("layers", number(place + 6, 2), MOST_JPEG2000_LAYERS)
        place += 2 + max(2, number(place + 2, 2))
