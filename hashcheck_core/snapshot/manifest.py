"""manifest.json: what a snapshot holds, and the digest of every byte of it.

The types here are the format. Later versions only add fields, with defaults.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from hashcheck_core.errors import SnapshotFormatError

FORMAT: Final = "hashcheck-snapshot/1"
MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.sig"
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024  # thousands of feeds and files fit; a bomb does not


class FileEntry(msgspec.Struct, frozen=True):
    """One array file: plain little-endian values in C order, no header. `dtype` as numpy writes it."""

    name: str
    size: int
    sha256: str
    dtype: str
    shape: tuple[int, ...]


class EngineSpec(msgspec.Struct, frozen=True):
    name: str
    parameters: dict[str, Any] = {}


class HashSection(msgspec.Struct, frozen=True):
    """One hash type: its definition, its distinct hashes (`rows`) and the arrays that hold them, by role.

    Roles: `codes` uint8 (rows, bits / 8) ascending and distinct; `offsets` uint32 (rows + 1) and `links`
    uint32: the entries of row i are links[offsets[i]:offsets[i + 1]]; and what the engine adds.
    `listed` counts the rows that come from feeds, which is `rows` less the reserved test hashes.
    """

    type: str
    bits: int
    kind: str
    radius: int
    min_quality: int | None
    rows: int
    listed: int
    engine: EngineSpec
    files: dict[str, FileEntry]


class CategoryCount(msgspec.Struct, frozen=True):
    category: str
    entries: int


class EntriesSection(msgspec.Struct, frozen=True):
    """The listed things. Roles: `ids` uint8 (count, 16) ascending, `categories` uint8 (count), `source_sets`
    uint16 (count), an index into Manifest.source_sets."""

    count: int
    by_category: list[CategoryCount]
    files: dict[str, FileEntry]


class FeedSection(msgspec.Struct, frozen=True):
    """One feed as it was read. `batch` is the SHA-256 of its bytes; `categories`: accepted rows by category."""

    name: str
    source: str
    format: str
    batch: str
    size: int
    delivered_at: datetime
    rows: int
    accepted: int
    rejected: int
    categories: dict[str, int] = {}


class Canary(msgspec.Struct, frozen=True):
    """A listed hash that must match before the snapshot may serve. Only reserved test hashes stand here."""

    type: str
    value: str
    entry: str


class LastDecision(msgspec.Struct, frozen=True):
    """The last decision of people that the build applied: its number, 0 for none, and the SHA-256 of its line. All
    before it are bound to it."""

    number: int = 0
    sha256: str = ""


class Manifest(msgspec.Struct, frozen=True):
    format: str
    version: int
    created_at: datetime
    expires_at: datetime
    builder: str
    feeds: list[FeedSection]
    source_sets: list[list[str]]
    entries: EntriesSection
    hashes: list[HashSection]
    canaries: list[Canary]
    overlay: int = 0  # the overlay that the build took in; 0 for none
    last_decision: LastDecision = LastDecision()

    def files(self) -> list[FileEntry]:
        """Every array file of the snapshot, by name."""
        found = [*self.entries.files.values()]
        for section in self.hashes:
            found += section.files.values()
        return sorted(found, key=lambda entry: entry.name)


def encode(manifest: Manifest) -> bytes:
    """The one byte form of a manifest: keys in order, two spaces of indent, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read manifest.json; raises SnapshotFormatError for anything that is not one."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise _malformed(f"it has {len(data)} bytes")
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            raise SnapshotFormatError(
                f"The snapshot has format {head.format[:40]!r}; this version reads {FORMAT!r}.",
                next_step="Upgrade hashcheck here, or build the snapshot with a matching index-builder.",
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed(type(error).__name__) from None
    if manifest.version < 1 or manifest.created_at.tzinfo is None or manifest.expires_at.tzinfo is None:
        raise _malformed("a version or time is out of range")
    return manifest


class _Head(msgspec.Struct):
    format: str


def _malformed(detail: str) -> SnapshotFormatError:
    return SnapshotFormatError(
        f"manifest.json is not a snapshot manifest ({detail}).",
        next_step="Copy the snapshot again from where it was built, or build a new one.",
    )
