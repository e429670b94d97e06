"""Whether a snapshot may be trusted. Pure: bytes in, a verified object or a domain error out.

The rules, each an error of its own:
- enough different trusted keys signed exactly these manifest bytes (SnapshotSignatureError), and nothing of
  the manifest is looked at before;
- the manifest is of this format (SnapshotFormatError);
- its version is not lower than one already served (SnapshotRollbackError);
- it has not expired (SnapshotExpiredError);
- every file has the size and the SHA-256 the manifest says (SnapshotDigestError);
- every array has the shape and the values the format promises (SnapshotFormatError).
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.errors import (
    ConfigError,
    SnapshotDigestError,
    SnapshotExpiredError,
    SnapshotFormatError,
    SnapshotRollbackError,
)
from hashcheck_core.hash_types import HashKind, HashType
from hashcheck_core.search.exact import as_keys
from hashcheck_core.snapshot.manifest import FileEntry, HashSection, Manifest, decode
from hashcheck_core.snapshot.signing import TrustedKeys

ENTRY_ID_BYTES: Final = 16
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}\.bin")
_DTYPES: Final = frozenset({"|u1", "<u2", "<u4", "<u8"})


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """A manifest whose signatures, version and expiry held, with the snapshot's id and its signers."""

    manifest: Manifest
    snapshot_id: str
    signed_by: tuple[str, ...]


def snapshot_id(version: int, manifest: bytes) -> str:
    """The name of a snapshot and of its directory: its version and the start of its manifest's SHA-256."""
    return snapshot_id_of(version, hashlib.sha256(manifest).hexdigest())


def snapshot_id_of(version: int, manifest_sha256: str) -> str:
    return f"{version:08d}-{manifest_sha256[:16]}"


def verify_manifest(
    manifest: bytes, signature: bytes, trusted: TrustedKeys, *, now: datetime | None, lowest_version: int = 1
) -> VerifiedManifest:
    """Check a manifest's signatures, format, version and expiry, in this order; see the module's rules.

    With `now` None the expiry is left to the caller, who asks at every answer.
    """
    signed_by = trusted.verify(manifest, signature)
    decoded = decode(manifest)
    if decoded.version < lowest_version:
        raise SnapshotRollbackError(
            f"The snapshot has version {decoded.version}, and version {lowest_version} was already served.",
            next_step="Publish a build with a higher version; never an old one again.",
        )
    if now is not None:
        check_expiry(decoded.expires_at, now)
    for entry in decoded.files():
        _check_file_entry(entry)
    return VerifiedManifest(decoded, snapshot_id(decoded.version, manifest), signed_by)


def check_expiry(expires_at: datetime, now: datetime) -> None:
    """Raises SnapshotExpiredError at and after `expires_at`."""
    if now >= expires_at:
        raise SnapshotExpiredError(
            f"The snapshot expired at {expires_at:%Y-%m-%d %H:%M:%S} UTC.",
            next_step="Build and publish a new one; if one was published, see why it did not arrive here.",
        )


def verify_file(entry: FileEntry, data: "memoryview | bytes") -> None:
    """Raises SnapshotDigestError unless `data` are the bytes the manifest promised."""
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise SnapshotDigestError(
            f"{entry.name} is not the file the manifest describes.",
            next_step="Copy the snapshot again from where it was built; check the disk if it happens again.",
        )


def as_array(entry: FileEntry, data: "memoryview | bytes") -> NDArray[Any]:
    """The array a verified file holds; read only, no copy."""
    array = np.frombuffer(data, np.dtype(entry.dtype)).reshape(entry.shape)
    array.flags.writeable = False
    return array


def hash_type_of(section: HashSection) -> HashType:
    """The hash type a section defines; raises SnapshotFormatError."""
    try:
        return HashType(
            section.type, section.bits, HashKind(section.kind), section.radius, section.min_quality
        )
    except (ConfigError, ValueError):
        raise _wrong(f"hash type {section.type[:40]!r} is impossible") from None


def verify_entries(manifest: Manifest, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises SnapshotFormatError unless the arrays of the entries are what EntriesSection says."""
    count = manifest.entries.count
    _expect(arrays, "ids", "|u1", (count, ENTRY_ID_BYTES), "entries")
    _expect(arrays, "categories", "|u1", (count,), "entries")
    _expect(arrays, "source_sets", "<u2", (count,), "entries")
    if not _ascending(arrays["ids"]):
        raise _wrong("entry ids are not in order")
    if count and int(arrays["categories"].max()) >= len(CATEGORY_CODES):
        raise _wrong("an entry has a category this version does not know")
    if count and int(arrays["source_sets"].max()) >= len(manifest.source_sets):
        raise _wrong("an entry names sources that are not there")


def verify_section(section: HashSection, entries: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises SnapshotFormatError unless the arrays of a hash type are what HashSection says."""
    name = section.type[:40]
    links = arrays["links"].shape if "links" in arrays else (0,)
    _expect(arrays, "codes", "|u1", (section.rows, section.bits // 8), name)
    _expect(arrays, "offsets", "<u4", (section.rows + 1,), name)
    _expect(arrays, "links", "<u4", links if len(links) == 1 else (0,), name)
    offsets = arrays["offsets"]
    if int(offsets[0]) != 0 or int(offsets[-1]) != links[0] or bool((offsets[1:] <= offsets[:-1]).any()):
        raise _wrong(f"{name}: a row has no entry")
    if links[0] and int(arrays["links"].max()) >= entries:
        raise _wrong(f"{name}: a row names an entry that is not there")
    if not _ascending(arrays["codes"]):
        raise _wrong(f"{name}: rows are not in order")


def _ascending(codes: NDArray[np.uint8]) -> bool:
    """Rows strictly ascending by their bytes, looked at in parts to keep memory flat."""
    keys = as_keys(codes)
    step = 1 << 20
    parts = (keys[start : start + step + 1] for start in range(0, len(keys), step))
    return all(bool((part[:-1] < part[1:]).all()) for part in parts)


def _expect(
    arrays: Mapping[str, NDArray[Any]], role: str, dtype: str, shape: tuple[int, ...], where: str
) -> None:
    array = arrays.get(role)
    if array is None or array.dtype != np.dtype(dtype) or array.shape != shape:
        raise _wrong(f"{where}: the array {role} is missing or has another shape")


def _check_file_entry(entry: FileEntry) -> None:
    if not _FILE_NAME.fullmatch(entry.name):
        raise _wrong("a file has a name that no builder gives")
    if entry.dtype not in _DTYPES or any(side < 0 for side in entry.shape):
        raise _wrong(f"{entry.name} has a type that is not in the format")
    if math.prod(entry.shape) * np.dtype(entry.dtype).itemsize != entry.size:
        raise _wrong(f"{entry.name} has a size that does not fit its shape")


def _wrong(detail: str) -> SnapshotFormatError:
    return SnapshotFormatError(
        f"The snapshot is signed but not well made: {detail}.",
        next_step="This is a fault of the builder: keep the snapshot, go on serving the last good one, report it.",
    )
