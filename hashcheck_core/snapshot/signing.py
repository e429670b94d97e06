"""Ed25519 signatures over a manifest's exact bytes, and the keys that are trusted to make them.

A key id is the first 16 hex digits of the SHA-256 of the raw public key. It does not read or write files.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hashcheck_core.errors import ConfigError, SnapshotSignatureError

MAX_SIGNATURE_BYTES = 64 * 1024  # hundreds of signatures


class Signature(msgspec.Struct, frozen=True):
    key_id: str
    signature: str  # 128 hex digits, lower case


class SignatureFile(msgspec.Struct, frozen=True):
    """manifest.sig"""

    signatures: list[Signature]


def key_id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def generate_pair() -> tuple[bytes, bytes]:
    """A new private and public key, both PEM."""
    private = Ed25519PrivateKey.generate()
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def load_private(pem: bytes) -> Ed25519PrivateKey:
    """Raises ConfigError unless `pem` is an unencrypted Ed25519 private key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            "The signing key is not an unencrypted Ed25519 private key in PEM.",
            next_step="Make one with: index-builder keygen",
        )
    return key


def load_public(pem: bytes) -> Ed25519PublicKey:
    """Raises ConfigError unless `pem` is an Ed25519 public key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            "A trusted key is not an Ed25519 public key in PEM.",
            next_step="Use the .pub file that index-builder keygen wrote beside the private key.",
        )
    return key


def sign(manifest: bytes, keys: Iterable[Ed25519PrivateKey]) -> bytes:
    """The bytes of manifest.sig: one signature a key, in order of key id."""
    return encode_signatures(signatures_of(manifest, keys))


def signatures_of(message: bytes, keys: Iterable[Ed25519PrivateKey]) -> list[Signature]:
    """One signature a key over `message`, in order of key id."""
    made = [Signature(key_id(key.public_key()), key.sign(message).hex()) for key in keys]
    return sorted(made, key=lambda signature: signature.key_id)


def read_signatures(data: bytes) -> list[Signature]:
    """The signatures of manifest.sig; raises SnapshotSignatureError unless it is as it was written."""
    if len(data) > MAX_SIGNATURE_BYTES:
        raise _unsigned(f"manifest.sig has {len(data)} bytes")
    try:
        file = msgspec.json.decode(data, type=SignatureFile)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _unsigned("manifest.sig cannot be read") from None
    if encode_signatures(file.signatures) != data:  # one form only: no byte of it may be changed and pass
        raise _unsigned("manifest.sig is not as it was written")
    return file.signatures


def encode_signatures(signatures: Iterable[Signature]) -> bytes:
    """The bytes of manifest.sig: JSON with two spaces of indent, a newline at the end."""
    return _encode(SignatureFile(list(signatures)))


def _encode(file: SignatureFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The public keys whose signatures count, and how many different ones must have signed."""

    keys: Mapping[str, Ed25519PublicKey]
    threshold: int = 1

    @classmethod
    def of(cls, keys: Iterable[Ed25519PublicKey], threshold: int = 1) -> Self:
        """Raises ConfigError where the threshold cannot be met."""
        by_id = {key_id(key): key for key in keys}
        if not 1 <= threshold <= len(by_id):
            raise ConfigError(
                f"The signature threshold is {threshold} and {len(by_id)} different keys are trusted.",
                next_step="Trust at least as many keys as must sign, and ask for at least one.",
            )
        return cls(MappingProxyType(by_id), threshold)

    def verify(self, manifest: bytes, signature_file: bytes) -> tuple[str, ...]:
        """The ids of the trusted keys that signed `manifest`; raises SnapshotSignatureError below threshold.

        A signature by a key that is not trusted is passed over; one key counts once, however often it signs.
        """
        good = self.signers(manifest, read_signatures(signature_file))
        if len(good) < self.threshold:
            raise _unsigned(f"{len(good)} of the {self.threshold} trusted signatures needed are there")
        return good

    def signers(self, message: bytes, signatures: Iterable[Signature]) -> tuple[str, ...]:
        """The ids of the trusted keys among `signatures` over `message`, whether they are enough or not."""
        return tuple(sorted({s.key_id for s in signatures if self._holds(message, s)}))

    def _holds(self, manifest: bytes, signature: Signature) -> bool:
        key = self.keys.get(signature.key_id)
        if key is None:
            return False
        try:
            raw = bytes.fromhex(signature.signature)
            key.verify(raw, manifest)
        except (InvalidSignature, ValueError):
            return False
        return raw.hex() == signature.signature  # one form only, as above: no upper case, no white space


def _unsigned(detail: str) -> SnapshotSignatureError:
    return SnapshotSignatureError(
        f"The snapshot is not signed as it must be: {detail}.",
        next_step="Copy it again from where it was built; if it still fails, do not use it, and find out who "
        "made it.",
    )
