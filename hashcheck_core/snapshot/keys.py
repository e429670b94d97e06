"""The keys file: which keys may sign what, how many of them must, until when; and its own succession.

A service is given one version of it (pinned) and takes each later one only if enough root keys of the version
before signed it, and enough of its own: so keys change without a visit to any machine. Pure: bytes in, verified
keys or a domain error out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hashcheck_core.errors import (
    ConfigError,
    KeysExpiredError,
    SnapshotFormatError,
    SnapshotRollbackError,
)
from hashcheck_core.snapshot.signed import SignedDocument, decode_payload, malformed
from hashcheck_core.snapshot.signing import TrustedKeys, key_id

KEYS_FORMAT: Final = "hashcheck-keys/1"
MAX_KEYS_BYTES: Final = 256 * 1024
_WHAT: Final = "the keys file"


class Role(StrEnum):
    """What a key may sign. `root` signs keys files and nothing else."""

    ROOT = "root"
    SNAPSHOT = "snapshot"
    POINTER = "pointer"
    OVERLAY = "overlay"


class PublicKey(msgspec.Struct, frozen=True):
    """`public`: the 32 raw bytes in hex; `id`: the first 16 hex digits of their SHA-256."""

    id: str
    public: str


class RoleKeys(msgspec.Struct, frozen=True):
    keys: list[str]
    threshold: int


class KeysFile(msgspec.Struct, frozen=True):
    format: str
    version: int
    created_at: datetime
    expires_at: datetime
    keys: list[PublicKey]
    root: RoleKeys
    snapshot: RoleKeys
    pointer: RoleKeys
    overlay: RoleKeys


@dataclass(frozen=True, slots=True)
class Keys:
    """A verified keys file. `document` are its bytes as they were signed."""

    file: KeysFile
    roles: Mapping[Role, TrustedKeys]
    document: bytes

    @property
    def version(self) -> int:
        return self.file.version

    def of(self, role: Role, now: datetime) -> TrustedKeys:
        """The keys of a role; raises KeysExpiredError past the file's time: then it can vouch for nothing new."""
        if now >= self.file.expires_at:
            raise KeysExpiredError(
                f"The keys file {self.version} expired at {self.file.expires_at:%Y-%m-%d %H:%M:%S} UTC.",
                next_step="Make its successor (index-builder keys next), have it signed, and publish it.",
            )
        return self.roles[role]


def first_keys(data: bytes) -> Keys:
    """The pinned keys file: believed because an operator put it there; its own root must have signed it."""
    keys, document = _read(data)
    document.verify(keys.roles[Role.ROOT], _WHAT)
    return keys


def next_keys(current: Keys, data: bytes) -> Keys:
    """The successor of `current`.

    Raises SnapshotSignatureError unless enough root keys of both signed it, SnapshotRollbackError unless its
    version is the very next one.
    """
    keys, document = _read(data)
    document.verify(current.roles[Role.ROOT], f"{_WHAT} (by its predecessor's root keys)")
    document.verify(keys.roles[Role.ROOT], f"{_WHAT} (by its own root keys)")
    if keys.version != current.version + 1:
        raise SnapshotRollbackError(
            f"The keys file has version {keys.version}, and {current.version + 1} follows the one trusted.",
            next_step="Publish every version of the keys file, each as the successor of the one before.",
        )
    return keys


def new_keys_file(
    version: int,
    created_at: datetime,
    expires_at: datetime,
    roles: Mapping[Role, tuple[Sequence[Ed25519PublicKey], int]],
) -> KeysFile:
    """A keys file to be signed; raises ConfigError where a threshold cannot be met."""
    for keys, threshold in roles.values():
        TrustedKeys.of(keys, threshold)
    public = {key_id(key): raw_public(key).hex() for keys, _ in roles.values() for key in keys}
    sections = {
        role: RoleKeys(sorted({key_id(key) for key in keys}), threshold)
        for role, (keys, threshold) in roles.items()
    }
    return KeysFile(
        KEYS_FORMAT,
        version,
        created_at,
        expires_at,
        [PublicKey(key, public[key]) for key in sorted(public)],
        sections[Role.ROOT],
        sections[Role.SNAPSHOT],
        sections[Role.POINTER],
        sections[Role.OVERLAY],
    )


def raw_public(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _read(data: bytes) -> tuple[Keys, SignedDocument]:
    """A keys file taken apart and well made, its signatures not looked at yet."""
    if len(data) > MAX_KEYS_BYTES:
        raise malformed(_WHAT, f"it has {len(data)} bytes")
    document = SignedDocument.read(data, _WHAT)
    file = decode_payload(document.payload, KeysFile, KEYS_FORMAT, _WHAT)
    if file.version < 1 or file.created_at.tzinfo is None or file.expires_at.tzinfo is None:
        raise malformed(_WHAT, "its version or a time is out of range")
    public = dict(_public_keys(file.keys))
    sections = {role: getattr(file, role) for role in Role}
    roles = {role: _role_keys(section, public) for role, section in sections.items()}
    return Keys(file, MappingProxyType(roles), data), document


def _public_keys(keys: Iterable[PublicKey]) -> Iterable[tuple[str, Ed25519PublicKey]]:
    for key in keys:
        try:
            raw = bytes.fromhex(key.public)
            loaded = Ed25519PublicKey.from_public_bytes(raw)
        except ValueError:
            raise malformed(_WHAT, "a key in it is none") from None
        if hashlib.sha256(raw).hexdigest()[:16] != key.id:
            raise malformed(_WHAT, "a key in it has another's id")
        yield key.id, loaded


def _role_keys(section: RoleKeys, public: Mapping[str, Ed25519PublicKey]) -> TrustedKeys:
    try:
        return TrustedKeys.of((public[key] for key in section.keys), section.threshold)
    except (KeyError, ConfigError):
        raise SnapshotFormatError(
            "The keys file has a role whose keys are missing or too few for its threshold.",
            next_step="Make it anew: index-builder keys new",
        ) from None
