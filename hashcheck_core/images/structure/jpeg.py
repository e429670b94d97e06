"""JPEG: segments and scans (ITU-T T.81, annex B)."""

import re
from typing import Final

from hashcheck_core.images.structure.limits import (
    MOST_JPEG_JUNK,
    MOST_JPEG_SCANS,
    MOST_JPEG_SEGMENTS,
    hold,
)

_END: Final = 0xD9
_SCAN: Final = 0xDA
_ALONE: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})  # markers without a length
# The end of a scan's data: a marker that is neither a stuffed byte nor a restart.
_NEXT: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def frames(data: bytes) -> int:
    """Always one. Of the pictures behind the first nothing is said."""
    scans = segments = junk = 0
    place = 2
    while (marker := data.find(b"\xff", place)) >= 0 and marker + 1 < len(data):
        junk += marker - place
        kind = data[marker + 1]
        place = marker + 2
        if kind == 0xFF:  # padding
            junk += 1
            place -= 1
        elif kind == _END and scans:
            break
        elif kind not in _ALONE:
            segments += 1
            place += int.from_bytes(data[place : place + 2])
            if kind == _SCAN:
                scans += 1
                following = _NEXT.search(data, place)
                place = following.start() if following else len(data)
        hold("scans", scans, MOST_JPEG_SCANS)
        hold("segments", segments, MOST_JPEG_SEGMENTS)
        hold("bytes between its segments", junk, MOST_JPEG_JUNK)
    return 1
