"""Hashes of what is known to be ordinary: NSRL, lists of exact hashes, folders of pictures. They veto entries.

A set is read as a stream of parts, so that NSRL's hundreds of millions take constant memory.
"""

import hashlib
import io
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashcheck_core.errors import ConfigError, FeedError, HashError, ImageError
from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash, HashType, parse_hex
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import hash_bytes, hash_picture
from hashcheck_core.snapshot.files import must_be_regular, open_regular, read_limited, transport_error
from index_builder.config.known_good import KnownGoodConfig

_PART: Final = 100_000
_MAX_PICTURE_BYTES: Final = 64 * 1024 * 1024
_MAX_LINE_BYTES: Final = 1024
_MIN_QUALITY: Final = 50
_HEX = re.compile(rb"[0-9a-fA-F]+")


class KnownHashes(NamedTuple):
    """codes: uint8 (n, bytes of the type)."""

    type: str
    codes: NDArray[np.uint8]


class PictureHash(NamedTuple):
    """`picture`: the file's name in its folder."""

    picture: str
    hash: Hash


def read_known_good(config: KnownGoodConfig, types: Mapping[str, HashType]) -> Iterator[KnownHashes]:
    """The hashes of one set in parts; raises TransportError, FeedError or ConfigError.

    A set without a hash raises FeedError too: a veto that is suddenly empty would be none.
    """
    if config.format == "nsrl":
        parts = _nsrl(config)
    elif config.format == "lines":
        parts = _parts(_lines(config, types))
    else:
        pictures = picture_hashes(config.path, variants=False)
        parts = _parts((item.hash.type.name, item.hash.value) for item in pictures)
    empty = True
    for part in parts:
        empty = False
        yield part
    if empty:
        raise FeedError(
            f"Known-good set {config.name!r} has no hash.",
            next_step="Fetch or unpack it again; take it out of the config if you mean it.",
        )


def _parts(hashes: Iterator[tuple[str, bytes]]) -> Iterator[KnownHashes]:
    """Arrays of one type each, of limited size."""
    found: dict[str, list[bytes]] = {}
    for name, value in hashes:
        values = found.setdefault(name, [])
        values.append(value)
        if len(values) == _PART:
            yield KnownHashes(name, _array(found.pop(name)))
    for name, values in sorted(found.items()):
        yield KnownHashes(name, _array(values))


def _nsrl(config: KnownGoodConfig) -> Iterator[KnownHashes]:
    """RDS v3: a table FILE with columns sha1 and md5 in hex. A value that is no such hash is passed over."""
    try:
        must_be_regular(config.path)
        db = sqlite3.connect(f"{config.path.absolute().as_uri()}?mode=ro", uri=True)
        db.text_factory = bytes  # one value in another encoding stops nothing
        try:
            rows = db.execute("SELECT md5, sha1 FROM FILE")
            while part := rows.fetchmany(_PART):
                for name, column, width in (("md5", 0, 32), ("sha1", 1, 40)):
                    hexes = [row[column].decode() for row in part if _is_hex(row[column], width)]
                    if hexes:
                        yield KnownHashes(name, _array([bytes.fromhex(value) for value in hexes]))
        finally:
            db.close()
    except sqlite3.Error as error:
        raise FeedError(
            f"Known-good set {config.name!r} is not a whole NSRL RDS v3 database ({error}).",
            next_step="Unpack the RDS again and give the path of its .db file.",
        ) from None


def _is_hex(value: object, width: int) -> bool:
    return isinstance(value, bytes) and len(value) == width and _HEX.fullmatch(value) is not None


def _lines(config: KnownGoodConfig, types: Mapping[str, HashType]) -> Iterator[tuple[str, bytes]]:
    """A line that is no hash stops the build: a veto that is not read whole is none."""
    try:
        with open_regular(config.path, follow_links=True) as file:
            number = 0
            while raw := file.readline(_MAX_LINE_BYTES + 1):
                number += 1
                try:
                    yield from _hash_of(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, types)
                except (HashError, UnicodeDecodeError) as error:
                    told = error.message if isinstance(error, HashError) else "It is not UTF-8."
                    raise FeedError(
                        f"Known-good set {config.name!r}, line {number}: {told}",
                        next_step="Mend or remove that line.",
                    ) from None
    except OSError as error:
        raise transport_error(config.path, error, "read") from None


def _hash_of(raw: bytes, types: Mapping[str, HashType]) -> Iterator[tuple[str, bytes]]:
    words = raw.decode().split() if len(raw) <= _MAX_LINE_BYTES else ["too long"]
    if not words:
        return
    hash_type = types.get(words[0])
    if hash_type is None or len(words) != 2:
        raise HashError("It is not `<type> <hash>`.", next_step="")
    yield hash_type.name, parse_hex(hash_type, words[1])


def picture_hashes(folder: Path, *, variants: bool) -> Iterator[PictureHash]:
    """Every hash of every picture below `folder`; with `variants` also of what visitors make of them.

    Turned and mirrored pictures count by PDQ's own eight. A file that is no picture, or too large, counts by its
    digests alone, and a flat one (PDQ quality under 50) too. Raises ConfigError where there is no file at all.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise ConfigError(
            f"{folder} holds no pictures.", next_step="Put ordinary pictures there, or take it out."
        )
    for path in files:
        name = str(path.relative_to(folder))
        if path.stat().st_size > _MAX_PICTURE_BYTES:
            yield from _digests(path, name)
            continue
        data = read_limited(path, _MAX_PICTURE_BYTES, follow_links=True)
        for item in hash_bytes(data):
            yield PictureHash(name, item.hash)
        try:
            picture = decode(data, ImageLimits()).grey
        except ImageError:
            continue
        for shown in [picture, *(_variants(picture) if variants else ())]:
            found = hash_picture(shown, dihedral=True)
            if found[0].quality is not None and found[0].quality >= _MIN_QUALITY:
                for item in found:
                    yield PictureHash(name, item.hash)


def _digests(path: Path, name: str) -> Iterator[PictureHash]:
    """Of a file too large for a picture, read as a stream."""
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in ("md5", "sha1", "sha256")}
    try:
        with open_regular(path, follow_links=True) as file:
            while part := file.read(1 << 20):
                for digest in digests.values():
                    digest.update(part)
    except OSError as error:
        raise transport_error(path, error, "read") from None
    for kind, digest in digests.items():
        yield PictureHash(name, Hash(BUILT_IN_TYPES[kind], digest.digest()))


def _variants(picture: Image.Image) -> Iterator[Image.Image]:
    """Scaled, saved again with loss, and cropped a little."""
    width, height = picture.size
    if min(width, height) < 100:
        return
    half = picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    yield half
    coded = io.BytesIO()
    half.save(coded, "JPEG", quality=50)
    with Image.open(coded) as again:
        yield again.convert("L")
    yield picture.crop((width // 50, height // 50, width - width // 50, height - height // 50))


def _array(values: "list[bytes]") -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
