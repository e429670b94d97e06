"""PNG and APNG: chunks (W3C PNG, third edition, 5)."""

from typing import Final

from hashcheck_core.images.structure.limits import (
    MOST_FRAMES_COUNTED,
    MOST_PNG_IMAGE_CHUNKS,
    MOST_PNG_OTHER_CHUNKS,
    hold,
)

_OF_THE_IMAGE: Final = frozenset({b"IDAT", b"fdAT", b"fcTL"})


def frames(data: bytes) -> int:
    place, image, other, shown = 8, 0, 0, 1
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        if kind in _OF_THE_IMAGE:
            image += 1
        else:
            other += 1
        if kind == b"acTL":
            shown = max(shown, int.from_bytes(data[place + 8 : place + 12]))
        hold("chunks of image data", image, MOST_PNG_IMAGE_CHUNKS)
        hold("chunks", other, MOST_PNG_OTHER_CHUNKS)
        if kind == b"IEND":
            break
        place += 12 + length
    return min(shown, MOST_FRAMES_COUNTED)
