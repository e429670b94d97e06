"""Write the example feed: the hashes of a few ordinary photographs, as a hotline would deliver them.

And the small corpus of other photographs that must not match in the list made from it.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from examples.photographs import LISTED, LISTED_NATIONAL, UNLISTED, photograph
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import hash_bytes, hash_picture

HEADER = ("id", "type", "value", "quality", "category")


def feed_rows(names: Iterable[str], category: str) -> Iterable[tuple[str, ...]]:
    """One row for each hash of each photograph; its name is its id."""
    for name in names:
        data = photograph(name)
        for item in [*hash_bytes(data), *hash_picture(decode(data, ImageLimits()).grey)]:
            quality = "" if item.quality is None else str(item.quality)
            yield name, item.hash.type.name, item.hash.hex(), quality, category


def write_feed(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(feed_rows(LISTED, "A"))
        writer.writerows(feed_rows(LISTED_NATIONAL, "B"))


def write_benign(folder: Path) -> None:
    folder.mkdir()
    for name in UNLISTED:
        (folder / name).write_bytes(photograph(name))
