"""The seal of a batch: what was fetched, from where, when, and the digest of every byte of it.

A batch is a folder named by its number and the digest of its seal; the seal names every page with size and SHA-256,
and the batch before it. So no byte, page or batch in between can be changed or taken away unseen; who could write them
all anew is what a signature (`seal.sig`) is for. It opens no page: whoever reads them compares the digests.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from hashcheck_core.errors import FeedError

SEAL_FORMAT: Final = "hashcheck-batch-1"
SEAL_NAME: Final = "seal.json"
SIGNATURE_NAME: Final = "seal.sig"
MAX_SEAL_BYTES: Final = 64 * 1024 * 1024  # a quarter of a million pages
_BATCH_NAME: Final = re.compile(r"([0-9]{8})-[0-9a-f]{16}")
_PAGE_NAME: Final = re.compile(r"p[0-9]{8}")


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the source, byte for byte; `redacted` counts places where a credential stood and was taken out.

    `damaged` says what is wrong with a page that a person chose to go past.
    """

    name: str
    size: int
    sha256: str
    rows: int
    redacted: int = 0
    damaged: str = ""


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """seal.json. `full`: it replaces every batch before it. `source` is an address without any credential.

    `covers` is what was asked for, in the source's own terms; `checkpoint` is where the next batch begins. `digest` is
    over names, sizes and digests of all pages.
    """

    format: str
    feed: str
    feed_format: str
    source: str
    sequence: int
    previous: str
    full: bool
    covers: dict[str, str]
    checkpoint: str
    started_at: datetime
    fetched_at: datetime
    rows: int
    size: int
    pages: list[Page]
    digest: str
    fetcher: str


def digest_of(pages: Iterable[Page]) -> str:
    lines = "".join(f"{page.sha256} {page.size} {page.name}\n" for page in pages)
    return hashlib.sha256(lines.encode()).hexdigest()


def encode(seal: Seal) -> bytes:
    """The bytes of seal.json: JSON with two spaces of indent, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(seal), indent=2) + b"\n"


def batch_name(sequence: int, seal: bytes) -> str:
    return f"{sequence:08}-{hashlib.sha256(seal).hexdigest()[:16]}"


def sequence_of(name: str) -> int | None:
    """The number of a batch, None for what is no batch's name."""
    match = _BATCH_NAME.fullmatch(name)
    return int(match[1]) if match else None


def decode(name: str, data: bytes) -> Seal:
    """The seal of the batch `name`; raises FeedError where it is not the one that the name was made from."""
    try:
        seal = msgspec.json.decode(data, type=Seal)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise damaged(name, "its seal cannot be read") from None
    if batch_name(seal.sequence, data) != name:
        raise damaged(name, "its seal is not the one it was named by")
    if seal.format != SEAL_FORMAT:
        raise damaged(name, "its seal is of another format")
    if digest_of(seal.pages) != seal.digest or not all(_PAGE_NAME.fullmatch(p.name) for p in seal.pages):
        raise damaged(name, "its seal contradicts itself")
    return seal


def damaged(name: str, what: str) -> FeedError:
    return FeedError(
        f"Batch {name} is damaged: {what}.",
        next_step="Bring it back from a backup; without one, move it away and fetch the feed anew with: "
        "index-builder fetch --full",
    )
