"""Bytes of an untrusted picture in, one RGB image out, within limits.

The rules, so that equal pictures give equal hashes everywhere:
- the format is read from the bytes, never from a name or a content type;
- the first frame of an animation stands for it (and the result says that there were more);
- EXIF rotation is ignored: the pixels are hashed as stored, as the PDQ reference and most list producers do;
  a rotated copy is found by asking for the eight dihedral hashes;
- transparency is laid over white, as a page would show it;
- every colour mode becomes RGB; 16-bit grey is scaled, not clipped.

Anything a decoder raises becomes `ImageError`. It does not hash, and it does not guard against a decoder
that crashes or hangs the process: the caller decides where to run it.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import pillow_heif
from PIL import Image

from hashcheck_core.errors import ImageError, ImageTooLargeError, ImageTooSmallError

pillow_heif.register_heif_opener()
# Pillow's own bomb check warns at one size and raises at another; ours below is exact, so its is switched off.
Image.MAX_IMAGE_PIXELS = None
# A decoder's warning (odd metadata, mostly) is no news to anyone, and its text may quote the file.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

# What people upload as pictures. Each further decoder is attack surface: EPS, for one, runs a program.
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "TIFF", "JPEG2000", "MPO")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one picture may cost."""

    max_bytes: int = 32 * 1024 * 1024  # a full-size camera JPEG has 10 to 25 MB
    max_pixels: int = 100_000_000  # 300 MB as RGB; the largest phone cameras make 50 to 108 megapixels
    max_side: int = 32_768  # long thin pictures break resamplers before they reach max_pixels
    min_side: int = 32  # PDQ works on 64 by 64; far below that there is nothing left to recognise


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """`rgb` has mode RGB; `frames` counts the frames the file holds, of which only the first was decoded."""

    rgb: Image.Image
    frames: int


def decode(data: bytes, limits: ImageLimits) -> DecodedImage:
    """Decode the picture in `data`; raises ImageError, ImageTooLargeError or ImageTooSmallError."""
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(
            f"The picture has {len(data)} bytes; at most {limits.max_bytes} are taken.",
            next_step="Hash it on your side and send the hashes.",
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.size, limits)
            frames = int(getattr(image, "n_frames", 1))
            image.seek(0)
            return DecodedImage(_to_rgb(image), frames)
    except ImageError:
        raise
    except (Exception, SystemError) as error:
        # Decoders raise a score of types on hostile bytes. The text is dropped: it may quote the file.
        raise ImageError(
            f"The bytes are not a picture that can be decoded ({type(error).__name__}).",
            next_step="Check that the whole file was sent and that it is a JPEG, PNG, GIF, WebP, AVIF, HEIC, "
            "BMP, TIFF or JPEG 2000 picture.",
        ) from None


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise ImageTooLargeError(
            f"The picture is {width} by {height}; at most {limits.max_pixels} pixels and {limits.max_side} "
            "a side are decoded.",
            next_step="Hash it on your side and send the hashes.",
        )
    if min(width, height) < limits.min_side:
        raise ImageTooSmallError(
            f"The picture is {width} by {height}; below {limits.min_side} a side a perceptual hash says nothing.",
            next_step="Rely on the exact hashes for pictures this small.",
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _grey_to_rgb(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _grey_to_rgb(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits: 16-bit values keep their place, wider ones and floats are stretched."""
    pixels = np.asarray(image).astype(np.float64)
    if not np.isfinite(pixels).all():
        raise ValueError("pixels that are not numbers")
    low, high = float(pixels.min()), float(pixels.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and high <= 65535):
        low, high = 0.0, 65535.0
    scaled = (pixels - low) * (255.0 / max(high - low, 1e-9))
    return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8), "L").convert("RGB")
