"""The pointer: the small signed document that says which snapshot is in force.

Its sequence number only rises, whatever the version it points at: so an older snapshot comes back only by a new
signature, never by an old file. It names the manifest's digest and the least overlay that belongs with it. Pure:
it reads and writes no files.
"""

import re
from datetime import datetime
from typing import Final

import msgspec

from hashcheck_core.snapshot.signed import decode_payload, malformed
from hashcheck_core.snapshot.verifier import snapshot_id_of

POINTER_NAME: Final = "current"
OVERLAY_NAME: Final = "overlay"
POINTER_FORMAT: Final = "hashcheck-pointer/2"
MAX_POINTER_BYTES: Final = 64 * 1024  # hundreds of signatures
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = re.compile(r"keys-([0-9]{8})\.json")
_SNAPSHOT: Final = re.compile(r"[0-9]{8}-[0-9a-f]{16}")
_WHAT: Final = "the pointer"


class Pointer(msgspec.Struct, frozen=True):
    """`overlay`: the sequence number below which an overlay is too old to go with this (0: none is needed)."""

    format: str
    sequence: int
    version: int
    manifest_sha256: str
    overlay: int
    created_at: datetime
    expires_at: datetime

    @property
    def snapshot(self) -> str:
        """The id of the snapshot, which is the name of its directory."""
        return snapshot_id_of(self.version, self.manifest_sha256)


def decode_pointer(payload: bytes) -> Pointer:
    """Read a verified payload; raises SnapshotFormatError for anything that is no pointer."""
    pointer = decode_payload(payload, Pointer, POINTER_FORMAT, _WHAT)
    if not (
        pointer.sequence >= 1
        and 1 <= pointer.version <= 99_999_999
        and pointer.overlay >= 0
        and _DIGEST.fullmatch(pointer.manifest_sha256)
        and pointer.created_at.tzinfo is not None
        and pointer.expires_at.tzinfo is not None
    ):
        raise malformed(_WHAT, "a value is out of range")
    return pointer


def keys_name(version: int) -> str:
    """The name under which a store keeps a version of the keys file."""
    return f"keys-{version:08d}.json"


def is_snapshot_name(name: str) -> bool:
    return _SNAPSHOT.fullmatch(name) is not None
