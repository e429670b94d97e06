"""Boxes, of which HEIF, AVIF and JP2 files are made (ISO/IEC 14496-12, 4.2)."""

from collections.abc import Iterator


def boxes(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and first and last place of the content, of the boxes that lie there side by side."""
    while place + 8 <= end:
        length, kind, head = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[place + 8 : place + 16]), 16
        elif length == 0:  # to the end
            length = end - place
        if length < head:
            return
        yield kind, place + head, min(end, place + length)
        place += length
