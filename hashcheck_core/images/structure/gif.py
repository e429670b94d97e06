"""GIF: blocks (GIF89a specification, 17 to 27)."""

from typing import Final

from hashcheck_core.images.structure.limits import MOST_FRAMES_COUNTED, MOST_GIF_BLOCKS, hold

_IMAGE: Final = 0x2C
_EXTENSION: Final = 0x21
_TRAILER: Final = 0x3B


def frames(data: bytes) -> int:
    """The images in it. What cannot be read counts as one more: another program may see something in it."""
    place, images, blocks = 13 + _colours(data, 10), 0, 0
    while place < len(data) and images < MOST_FRAMES_COUNTED:
        kind = data[place]
        if kind == _TRAILER:
            break
        if kind == _IMAGE:
            images += 1
            place += 11 + _colours(data, place + 9)
        elif kind == _EXTENSION:
            place += 2
        elif kind == 0:  # an end too many, as some encoders write; decoders step over it
            blocks += 1
            hold("blocks", blocks, MOST_GIF_BLOCKS)
            place += 1
            continue
        else:
            images += 1
            break
        while place < len(data) and (length := data[place]):
            place += 1 + length
            blocks += 1
            hold("blocks", blocks, MOST_GIF_BLOCKS)
        place += 1
    return max(1, images)


def _colours(data: bytes, flags: int) -> int:
    """Bytes of the colour table that is announced there."""
    given = data[flags] if flags < len(data) else 0
    return 3 << ((given & 7) + 1) if given & 0x80 else 0
