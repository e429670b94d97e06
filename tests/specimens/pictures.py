"""Pictures that are hard to decode or to judge, made from a photograph. Run it to write them to a folder."""

import io
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from examples.photographs import photograph


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _png(width: int, height: int) -> bytes:
    """A black 1-bit PNG of any size, without the memory it would take to draw it."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _sixteen_bit(photo: Image.Image) -> bytes:
    grey = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    return _save(Image.fromarray(grey), "PNG")


def _transparent(photo: Image.Image) -> bytes:
    rgba = photo.convert("RGBA")
    rgba.putalpha(Image.new("L", photo.size, 255))
    return _save(rgba, "PNG")


def _rotated_by_exif(photo: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _save(photo, "JPEG", quality=90, exif=exif)


def _animation(photo: Image.Image, kind: str) -> bytes:
    other = photo.transpose(Image.Transpose.ROTATE_180)
    return _save(photo, kind, save_all=True, append_images=[other], duration=100)


def _phone_jpeg(photo: Image.Image) -> bytes:
    """A JPEG with a second picture behind it (MPO), as phones write them."""
    return _save(
        photo, "MPO", save_all=True, append_images=[photo.resize((160, 120)).convert("L")], quality=90
    )


def _heic_with_others(photo: Image.Image) -> bytes:
    """Three pictures, the second of which is the primary one."""
    other = photo.transpose(Image.Transpose.ROTATE_180).resize((96, 64))
    return _save(other, "HEIF", save_all=True, append_images=[photo, other], primary_index=1, quality=80)


def _enlarged(photo: Image.Image) -> Image.Image:
    """Above twice the working size on both sides."""
    return photo.resize((photo.width * 6, photo.height * 6))


# Each is still the listed photograph to a person who looks at it.
RECOGNISABLE: Mapping[str, Callable[[Image.Image], bytes]] = {
    "cmyk.jpg": lambda photo: _save(photo.convert("CMYK"), "JPEG", quality=90),
    "grey.jpg": lambda photo: _save(photo.convert("L"), "JPEG", quality=90),
    "sixteen-bit-grey.png": _sixteen_bit,
    "palette.png": lambda photo: _save(photo.convert("P"), "PNG"),
    "palette.gif": lambda photo: _save(photo.convert("P"), "GIF"),
    "alpha.png": _transparent,
    "grey-alpha.png": lambda photo: _save(photo.convert("LA"), "PNG"),
    "animation.gif": lambda photo: _animation(photo.convert("P"), "GIF"),
    "animation.webp": lambda photo: _animation(photo, "WEBP"),
    "animation.png": lambda photo: _animation(photo, "PNG"),
    "animation.avif": lambda photo: _animation(photo, "AVIF"),
    "animation-pages.tif": lambda photo: _animation(photo, "TIFF"),
    "phone.jpg": _phone_jpeg,
    "primary-second.heic": _heic_with_others,
    "large-grey.jpg": lambda photo: _save(_enlarged(photo).convert("L"), "JPEG"),
    "large-alpha.webp": lambda photo: _save(_enlarged(photo).convert("RGBA"), "WEBP", quality=60, method=0),
    "large-sixteen-bit-grey.png": lambda photo: _sixteen_bit(_enlarged(photo)),
    "exif-rotated.jpg": _rotated_by_exif,
    "progressive.jpg": lambda photo: _save(photo, "JPEG", quality=80, progressive=True),
    "webp.webp": lambda photo: _save(photo, "WEBP", quality=70),
    "avif.avif": lambda photo: _save(photo, "AVIF", quality=70),
    "heic.heic": lambda photo: _save(photo, "HEIF", quality=70),
    "tiff.tif": lambda photo: _save(photo, "TIFF"),
    "bmp.bmp": lambda photo: _save(photo, "BMP"),
    "jpeg2000.jp2": lambda photo: _save(photo, "JPEG2000"),
}

# What each of these is answered with, as a reason.
UNKNOWABLE: Mapping[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "text.jpg": ("undecodable_image", lambda _: b"This is no picture.\n" * 40),
    "truncated.jpg": ("undecodable_image", lambda photo: (d := _save(photo, "JPEG"))[: len(d) // 2]),
    "truncated.png": ("undecodable_image", lambda photo: (d := _save(photo, "PNG"))[: len(d) // 2]),
    "header-only.png": ("undecodable_image", lambda photo: _save(photo, "PNG")[:33]),
    "one-byte": ("undecodable_image", lambda _: b"\xff"),
    "svg.svg": ("undecodable_image", lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "one-by-one.png": ("image_too_small", lambda _: _save(Image.new("RGB", (1, 1)), "PNG")),
    "bomb-30000.png": ("image_too_large", lambda _: _png(30_000, 30_000)),
    "long-strip.png": ("image_too_large", lambda _: _png(40_000, 40)),
    "blank.png": ("low_quality", lambda _: _save(Image.new("RGB", (640, 480), "white"), "PNG")),
    "black.png": ("low_quality", lambda _: _save(Image.new("RGB", (640, 480)), "PNG")),
    "invisible.png": ("low_quality", lambda photo: _save(_with_alpha(photo, 0), "PNG")),
}


def _with_alpha(photo: Image.Image, alpha: int) -> Image.Image:
    rgba = photo.convert("RGBA")
    rgba.putalpha(Image.new("L", photo.size, alpha))
    return rgba


def listed_photo() -> Image.Image:
    return Image.open(io.BytesIO(photograph("coffee.png"))).convert("RGB")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photo = listed_photo()
    for name, make in RECOGNISABLE.items():
        (folder / name).write_bytes(make(photo))
    for name, (_, make) in UNKNOWABLE.items():
        (folder / name).write_bytes(make(photo))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
