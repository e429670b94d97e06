"""One decision of one person about one entry, signed, as one line of JSON.

    {"decision": {…}, "signature": {"key_id": …, "signature": …}}

The signature is over the bytes of the inner object as they stand. `previous` is the SHA-256 of the line before, so
that a line stands for all before it. Pure; whether a key is a person's is `chain`'s to say.
"""

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import DecisionError
from hashcheck_core.reserved import TEST_ENTRY_ID
from hashcheck_core.snapshot.signing import Signature, signatures_of

DECISION_FORMAT: Final = "hashcheck-decision/1"
MAX_REASON_CHARS: Final = 1000
_ENTRY: Final = re.compile(r"[0-9a-f]{32}")
_HASH_LIKE: Final = re.compile(r"[0-9a-fA-F]{16}")


class Verdict(StrEnum):
    """`accept`: listed although gates hold it. `reject`: not listed, whether a gate holds it or not."""

    ACCEPT = "accept"
    REJECT = "reject"


class Decision(msgspec.Struct, frozen=True):
    """`number` counts from 1. `grounds`: what the entry was held for when it was decided, such as
    `known_good: an ordinary file or picture`. `id_key` marks the key that entry ids are made with."""

    format: str
    number: int
    previous: str
    id_key: str
    entry: str
    verdict: Verdict
    grounds: list[str]
    by: str
    reason: str
    at: datetime


class _Line(msgspec.Struct, frozen=True):
    decision: msgspec.Raw
    signature: Signature


class SignedDecision(msgspec.Struct, frozen=True):
    """`payload` are the bytes that are signed, `line` all of it; `decision` is believed only after `chain`."""

    line: bytes
    payload: bytes
    decision: Decision
    signature: Signature

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.line).hexdigest()


def is_entry(text: str) -> bool:
    """Whether `text` is the id of an entry that can be decided about; the reserved test entry is in every list."""
    return _ENTRY.fullmatch(text) is not None and text != TEST_ENTRY_ID.hex()


def is_reason(text: str) -> bool:
    """Whether `text` may stand as a reason: some words, and nothing that could be a hash."""
    return (
        0 < len(text.strip()) <= MAX_REASON_CHARS and text.isprintable() and _HASH_LIKE.search(text) is None
    )


def sign_decision(decision: Decision, key: Ed25519PrivateKey) -> SignedDecision:
    payload = msgspec.json.encode(decision, order="deterministic")
    [signature] = signatures_of(payload, [key])
    return SignedDecision(_encode(payload, signature), payload, decision, signature)


def read_line(line: bytes, number: int) -> SignedDecision:
    """Take one line apart; raises DecisionError unless it is as it was written. No signature is looked at."""
    try:
        outer = msgspec.json.decode(line, type=_Line)
        payload = bytes(outer.decision)
        decision = msgspec.json.decode(payload, type=Decision)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise damaged(f"Decision {number} cannot be read.") from None
    sound = (
        decision.format == DECISION_FORMAT
        and decision.at.tzinfo is not None
        and is_entry(decision.entry)
        and is_reason(decision.reason)
        and _encode(payload, outer.signature) == line  # one form only: no byte of it may be changed and pass
    )
    if not sound:
        raise damaged(f"Decision {number} is not as it was written.")
    return SignedDecision(line, payload, decision, outer.signature)


def damaged(what: str) -> DecisionError:
    return DecisionError(
        what,
        next_step="Put a copy of the decision file back that is whole (of a backup, or of the other people), and "
        "find out what changed it; see docs/review.md.",
    )


def _encode(payload: bytes, signature: Signature) -> bytes:
    return msgspec.json.encode(_Line(msgspec.Raw(payload), signature))
