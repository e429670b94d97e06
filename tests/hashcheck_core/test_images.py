import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples.photographs import LISTED, UNLISTED, photograph, reencoded
from hashcheck_core.errors import ImageError, ImageTooLargeError
from hashcheck_core.images.decoder import ImageLimits, decode
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
        hashes = pdq(image.rgb, dihedral=True)
        off = [
            distance(h.hash.value, bytes.fromhex(e))
            for h, e in zip(hashes, expected["dihedral"], strict=True)
        ]
        assert max(off) <= 10, (name, off)
        assert hashes[0].quality == expected["quality"]
        assert distance(pdq(image.rgb)[0].hash.value, bytes.fromhex(expected["pdq"])) <= 10


def test_the_test_picture_gives_the_reserved_hashes() -> None:
    data = TEST_PICTURE.read_bytes()
    computed = [*hash_bytes(data), *hash_picture(decode(data, LIMITS).rgb)]
    assert {item.hash for item in computed} == set(TEST_HASHES)


@pytest.mark.parametrize("name", RECOGNISABLE)
def test_every_colour_mode_and_format_gives_the_picture_its_hash(name: str) -> None:
    photo = listed_photo()
    original, copy = pdq(photo)[0], pdq(decode(RECOGNISABLE[name](photo), LIMITS).rgb)[0]
    assert distance(original.hash.value, copy.hash.value) <= 20
    assert copy.quality is not None
    assert copy.quality >= 50
    assert (
        distance(phash(photo).hash.value, phash(decode(RECOGNISABLE[name](photo), LIMITS).rgb).hash.value)
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


def test_of_an_animation_the_first_frame_is_taken_and_the_rest_counted() -> None:
    photo = listed_photo()
    image = decode(RECOGNISABLE["animation.webp"](photo), LIMITS)
    assert image.frames == 2
    assert distance(pdq(photo)[0].hash.value, pdq(image.rgb)[0].hash.value) <= 20


def test_exif_rotation_is_ignored_and_dihedral_hashes_find_a_rotated_copy() -> None:
    photo = listed_photo()
    plain = pdq(decode(RECOGNISABLE["progressive.jpg"](photo), LIMITS).rgb)[0].hash.value
    marked = pdq(decode(RECOGNISABLE["exif-rotated.jpg"](photo), LIMITS).rgb)[0].hash.value
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
    expected = np.asarray(Image.alpha_composite(white, photo).convert("RGB"))
    assert np.array_equal(np.asarray(decode(out.getvalue(), LIMITS).rgb), expected)


def test_reencoded_photographs_stay_near_and_different_ones_far() -> None:
    originals = {
        name: pdq(decode(photograph(name), LIMITS).rgb)[0].hash.value for name in (*LISTED, *UNLISTED)
    }
    for name in originals:
        copy = pdq(decode(reencoded(photograph(name)), LIMITS).rgb)[0].hash.value
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
    assert decoded.rgb.mode == "RGB"


_made: dict[str, bytes] = {}


def _small(name: str) -> bytes:
    if name not in _made:
        _made[name] = RECOGNISABLE[name](listed_photo().resize((64, 64)))
    return _made[name]
