"""Pictures that are built to be costly are refused by their structure, before a decoder sees them; others are not."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from examples.photographs import LISTED, UNLISTED, photograph
from hashcheck_core.errors import ImageError, ImageTooComplexError
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.structure import reading
from tests.specimens import costly

SIGNATURES = [
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF....WEBP", b"....ftypheic", b"II*\0", b"MM\0*", b"II+\0",
    b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"BM",
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "most", "beyond"),
    [
        (lambda n: costly.progressive_jpeg(n, 64), 49, 50),
        (lambda n: costly.png(n), 997, 2_000),
        (lambda n: costly.tiff(1, more_tags=n), 991, 992),
        (lambda n: costly.tiff(1, strips=n), 1, 100_001),
        (lambda n: costly.webp(n), 50_000, 50_001),
        (lambda n: costly.heif(n), 1_000, 1_001),
        (lambda n: costly.jpeg2000(100, n), 200, 201),
        (lambda n: costly.jpeg2000(10_000 // n), 100, 101),
    ],
    ids=["scans", "chunks", "tags", "strips", "webp chunks", "items", "layers", "tiles"],
)
def test_the_limit_is_taken_and_what_is_beyond_is_refused(
    make: Callable[[int], bytes], most: int, beyond: int
) -> None:
    reading.read(make(most))
    with pytest.raises(ImageTooComplexError):
        reading.read(make(beyond))
    with pytest.raises(ImageTooComplexError):
        decode(make(beyond), ImageLimits())


def test_a_progressive_jpeg_of_2000_scans_is_refused_and_one_of_ten_is_decoded() -> None:
    with pytest.raises(ImageTooComplexError, match="50 scans"):
        decode(costly.progressive_jpeg(2_000), ImageLimits())
    assert decode(costly.progressive_jpeg(10), ImageLimits()).grey.size == (1600, 1600)
    out = io.BytesIO()
    with Image.open(io.BytesIO(photograph("coffee.png"))) as image:
        image.resize((3000, 2000)).save(out, "JPEG", progressive=True, quality=95)
    assert decode(out.getvalue(), ImageLimits()).frames == 1


@pytest.mark.parametrize("count", [1, 2, 300, 50_000])
def test_of_many_pages_or_frames_the_first_is_decoded_and_more_are_told(count: int) -> None:
    for make in (costly.tiff, costly.gif):
        decoded = decode(make(count), ImageLimits())
        assert decoded.grey.size == (64, 64)
        assert decoded.frames == min(count, 10_000)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("count", [1, 7])
def test_frames_are_counted_as_pillow_counts_them(kind: str, count: int) -> None:
    frames = [Image.effect_noise((64, 64), 50 + 10 * place).convert("RGB") for place in range(count)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(out.getvalue())) as image:
        assert decode(out.getvalue(), ImageLimits()).frames == getattr(image, "n_frames", 1) == count


@pytest.mark.parametrize("name", [*LISTED, *UNLISTED])
def test_a_photograph_is_as_simple_as_it_looks(name: str) -> None:
    structure = reading.read(photograph(name))
    assert structure is not None
    assert structure.frames == 1


@given(st.sampled_from(SIGNATURES), st.binary(max_size=400))
def test_hostile_bytes_raise_nothing_but_image_errors(signature: bytes, rest: bytes) -> None:
    try:
        structure = reading.read(signature + rest)
    except ImageError:
        return
    assert structure is not None
    assert structure.frames >= 1


def test_an_end_too_many_in_a_gif_is_no_picture_more() -> None:
    data = costly.gif(1)
    assert decode(data[:-1] + b"\0\0;", ImageLimits()).frames == 1


def test_limits_of_jpeg_2000_hold_before_the_picture_and_in_its_first_tile_too() -> None:
    whole = costly.jpeg2000(10_000)
    head = whole[: whole.index(b"\xff\x52")]
    start_of_tile = b"\xff\x90\0\x0a" + bytes(8)
    layers = b"\xff\x52\0\x0c" + b"\0\0\xff\xff" + bytes(6)
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 20_000
    for data in (head + start_of_tile + layers, head + b"\xff\x64\0\2" * 20_000, boxes):
        with pytest.raises(ImageTooComplexError):
            reading.read(data)


def test_a_directory_that_leads_back_to_itself_ends() -> None:
    data = bytearray(costly.tiff(1))
    data[8 + 2 + 12 * 9 : 8 + 2 + 12 * 9 + 4] = (8).to_bytes(4, "little")
    structure = reading.read(bytes(data))
    assert structure is not None
    assert structure.frames == 1
