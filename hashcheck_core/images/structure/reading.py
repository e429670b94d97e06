"""The kind of a file by its first bytes, and what its structure says."""

from collections.abc import Callable
from typing import Final, NamedTuple

from hashcheck_core.images.structure import gif, isobmff, jpeg, jpeg2000, png, tiff, webp


class Structure(NamedTuple):
    """`formats`: what Pillow may call such a file. `frames`: how many pictures it shows one after the other."""

    formats: frozenset[str]
    frames: int


class _Kind(NamedTuple):
    formats: frozenset[str]
    begins: Callable[[bytes], bool]
    frames: Callable[[bytes], int]


def _with(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(signatures)


_KINDS: Final = (
    _Kind(frozenset({"JPEG", "MPO"}), _with(b"\xff\xd8\xff"), jpeg.frames),
    _Kind(frozenset({"PNG"}), _with(b"\x89PNG\r\n\x1a\n"), png.frames),
    _Kind(frozenset({"GIF"}), _with(b"GIF87a", b"GIF89a"), gif.frames),
    _Kind(frozenset({"WEBP"}), lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", webp.frames),
    _Kind(frozenset({"AVIF", "HEIF"}), lambda data: data[4:8] == b"ftyp", isobmff.frames),
    _Kind(frozenset({"TIFF"}), lambda data: data[:2] in (b"II", b"MM"), tiff.frames),
    _Kind(frozenset({"JPEG2000"}), _with(b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"), jpeg2000.frames),
    _Kind(frozenset({"BMP"}), _with(b"BM"), lambda _: 1),
)


def read(data: bytes) -> Structure | None:
    """What the file in `data` is and how it is built; None for what is no picture.

    Raises ImageTooComplexError for one that is built to be costly.
    """
    for kind in _KINDS:
        if kind.begins(data):
            return Structure(kind.formats, kind.frames(data))
    return None
