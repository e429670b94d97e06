"""TIFF and BigTIFF: directories and their tags (TIFF 6.0, section 2)."""

from typing import Final, Literal

from hashcheck_core.errors import ImageTooComplexError
from hashcheck_core.images.structure.limits import (
    MOST_FRAMES_COUNTED,
    MOST_TIFF_STRIPS,
    MOST_TIFF_TAGS,
    hold,
)

_BYTES_OF_TYPE: Final = {
    3: 2,
    4: 4,
    5: 8,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}  # else 1
_OFFSETS: Final = frozenset({273, 324})  # of strips, of tiles


def frames(data: bytes) -> int:
    """The pages. The tags of the first are held to the limits: a decoder reads no other."""
    reader = _Reader(data)
    page = reader.number(8 if reader.big else 4, reader.word)
    seen: set[int] = set()
    while 0 < page < len(data) and page not in seen and len(seen) < MOST_FRAMES_COUNTED:
        tags = reader.number(page, reader.count_bytes)
        if not seen:
            _hold_tags(reader, page, tags)
        seen.add(page)
        page = reader.number(page + reader.count_bytes + tags * reader.tag_bytes, reader.word)
    return max(1, len(seen))


class _Reader:
    """Numbers of a file in its own order of bytes, and the sizes of what its directories are made of."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.big = data[2:3] == b"+"  # BigTIFF, as Pillow tells it
        self.word = 8 if self.big else 4
        self.count_bytes, self.tag_bytes = (8, 20) if self.big else (2, 12)
        self._order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"

    def number(self, place: int, size: int) -> int:
        return int.from_bytes(self.data[place : place + size], self._order)


def _hold_tags(reader: _Reader, page: int, tags: int) -> None:
    hold("tags", tags, MOST_TIFF_TAGS)
    used = 0
    for tag in range(tags):
        place = page + reader.count_bytes + tag * reader.tag_bytes
        count = reader.number(place + 4, reader.word)
        used += count * _BYTES_OF_TYPE.get(reader.number(place + 2, 2), 1)
        if reader.number(place, 2) in _OFFSETS:
            hold("strips or tiles", count, MOST_TIFF_STRIPS)
    # Tags that share bytes make a decoder read the same megabytes a thousand times.
    if used > len(reader.data):
        raise ImageTooComplexError(
            "The tags of the picture claim more bytes than the file has.",
            next_step="Save it anew with an ordinary program, or hash it on your side and send the hashes.",
        )
