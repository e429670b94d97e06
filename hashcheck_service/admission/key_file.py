"""The key file: what is stored of each API key, and how the file is read and replaced.

A key is `hck_` and 256 random bits, of which only the SHA-256 is stored. That cannot be turned back, so a slow
password hash would only let a stranger spend our time.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.files import OWNER_WRITES, read_limited, transport_error, write_atomically

_PREFIX: Final = "hck_"
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024


class KeyScope(StrEnum):
    """What a key may be used for. `admin` includes `metrics`."""

    CHECK = "check"
    MEDIA = "media"
    STREAM = "stream"
    METRICS = "metrics"
    ADMIN = "admin"


CHECKING: Final = (KeyScope.CHECK, KeyScope.MEDIA, KeyScope.STREAM)


class StoredKey(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One key of the file. What this version does not know is refused: it may be a restriction.

    `name` is the tenant; one tenant may have several keys, so that a new one can overlap the old. `networks` are
    CIDR blocks, none for any address. `scopes` is None in files made before there were scopes: such a key may check
    and read metrics, and administer where `admin` says so.
    """

    name: str
    id: str
    sha256: str
    created_at: datetime
    admin: bool = False
    scopes: tuple[KeyScope, ...] | None = None
    expires_at: datetime | None = None
    networks: tuple[str, ...] = ()

    @property
    def granted(self) -> frozenset[KeyScope]:
        """All that the key may be used for."""
        if self.scopes is None:
            given = {*CHECKING, KeyScope.METRICS, *([KeyScope.ADMIN] if self.admin else [])}
        else:
            given = set(self.scopes)
        return frozenset(given | ({KeyScope.METRICS} if KeyScope.ADMIN in given else set()))

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[StoredKey]


def new_key(
    name: str,
    now: datetime,
    *,
    scopes: Iterable[KeyScope] = CHECKING,
    expires_at: datetime | None = None,
    networks: Iterable[str] = (),
) -> tuple[str, StoredKey]:
    """A new key for tenant `name`: the key itself, to be shown once, and what is stored of it."""
    key = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    given = tuple(scope for scope in KeyScope if scope in set(scopes))
    return key, StoredKey(
        name, digest[:8], digest, now, scopes=given, expires_at=expires_at, networks=tuple(networks)
    )


def network_of(text: str) -> IPv4Network | IPv6Network:
    """A CIDR block; raises ConfigError."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{text[:64]!r} is no network ({str(error)[:120]}).",
            next_step="Write it as 10.0.0.0/8, 192.0.2.17/32 or 2001:db8::/32.",
        ) from None


def read_keys(path: Path) -> list[StoredKey]:
    """The stored keys.

    Raises:
        ConfigError: It is no key file, or others than its owner may write it.
        TransportError: It cannot be read.
    """
    data = read_limited(path, _MAX_FILE_BYTES, follow_links=True, privacy=OWNER_WRITES)
    try:
        keys = msgspec.json.decode(data, type=KeyFile).keys
        for key in keys:
            _must_be_well_made(key)
        if len({bytes.fromhex(key.sha256) for key in keys}) < len(keys):
            raise ConfigError("One key is there twice.", next_step="Remove one of the two.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, msgspec.ValidationError) else ""
        raise ConfigError(
            f"{path} is not a key file{why}.", next_step="Make one with: hashcheck-service keys add NAME"
        ) from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", next_step=error.next_step) from None
    return keys


def _must_be_well_made(key: StoredKey) -> None:
    try:
        whole = len(bytes.fromhex(key.sha256)) == hashlib.sha256().digest_size
    except ValueError:
        whole = False
    if not whole or any(time.tzinfo is None for time in (key.created_at, key.expires_at) if time):
        raise ConfigError(
            f"Key {key.id[:16]!r} is not as it was written.",
            next_step="Remove it and make another with: hashcheck-service keys add NAME",
        )
    for network in key.networks:
        network_of(network)


def write_keys(path: Path, keys: Iterable[StoredKey]) -> None:
    """Replace a key file, behind a link too; it keeps its owner and mode, a new one is its owner's alone.

    Raises TransportError.
    """
    data = msgspec.json.format(msgspec.json.encode(KeyFile(list(keys))), indent=2) + b"\n"
    write_atomically(path.resolve(), data, 0o600, keep_owner=True)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep others out while a key file is read and replaced, so that no key of two who add at once is lost."""
    folder = path.resolve().parent
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise transport_error(folder, error, "opened") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def first_without_key(keys: Iterable[StoredKey], now: datetime) -> datetime | None:
    """When the first tenant that has a key now will have none; None where that never comes."""
    last: dict[str, datetime | None] = {}
    for key in keys:
        if not key.has_expired(now):
            known = last.get(key.name, key.expires_at)
            last[key.name] = None if known is None or key.expires_at is None else max(known, key.expires_at)
    return min((until for until in last.values() if until is not None), default=None)


def overlapping(key: StoredKey, until: timedelta, now: datetime) -> StoredKey:
    """`key` as it stays valid beside its successor: no longer than it was."""
    ends = now + until
    return msgspec.structs.replace(
        key, expires_at=ends if key.expires_at is None else min(key.expires_at, ends)
    )
