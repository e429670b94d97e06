"""WebP: chunks (RFC 9649, section 2)."""

from hashcheck_core.images.structure.limits import MOST_FRAMES_COUNTED, MOST_WEBP_CHUNKS, hold


def frames(data: bytes) -> int:
    place, chunks, shown = 12, 0, 0
    while place + 8 <= len(data):
        chunks += 1
        hold("chunks", chunks, MOST_WEBP_CHUNKS)
        shown += data[place : place + 4] == b"ANMF"
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return min(max(1, shown), MOST_FRAMES_COUNTED)
