"""PDQ hashes of many variants of real photographs: crops, scales, recompression, overlays, colour edits, turns.

Real hashes are not uniform: their bits correlate and variants come in families. The variants are drawn from seeds,
so a list of some size is always the same; it is kept in benchmarks/.cache once made.
"""

import io
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from examples.photographs import FOLDER
from hashcheck_core.images.hashing import pdq

CACHE = Path(__file__).parent / ".cache"
PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png"),
    *("retina.jpg", "rocket.jpg"),
)
_SIDE = 384  # variants are made from copies of this size: PDQ looks at 64 by 64 in the end
_BATCH = 500


def photo_hashes(count: int) -> NDArray[np.uint8]:
    """uint8 (count, 32): distinct PDQ hashes of quality 50 and above, in random order."""
    CACHE.mkdir(exist_ok=True)
    file = CACHE / f"photo-hashes-{count}.bin"
    if not file.exists():
        found: set[bytes] = set()
        seed = 0
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            while len(found) < count:
                seeds = range(seed, seed + 8)
                seed += 8
                for part in pool.map(_variants, seeds):
                    found.update(part)
        codes = np.frombuffer(b"".join(sorted(found)), np.uint8).reshape(-1, 32)
        file.write_bytes(np.random.default_rng(1).permutation(codes)[:count].tobytes())
    return np.frombuffer(file.read_bytes(), np.uint8).reshape(-1, 32)


def _variants(seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    name = PHOTOGRAPHS[int(rng.integers(len(PHOTOGRAPHS)))]
    with Image.open(FOLDER / name) as image:
        photo = image.convert("RGB")
        photo.thumbnail((_SIDE * 2, _SIDE * 2))
    hashes = []
    for _ in range(_BATCH):
        item = pdq(_variant(photo, rng))[0]
        if item.quality is not None and item.quality >= 50:
            hashes.append(item.hash.value)
    return hashes


def _variant(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = photo.size
    share = rng.uniform(0.25, 1.0)
    w, h = int(width * share), int(height * min(1.0, share * rng.uniform(0.8, 1.25)))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    side = int(rng.integers(96, 257))
    image = photo.crop((x, y, x + w, y + h)).resize((side, side))
    if rng.random() < 0.3:
        image = image.transpose(Image.Transpose(int(rng.integers(0, 7))))
    if rng.random() < 0.4:
        image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.5))
        image = ImageEnhance.Color(image).enhance(rng.uniform(0.0, 2.0))
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2.0)))
    if rng.random() < 0.3:
        left, top = rng.integers(0, side * 3 // 4, 2).tolist()
        colour = tuple(rng.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).rectangle((left, top, left + side // 4, top + side // 8), fill=colour)
    if rng.random() < 0.5:
        coded = io.BytesIO()
        image.save(coded, "JPEG", quality=int(rng.integers(30, 95)))
        image = Image.open(coded).convert("RGB")
    return image
