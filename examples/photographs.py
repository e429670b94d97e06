"""Ordinary photographs to list and to check, from scikit-image's data; docs/pictures.md credits each."""

import io
from pathlib import Path

import skimage
from PIL import Image

FOLDER = Path(skimage.__file__).parent / "data"
LISTED = ("astronaut.png", "coffee.png", "motorcycle_left.png")
LISTED_NATIONAL = ("chelsea.png",)
UNLISTED = ("rocket.jpg", "hubble_deep_field.jpg", "camera.png", "retina.jpg")


def photograph(name: str) -> bytes:
    """The bytes of one photograph as the package ships it."""
    return (FOLDER / name).read_bytes()


def reencoded(data: bytes, *, scale: float = 0.6, quality: int = 70) -> bytes:
    """What a platform's visitor does to a picture: scaled, and saved again as JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        size = round(image.width * scale), round(image.height * scale)
        out = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=quality)
    return out.getvalue()


def blank(width: int = 640, height: int = 480) -> bytes:
    """A white page."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(out, "PNG")
    return out.getvalue()
