"""A small signed document: one line of JSON, and below it one line with the signatures over that line.

The pointer, the overlay and the keys file have this form. What the JSON says, and which keys must have signed
it, is the business of those modules; a document says in `format` what it is, so that a signature over one
kind is none over another. It does not read or write files.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import SnapshotFormatError, SnapshotSignatureError
from hashcheck_core.snapshot.signing import (
    MAX_SIGNATURE_BYTES,
    Signature,
    SignatureFile,
    TrustedKeys,
    signatures_of,
)

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """`payload` are the bytes that are signed; nothing in them may be believed before `verify`."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def read(cls, data: bytes, what: str) -> "SignedDocument":
        """Take a document apart; raises SnapshotFormatError. `what` names it for people."""
        lines = data.split(b"\n")
        if len(lines) != 3 or lines[2] or len(lines[1]) > MAX_SIGNATURE_BYTES:
            raise malformed(what)
        try:
            file = msgspec.json.decode(lines[1], type=SignatureFile)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise malformed(what) from None
        document = cls(lines[0], tuple(file.signatures))
        if document.encode() != data:  # one form only: no byte of it may be changed and pass
            raise malformed(what)
        return document

    def encode(self) -> bytes:
        return self.payload + b"\n" + msgspec.json.encode(SignatureFile(list(self.signatures))) + b"\n"

    def verify(self, trusted: TrustedKeys, what: str) -> tuple[str, ...]:
        """The ids of the trusted keys that signed; raises SnapshotSignatureError below the threshold."""
        good = trusted.signers(self.payload, self.signatures)
        if len(good) < trusted.threshold:
            raise SnapshotSignatureError(
                f"{what.capitalize()} has {len(good)} of the {trusted.threshold} trusted signatures it needs.",
                next_step="Have the others sign it (index-builder sign); if it should have had them, find out who "
                "made it.",
            )
        return good

    def signed_with(self, keys: Iterable[Ed25519PrivateKey]) -> "SignedDocument":
        """The same with the signatures of `keys` added, in the place of theirs that are there."""
        made = {s.key_id: s for s in (*self.signatures, *signatures_of(self.payload, keys))}
        return SignedDocument(self.payload, tuple(made[key] for key in sorted(made)))


def new_document(content: msgspec.Struct, keys: Iterable[Ed25519PrivateKey] = ()) -> SignedDocument:
    """A document that says `content`, signed with `keys`."""
    payload = msgspec.json.encode(content, order="deterministic")
    return SignedDocument(payload, ()).signed_with(keys)


def decode_payload(payload: bytes, kind: type[T], format_: str, what: str) -> T:
    """The content of a verified document; raises SnapshotFormatError where it is of another format."""
    try:
        head = msgspec.json.decode(payload, type=dict[str, Any])
        if head.get("format") != format_:
            raise malformed(what, f"its format is not {format_}")
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise malformed(what) from None


def malformed(what: str, detail: str = "it is not as it was written") -> SnapshotFormatError:
    return SnapshotFormatError(
        f"{what.capitalize()} cannot be read: {detail}.",
        next_step="Copy it again from where it was made; if it still fails, make and publish it anew.",
    )
