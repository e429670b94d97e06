"""Files that are small or ordinary to look at, and built so that a decoder works for long: made of bytes, not by a
library, for no library writes such."""

import struct
import zlib


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


class _Bits:
    """Bits into bytes as JPEG has them, a zero stuffed behind each 0xFF."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, bits: str) -> None:
        self._bits += bits

    def done(self) -> bytes:
        padded = self._bits + "1" * (-len(self._bits) % 8)
        raw = int(padded, 2).to_bytes(len(padded) // 8)
        return raw.replace(b"\xff", b"\xff\x00")


def progressive_jpeg(scans: int, side: int = 1600) -> bytes:
    """A grey picture whose scans say, one after the other, that all blocks end here."""
    blocks = (side // 8) ** 2
    head = (
        b"\xff\xd8"
        + _segment(0xDB, b"\0" + bytes([1] * 64))
        + _segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0]))
        + _segment(0xC4, bytes([0x00, 1, *[0] * 15, 0]))  # one code: no difference
        + _segment(0xC4, bytes([0x10, 1, 1, *[0] * 14, 0xE0, 0x00]))  # a run of ended blocks; one ended block
    )
    first = _Bits()
    first.put("0" * blocks)
    further = _Bits()
    left = blocks
    while left:
        run = min(left, 32767)
        if run >= 16384:
            further.put("0" + f"{run - 16384:014b}")
            left -= run
        else:
            further.put("10")
            left -= 1
    scan = _segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + further.done()
    return head + _segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + first.done() + scan * scans + b"\xff\xd9"


def tiff(pages: int, more_tags: int = 0, strips: int = 1) -> bytes:
    """Grey pages of 64 by 64, one directory after the other; the first with `more_tags` and `strips`."""
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for page in range(pages):
        tags = [
            *((256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
            *((273, 4, strips if page == 0 else 1, 0), (277, 3, 1, 1), (278, 3, 1, 64), (279, 4, 1, 4096)),
            *((60_000, 3, 1, 0) for _ in range(more_tags if page == 0 else 0)),
        ]
        following = len(out) + 2 + 12 * len(tags) + 4
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        out += struct.pack("<I", following if page < pages - 1 else 0)
    return bytes(out + bytes(4096))


def gif(frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0xF0, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    return head + (b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00") * frames + b";"


def png(texts: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
        + chunk(b"tEXt", b"a\0b") * texts
        + chunk(b"IDAT", zlib.compress(bytes(65 * 64)))
        + chunk(b"IEND", b"")
    )


def webp(chunks: int) -> bytes:
    body = b"WEBP" + (b"JUNK" + struct.pack("<I", 0)) * chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def heif(items: int) -> bytes:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    information = box(b"iinf", bytes(4) + struct.pack(">H", items))
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(4) + information)


def jpeg2000(tile: int, layers: int = 1) -> bytes:
    """The head of a codestream of 10,000 by 10,000 in tiles of this side."""
    size = struct.pack(">HIIIIIIIIHBBB", 0, 10_000, 10_000, 0, 0, tile, tile, 0, 0, 1, 7, 1, 1)
    coding = struct.pack(">BBHB", 0, 0, layers, 0) + bytes(5)
    return b"\xff\x4f" + _segment(0x51, size) + _segment(0x52, coding) + b"\xff\x90" + bytes(10)
