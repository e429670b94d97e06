import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples.photographs import LISTED, UNLISTED, photograph, reencoded
from hashcheck_core.errors import ImageError, ImageTooLargeError
from hashcheck_core.images.decoder import WORKING_SIDE, ImageLimits, decode
from hashcheck_core.images.hashing import DIHEDRAL, hash_bytes, hash_picture, pdq, phash
from hashcheck_core.reserved import TEST_HASHES
from tests.specimens.pictures import RECOGNISABLE, UNKNOWABLE, listed_photo

LIMITS = ImageLimits()
TEST_PICTURE = Path(__file__).parents[2] / "examples" / "test-picture.png"


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def test_pdq_agrees_with_the_reference_implementation(pdq_reference: Path) -> None:
    vectors = json.loads((pdq_reference / "vectors.json").read_text())
    assert vectors
    for name, expected in vectors.items():
        image = decode((pdq_reference / name).read_bytes(), LIMITS)
        hashes = pdq(image.grey, dihedral=True)
        off = [
            distance(h.hash.value, bytes.fromhex(e))
            for h, e in zip(hashes, expected["dihedral"], strict=True)
        ]
        assert max(off) <= 10, (name, off)
        assert hashes[0].quality == expected["quality"]
        assert distance(pdq(image.grey)[0].hash.value, bytes.fromhex(expected["pdq"])) <= 10


def test_the_test_picture_gives_the_reserved_hashes() -> None:
    data = TEST_PICTURE.read_bytes()
    computed = [*hash_bytes(data), *hash_picture(decode(data, LIMITS).grey)]
    assert {item.hash for item in computed} == set(TEST_HASHES)


@pytest.mark.parametrize("name", RECOGNISABLE)
def test_every_colour_mode_and_format_gives_the_picture_its_hash(name: str) -> None:
    photo = listed_photo()
    original, copy = pdq(photo)[0], pdq(decode(RECOGNISABLE[name](photo), LIMITS).grey)[0]
    assert distance(original.hash.value, copy.hash.value) <= 20
    assert copy.quality is not None
    assert copy.quality >= 50
    assert (
        distance(phash(photo).hash.value, phash(decode(RECOGNISABLE[name](photo), LIMITS).grey).hash.value)
        <= 4
    )


@pytest.mark.parametrize("name", [n for n, (reason, _) in UNKNOWABLE.items() if reason != "low_quality"])
def test_what_cannot_be_decoded_says_why(name: str) -> None:
    reason, make = UNKNOWABLE[name]
    with pytest.raises(ImageError) as caught:
        decode(make(listed_photo()), LIMITS)
    assert caught.value.code == reason


def test_too_many_bytes_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(ImageTooLargeError):
        decode(bytes(101), ImageLimits(max_bytes=100))


@pytest.mark.parametrize("name", ["phone.jpg", "primary-second.heic"])
def test_of_a_file_with_side_pictures_the_primary_one_stands_for_all(name: str) -> None:
    photo = listed_photo()
    image = decode(RECOGNISABLE[name](photo), LIMITS)
    assert (image.frames, image.grey.size) == (1, photo.size)
    assert distance(pdq(photo)[0].hash.value, pdq(image.grey)[0].hash.value) <= 10


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("name", [*LISTED, "grass.png", "moon.png"])
def test_a_large_picture_hashes_as_it_does_at_full_size(name: str, kind: str) -> None:
    with Image.open(io.BytesIO(photograph(name))) as image:
        large = image.convert("RGB").resize((3210, 2345), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    large.save(out, kind, quality=95, compress_level=1)
    with Image.open(out) as image:
        full = image.convert("RGB")
    small = decode(out.getvalue(), LIMITS).grey
    assert min(small.size) < 2 * WORKING_SIDE
    for one, other in zip(pdq(full, dihedral=True), pdq(small, dihedral=True), strict=True):
        assert distance(one.hash.value, other.hash.value) <= 10
    assert distance(phash(full).hash.value, phash(small).hash.value) <= 2


@pytest.mark.parametrize(("mode", "pixel_bytes"), [("1", 1), ("I;16", 2), ("RGBA", 4)])
def test_beside_the_decoded_picture_hashing_takes_little_memory(mode: str, pixel_bytes: int) -> None:
    """In a process of its own, whose peak is its own; 64 megapixels."""
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from hashcheck_core.images.decoder import WORKING_SIDE, ImageLimits, decode\n"
        "from hashcheck_core.images.hashing import hash_picture\n"
        "data = sys.stdin.buffer.read()\n"
        "status = Path('/proc/self/status')\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', status.read_text())[1]) // 1024\n"
        "before = peak()\n"
        "hash_picture(decode(data, ImageLimits()).grey, dihedral=True)\n"
        "print(peak() - before)\n"
    )
    out = io.BytesIO()
    Image.new(mode, (8000, 8000)).save(out, "PNG", compress_level=1)
    result = subprocess.run(
        [sys.executable, "-c", program], input=out.getvalue(), capture_output=True, check=True
    )
    assert 64 * pixel_bytes * 0.9 < int(result.stdout) < 64 * pixel_bytes + 150


def test_of_an_animation_the_first_frame_is_taken_and_the_rest_counted() -> None:
    photo = listed_photo()
    image = decode(RECOGNISABLE["animation.webp"](photo), LIMITS)
    assert image.frames == 2
    assert distance(pdq(photo)[0].hash.value, pdq(image.grey)[0].hash.value) <= 20


def test_exif_rotation_is_ignored_and_dihedral_hashes_find_a_rotated_copy() -> None:
    photo = listed_photo()
    plain = pdq(decode(RECOGNISABLE["progressive.jpg"](photo), LIMITS).grey)[0].hash.value
    marked = pdq(decode(RECOGNISABLE["exif-rotated.jpg"](photo), LIMITS).grey)[0].hash.value
    assert distance(plain, marked) <= 10
    turned = photo.transpose(Image.Transpose.ROTATE_270)
    hashes = {item.transform: item.hash.value for item in pdq(turned, dihedral=True)}
    assert list(hashes) == list(DIHEDRAL)
    assert distance(hashes["original"], plain) > 31
    assert min(distance(value, plain) for value in hashes.values()) <= 31


def test_transparency_is_laid_over_white() -> None:
    photo = listed_photo().convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    out = io.BytesIO()
    photo.save(out, "PNG")
    white = Image.new("RGBA", photo.size, "white")
    expected = np.asarray(Image.alpha_composite(white, photo).convert("RGB").convert("L"))
    assert np.array_equal(np.asarray(decode(out.getvalue(), LIMITS).grey), expected)


def test_reencoded_photographs_stay_near_and_different_ones_far() -> None:
    originals = {
        name: pdq(decode(photograph(name), LIMITS).grey)[0].hash.value for name in (*LISTED, *UNLISTED)
    }
    for name in originals:
        copy = pdq(decode(reencoded(photograph(name)), LIMITS).grey)[0].hash.value
        for other, value in originals.items():
            assert (distance(copy, value) <= 31) == (name == other)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_pictures_raise_only_domain_errors(data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(["palette.gif", "progressive.jpg", "webp.webp", "alpha.png", "tiff.tif"])
    )
    original = _small(name)
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]), LIMITS)
    except ImageError:
        return
    assert decoded.grey.mode == "L"


_made: dict[str, bytes] = {}


def _small(name: str) -> bytes:
    if name not in _made:
        _made[name] = RECOGNISABLE[name](listed_photo().resize((64, 64)))
    return _made[name]
