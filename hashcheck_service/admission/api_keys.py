"""API keys: who is asking, and may they ask for this. It knows no HTTP status and no file.

A digest is found by its first bytes and then compared in constant time.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Self

from hashcheck_service.admission.key_file import KeyScope, StoredKey, network_of

_MAX_HEADER_BYTES: Final = 1024
Client = tuple[str, int] | None  # the other end of a connection: its address and port, None where it has none


class KeyFault(StrEnum):
    """Why a key is refused."""

    UNKNOWN = "unauthorized"
    EXPIRED = "key_expired"
    WRONG_NETWORK = "network_not_allowed"
    NO_SCOPE = "forbidden"
    UNAVAILABLE = "keys_unavailable"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was found. `open_door`: neither time nor place has to be looked at."""

    id: str
    tenant: str
    scopes: frozenset[KeyScope]
    expires_at: datetime | None
    networks: tuple[IPv4Network | IPv6Network, ...]
    open_door: bool

    @classmethod
    def of(cls, key: StoredKey) -> Self:
        networks = tuple(network_of(network) for network in key.networks)
        return cls(
            key.id, key.name, key.granted, key.expires_at, networks, key.expires_at is None and not networks
        )

    def admits(self, client: Client) -> bool:
        """Whether the key may be used from there."""
        if not self.networks:
            return True
        if client is None:
            return False
        address = ip_address(client[0])
        mapped = getattr(address, "ipv4_mapped", None)  # as a socket for both versions names it
        return any((mapped or address) in network for network in self.networks)


class KeyRefusedError(Exception):
    """`key` is None where it was not found."""

    def __init__(self, fault: KeyFault, key: ApiKey | None = None) -> None:
        super().__init__(fault)
        self.fault = fault
        self.key = key


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys that may ask, by the first eight bytes of their digests. With `known` false there is no telling
    which they are."""

    _by_start: Mapping[bytes, tuple[tuple[bytes, ApiKey], ...]]
    known: bool = True

    @classmethod
    def of(cls, keys: Iterable[StoredKey]) -> Self:
        by_start: dict[bytes, tuple[tuple[bytes, ApiKey], ...]] = {}
        for key in keys:
            digest = bytes.fromhex(key.sha256)
            by_start[digest[:8]] = (*by_start.get(digest[:8], ()), (digest, ApiKey.of(key)))
        return cls(by_start)

    def admit(
        self,
        header: bytes,
        client: Client,
        needs: KeyScope | None,
        clock: Callable[[], datetime],
        *,
        basic: bool = False,
    ) -> ApiKey:
        """The key in an `Authorization` header.

        Args:
            header: `Bearer <key>`; with `basic` also `Basic`, the tenant being the user and the key the password.
            client: The other end of the connection.
            needs: The scope that is asked for; None for any.
            clock: Asked only for a key that can expire.

        Raises:
            KeyRefusedError: It is no key, or may not be used now, from there, or for this.
        """
        key = self._bearer(header)
        if key is None and basic:
            key = self._basic(header)
        if key is None:
            raise KeyRefusedError(KeyFault.UNAVAILABLE if header and not self.known else KeyFault.UNKNOWN)
        if not key.open_door:
            if not key.admits(client):
                raise KeyRefusedError(KeyFault.WRONG_NETWORK, key)
            if key.expires_at is not None and clock() >= key.expires_at:
                raise KeyRefusedError(KeyFault.EXPIRED, key)
        if needs is not None and needs not in key.scopes:
            raise KeyRefusedError(KeyFault.NO_SCOPE, key)
        return key

    def _bearer(self, header: bytes) -> ApiKey | None:
        if header[:7].lower() != b"bearer " or len(header) > _MAX_HEADER_BYTES:
            return None
        return self._find(header[7:].strip())

    def _basic(self, header: bytes) -> ApiKey | None:
        if header[:6].lower() != b"basic " or len(header) > _MAX_HEADER_BYTES:
            return None
        try:
            user, _, value = base64.b64decode(header[6:].strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        key = self._find(value)
        return key if key is not None and hmac.compare_digest(key.tenant.encode(), user) else None

    def _find(self, value: bytes) -> ApiKey | None:
        digest = hashlib.sha256(value).digest()
        for stored, key in self._by_start.get(digest[:8], ()):
            if hmac.compare_digest(stored, digest):
                return key
        return None
