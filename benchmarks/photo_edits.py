"""Copies of ordinary photographs as they go round: saved again, scaled, cropped, captioned, lit, framed, turned."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from benchmarks.photo_hashes import PHOTOGRAPHS
from examples.photographs import FOLDER
from hashcheck_core.images.hashing import ImageHash, hash_picture

_EDITS = ("saved", "scaled", "cropped", "trimmed", "captioned", "lit", "blurred", "framed", "turned", "all")
_SHARES = (0.15, 0.15, 0.2, 0.1, 0.1, 0.08, 0.04, 0.06, 0.04, 0.08)
_SIDE = 640
_NOT_A_PHOTOGRAPH = "page.png"


def photographs() -> Iterator[tuple[str, Image.Image]]:
    """Each by its name, as large as a platform shows them."""
    for name in PHOTOGRAPHS:
        if name != _NOT_A_PHOTOGRAPH:
            with Image.open(FOLDER / name) as image:
                photo = image.convert("RGB")
                photo.thumbnail((_SIDE, _SIDE))
                yield name, photo


def edited(photo: Image.Image, count: int, seed: int) -> Iterator[tuple[str, list[ImageHash]]]:
    """`count` copies: what was done, and the hashes (PDQ, pHash)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        edit = str(rng.choice(_EDITS, p=_SHARES))
        coded = io.BytesIO()
        _edit(photo, edit, rng).save(coded, "JPEG", quality=int(rng.integers(40, 96)))
        with Image.open(coded) as copy:
            yield edit, hash_picture(copy.convert("RGB"))


def _edit(photo: Image.Image, edit: str, rng: np.random.Generator) -> Image.Image:
    width, height = photo.size
    match edit:
        case "scaled":
            share = rng.uniform(0.15, 1.0)
            return photo.resize((max(64, int(width * share)), max(64, int(height * share))))
        case "cropped":
            return _crop(photo, 0.10, rng)
        case "trimmed":
            return _crop(photo, 0.03, rng)
        case "captioned":
            copy = photo.copy()
            colour = "black" if rng.random() < 0.5 else "white"
            top = int(height * (1 - rng.uniform(0.05, 0.2)))
            ImageDraw.Draw(copy).rectangle((0, top, width, height), fill=colour)
            return copy
        case "lit":
            lit = ImageEnhance.Brightness(photo).enhance(rng.uniform(0.6, 1.6))
            return ImageEnhance.Contrast(lit).enhance(rng.uniform(0.6, 1.6))
        case "blurred":
            return photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))
        case "framed":
            margin = int(rng.uniform(0.01, 0.06) * min(photo.size))
            copy = Image.new("RGB", (width + 2 * margin, height + 2 * margin), "white")
            copy.paste(photo, (margin, margin))
            return copy
        case "turned":
            return photo.rotate(rng.uniform(-2.5, 2.5), Image.Resampling.BICUBIC)
        case "all":
            copy = _edit(_crop(photo, 0.05, rng), "scaled", rng)
            return ImageEnhance.Color(copy).enhance(rng.uniform(0, 2))
    return photo


def _crop(photo: Image.Image, most: float, rng: np.random.Generator) -> Image.Image:
    """Without up to a share of each side."""
    left, top, right, bottom = rng.uniform(0, most, 4).tolist()
    width, height = photo.size
    return photo.crop(
        (int(width * left), int(height * top), int(width * (1 - right)), int(height * (1 - bottom)))
    )
