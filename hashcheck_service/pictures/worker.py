"""The work of a picture process: one file in, the hashes of what is to be seen out (a task of `fence.zygote`)."""

import base64
import os
import signal
from collections.abc import Callable
from typing import Final

import msgspec

from hashcheck_core.errors import ImageError
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import ImageHash, hash_picture
from hashcheck_core.images.tiny_pictures import TINY
from hashcheck_service.pictures.heif_threads import decode_hevc_in_one_thread

TASK: Final = "hashcheck_service.pictures.worker"

# The part of PictureLimits.seconds that a picture gets: so much in any case, and for each pixel and each byte of it.
# Decoding and hashing took up to 48 ns for each pixel on a slow machine (JPEG 2000 without loss; most take far less)
# and 200 ns for each byte. Of 10 s a photograph of 12 megapixels and 4 MB gets 2.3 s, one of the largest size all.
_ANY: Final = 1 / 20
_PIXELS: Final = 200_000_000
_BYTES: Final = 32 * 1024 * 1024


class PictureLimits(msgspec.Struct, frozen=True):
    """What one picture may cost. `seconds`: of processor time, for the largest."""

    max_bytes: int
    max_pixels: int
    seconds: float


class Question(msgspec.Struct, frozen=True):
    """What is asked of a file: how many bytes it has, and whether all its eight turns are to be hashed."""

    size: int
    dihedral: bool


class Hashed(msgspec.Struct, frozen=True, gc=False):
    """A computed hash on its way to the service."""

    type: str
    value: bytes
    transform: str
    quality: int | None


class Found(msgspec.Struct, frozen=True):
    """The answer to a picture. `reason`: the code of why it, or some of it, could not be looked at."""

    hashes: list[Hashed]
    reason: str | None = None


def prepare(given: str) -> Callable[[int, bytes], bytes]:
    """Load all that decoding needs; what looks at pictures within the PictureLimits that are `given` as JSON."""
    limits = msgspec.json.decode(given, type=PictureLimits)
    for text in TINY.values():
        hash_picture(decode(base64.b64decode(text), ImageLimits()).grey, dihedral=True)
    decode_hevc_in_one_thread()
    questions = msgspec.msgpack.Decoder(Question)
    answers = msgspec.msgpack.Encoder()

    def look(file: int, question: bytes) -> bytes:
        asked = questions.decode(question)
        return answers.encode(_look(os.pread(file, asked.size, 0), limits, dihedral=asked.dihedral))

    return look


def allowed_seconds(limits: PictureLimits, size: int, pixels: int) -> float:
    """Processor time for a picture of so many bytes and pixels; then the system ends the process by SIGPROF."""
    return limits.seconds * min(1.0, _ANY + size / _BYTES + pixels / _PIXELS)


def _look(data: bytes, limits: PictureLimits, *, dihedral: bool) -> Found:
    def allow(pixels: int) -> None:
        signal.setitimer(signal.ITIMER_PROF, allowed_seconds(limits, len(data), pixels))

    allow(0)
    try:
        image_limits = ImageLimits(max_bytes=limits.max_bytes, max_pixels=limits.max_pixels)
        image = decode(data, image_limits, before_decoding=allow)
        hashes = hash_picture(image.grey, dihedral=dihedral)
    except ImageError as error:
        return Found([], error.code)
    except MemoryError:
        return Found([], ImageError.code)
    return Found([_hashed(one) for one in hashes], "animation" if image.frames > 1 else None)


def _hashed(one: ImageHash) -> Hashed:
    return Hashed(one.hash.type.name, one.hash.value, one.transform, one.quality)
