"""How much structure one picture may have. Beyond it a decoder works for seconds on next to nothing.

Every limit is above what was found in real pictures, so that none of them is refused.
"""

from typing import Final

from hashcheck_core.errors import ImageTooComplexError

# A progressive JPEG has some 10. Each goes over all of the picture, however few its bytes: at 100 megapixels 20 ms and
# more.
MOST_JPEG_SCANS: Final = 50
# Of a photograph some 20, with a large colour profile and metadata in pieces of 64 KB some hundred. Pillow takes each
# in Python.
MOST_JPEG_SEGMENTS: Final = 2_000
# Between segments nothing is the rule. Pillow steps over it byte by byte.
MOST_JPEG_JUNK: Final = 100_000

# Encoders cut a picture into pieces of 8 KB and more: 4,000 in the largest file that is taken.
MOST_PNG_IMAGE_CHUNKS: Final = 50_000
# Texts, times, colours: some 20. Pillow takes each in Python, and holds their inflated size to 64 MB itself.
MOST_PNG_OTHER_CHUNKS: Final = 1_000

# Pages and frames are counted so far. More are no fault, for only the first is decoded: there are many, that is all.
MOST_FRAMES_COUNTED: Final = 10_000
# A GIF of the largest size has 130,000 pieces of 255 bytes.
MOST_GIF_BLOCKS: Final = 500_000

# Of a page. A raw photograph has some 100.
MOST_TIFF_TAGS: Final = 1_000
# A page of 100 megapixels in tiles of 256 by 256 has 1,526, in strips of a row up to 32,768.
MOST_TIFF_STRIPS: Final = 100_000

# Frames, and what lies between: an animation of a minute has 3,600.
MOST_WEBP_CHUNKS: Final = 50_000

# A picture of 100 megapixels in tiles of 512 has 400 items. libheif stops at 1,000 too; some decoders look through all
# items for each.
MOST_HEIF_ITEMS: Final = 1_000
MOST_BOXES: Final = 10_000

# 100 megapixels in tiles of 256 by 256 are 1,526, of 128 by 128 6,104. The decoder sets up each.
MOST_JPEG2000_TILES: Final = 10_000
# Archives use up to some 20. Each is walked through in every part of the picture.
MOST_JPEG2000_LAYERS: Final = 200
# Before the data of the first tile: some ten, and comments and profiles in pieces of 64 KB.
MOST_JPEG2000_SEGMENTS: Final = 2_000


def hold(what: str, count: int, most: int) -> None:
    """Raise ImageTooComplexError if there are more than `most` of `what`."""
    if count > most:
        raise ImageTooComplexError(
            f"The picture has more than {most} {what}.",
            next_step="Save it anew with an ordinary program, or hash it on your side and send the hashes.",
        )
