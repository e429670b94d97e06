"""Bytes of an untrusted picture in, one grey image out, within limits.

The rules, so that equal pictures give equal hashes everywhere:
- the format is read from the bytes, never from a name or a content type;
- the first frame of an animation, or page of a TIFF, stands for it (and the result says that there were more);
- of the several pictures of an MPO (what phones write beside a JPEG: previews, gain maps, the other eye) or a
  HEIF file the primary one stands for it, and nothing is said of the others;
- EXIF rotation is ignored: the pixels are hashed as stored, as the PDQ reference and most list producers do;
  a rotated copy is found by asking for the eight dihedral hashes;
- transparency is laid over white, as a page would show it;
- every colour mode becomes RGB and then grey (ITU-R 601, as PDQ and pHash both have it; of a JPEG the luminance is
  taken as it is stored, which saves undoing its colours); 16-bit grey is scaled, not clipped;
- large pictures are brought down to a working size first (WORKING_SIDE).

Anything a decoder raises becomes `ImageError`. It does not hash, and it does not guard against a decoder
that crashes or hangs the process: the caller decides where to run it.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image

from hashcheck_core.errors import ImageError, ImageTooLargeError, ImageTooSmallError
from hashcheck_core.images.structure import reading

# Decoders work in one thread: where they run for strangers none can be started (docs/fence.md), and pictures are
# decoded side by side anyway. Of a HEIF file nothing but the primary picture is asked for.
pillow_heif.register_heif_opener(decode_threads=0, thumbnails=False, depth_images=False, aux_images=False)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# Pillow's own bomb check warns at one size and raises at another; ours below is exact, so its is switched off.
Image.MAX_IMAGE_PIXELS = None
# A decoder's warning (odd metadata, mostly) is no news to anyone, and its text may quote the file.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

# What people upload as pictures. Each further decoder is attack surface: EPS, for one, runs a program.
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "TIFF", "JPEG2000", "MPO")
# Of these Pillow knows the number of frames when it has opened the file; of the others it is read from the structure.
_COUNTED: Final = frozenset({"WEBP", "AVIF", "PNG"})

# A picture whose shorter side has twice this or more is divided by a whole number, so that 1024 to 2047 pixels
# are left of it. PDQ and pHash look at 64 by 64 and 32 by 32 of them. Against the full picture: the PDQ
# reference images and scikit-image's photographs are small enough not to be touched (0 bits off). Enlarged to
# 7.5 to 10 megapixels, as JPEG and as BMP, the worst of all eight dihedral PDQ hashes of a photograph is 10 bits
# off (a colour chart: 14), pHash 2; divided to 512 it is 28. Implementations that conform may differ by 10
# (ThreatExchange pdq/README).
WORKING_SIDE: Final = 1024
_LONGEST_SIDE: Final = 4096  # of a strip or panorama, which is then divided more across than along
_STRIP_PIXELS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one picture may cost."""

    max_bytes: int = 32 * 1024 * 1024  # a full-size camera JPEG has 10 to 25 MB
    # The largest phone cameras make 50 to 108 megapixels. The most memory that decoding and hashing 100 of them
    # was seen to take: JPEG 0.1 GB (progressive: 0.6), GIF 0.1, PNG 0.4, AVIF 1, WebP 1.6, JPEG 2000 2; HEIC is
    # as those. But for PNG and GIF it is the decoder's own buffers.
    max_pixels: int = 100_000_000
    max_side: int = 32_768  # long thin pictures break resamplers before they reach max_pixels
    min_side: int = 32  # PDQ works on 64 by 64; far below that there is nothing left to recognise


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """`grey` has mode L and the working size; `frames` counts the frames or pages to be seen, of
    which only the first was decoded."""

    grey: Image.Image
    frames: int


def decode(
    data: bytes, limits: ImageLimits, before_decoding: Callable[[int], object] | None = None
) -> DecodedImage:
    """Decode the picture in `data`.

    Args:
        data: the whole file.
        limits: what it may cost.
        before_decoding: called with the number of pixels when it is known and before any is decoded.
    Raises: ImageError and its kinds, ImageTooLargeError, ImageTooSmallError and ImageTooComplexError.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(
            f"The picture has {len(data)} bytes; at most {limits.max_bytes} are taken.",
            next_step="Hash it on your side and send the hashes.",
        )
    try:
        structure = reading.read(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if structure is None or image.format not in structure.formats:
                raise ValueError("not of the kind that its structure was read as")
            _check_size(image.size, limits)
            if before_decoding is not None:
                before_decoding(image.width * image.height)
            counted = int(getattr(image, "n_frames", 1)) if image.format in _COUNTED else 1
            return DecodedImage(_to_working_size(image), max(counted, structure.frames))
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


def _to_working_size(image: Image.Image) -> Image.Image:
    """The picture in grey, brought down until its shorter side is below twice WORKING_SIDE.

    A JPEG is decoded at a half, quarter or eighth where that is enough. What is decoded is brought to grey strip
    by strip, so that beside it only the small result takes memory.
    """
    image.draft("L", (WORKING_SIDE, WORKING_SIDE))
    image.load()
    width, height = image.size
    factor = max(1, min(width, height) // WORKING_SIDE)
    across, down = max(factor, width // _LONGEST_SIDE), max(factor, height // _LONGEST_SIDE)
    to_grey = _converter(image)
    if across == down == 1:
        return to_grey(image)
    rows = down * max(1, _STRIP_PIXELS // (width * down))
    small = Image.new("L", (-(-width // across), -(-height // down)))
    for top in range(0, height, rows):
        strip = to_grey(image.crop((0, top, width, min(top + rows, height))))
        small.paste(strip.reduce((across, down)), (0, top // down))
    return small


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What brings a part of `image` to grey."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _deep_converter(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _over_white
    if image.mode == "L":
        return Image.Image.copy
    return lambda part: part.convert("RGB").convert("L")


def _over_white(part: Image.Image) -> Image.Image:
    rgba = part.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB").convert("L")


def _deep_converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Grey of more than 8 bits: 16-bit values keep their place, wider ones and floats are stretched."""
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        least, most = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
        if image.mode != "I" or least < 0 or most > high:
            low, high = least, most

    def convert(part: Image.Image) -> Image.Image:
        pixels = np.asarray(part).astype(np.float64)
        if not np.isfinite(pixels).all():
            raise ValueError("pixels that are not numbers")
        scaled = (pixels - low) * (255.0 / max(high - low, 1e-9))
        return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8), "L")

    return convert
