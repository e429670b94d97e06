"""API keys: who is asking. Keys live in a file of SHA-256 digests and, while serving, in memory.

A key is `hck_` and 256 random bits, so a plain SHA-256 cannot be turned back; a slow password hash would only
let a stranger spend our time. A digest is found by its first bytes and then compared in constant time.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import msgspec

from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.files import read_limited, write_atomically

_PREFIX: Final = "hck_"
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_HEADER_BYTES: Final = 1024


class StoredKey(msgspec.Struct, frozen=True):
    """`name` is the tenant; one tenant may have several keys, so that a new one can overlap the old. `admin`: it may
    say which snapshot this machine serves."""

    name: str
    id: str
    sha256: str
    created_at: datetime
    admin: bool = False


class KeyFile(msgspec.Struct, frozen=True):
    keys: list[StoredKey]


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys that may ask, by the first eight bytes of their digests."""

    _by_start: Mapping[bytes, tuple[tuple[bytes, str], ...]]
    _admins: "ApiKeys | None" = None

    @classmethod
    def of(cls, keys: Iterable[StoredKey]) -> Self:
        keys = list(keys)
        admins = [key for key in keys if key.admin]
        return cls(cls._find(keys), cls(cls._find(admins)))

    @staticmethod
    def _find(keys: Iterable[StoredKey]) -> Mapping[bytes, tuple[tuple[bytes, str], ...]]:
        by_start: dict[bytes, tuple[tuple[bytes, str], ...]] = {}
        for key in keys:
            digest = bytes.fromhex(key.sha256)
            by_start[digest[:8]] = (*by_start.get(digest[:8], ()), (digest, key.name))
        return by_start

    def is_admin(self, header: bytes) -> bool:
        """Whether the key of an `Authorization: Bearer` header has the admin scope."""
        return self._admins is not None and self._admins.bearer(header) is not None

    def bearer(self, header: bytes) -> str | None:
        """The tenant of an `Authorization: Bearer` header, or None."""
        scheme, _, key = header.partition(b" ")
        if scheme.lower() != b"bearer" or len(header) > _MAX_HEADER_BYTES:
            return None
        return self.tenant(key.strip())

    def basic(self, header: bytes) -> str | None:
        """The tenant of an `Authorization: Basic` header: user is the tenant, password the key; or None."""
        scheme, _, coded = header.partition(b" ")
        if scheme.lower() != b"basic" or len(header) > _MAX_HEADER_BYTES:
            return None
        try:
            user, _, key = base64.b64decode(coded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        tenant = self.tenant(key)
        return tenant if tenant is not None and hmac.compare_digest(tenant.encode(), user) else None

    def tenant(self, key: bytes) -> str | None:
        digest = hashlib.sha256(key).digest()
        for stored, name in self._by_start.get(digest[:8], ()):
            if hmac.compare_digest(stored, digest):
                return name
        return None


def read_keys(path: Path) -> list[StoredKey]:
    """The stored keys; raises ConfigError or TransportError."""
    try:
        keys = msgspec.json.decode(read_limited(path, _MAX_FILE_BYTES, follow_links=True), type=KeyFile).keys
        well_made = all(len(bytes.fromhex(key.sha256)) == hashlib.sha256().digest_size for key in keys)
    except (msgspec.DecodeError, ValueError, RecursionError):
        well_made = False
    if not well_made:
        raise ConfigError(
            f"{path} is not a key file.", next_step="Make one with: hashcheck-service keys add NAME"
        )
    return keys


def write_keys(path: Path, keys: Iterable[StoredKey]) -> None:
    """Replace a key file, behind a link too; it keeps its owner and mode, a new one is its owner's alone.

    Raises TransportError.
    """
    data = msgspec.json.format(msgspec.json.encode(KeyFile(list(keys))), indent=2) + b"\n"
    write_atomically(path.resolve(), data, 0o600, keep_owner=True)


def new_key(name: str, now: datetime, *, admin: bool = False) -> tuple[str, StoredKey]:
    """A new key for tenant `name`: the key itself, to be shown once, and what is stored of it."""
    key = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, StoredKey(name, digest[:8], digest, now, admin)
