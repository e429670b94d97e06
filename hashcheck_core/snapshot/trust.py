"""What may be believed of what a store delivers. Pure: bytes in, a verified object or a domain error out.

Nothing a store or a network does can make it accept more than what was signed:
- a keys file only as the signed successor of the one trusted before (`renew`);
- a pointer or overlay only with enough signatures of its role (SnapshotSignatureError), and never one with a
  lower number than one seen before, nor another one with the same number (SnapshotRollbackError);
- a pointer only before its time is over (SnapshotExpiredError), and only with the overlay it asks for
  (SnapshotMixError);
- a manifest only if it is the one the pointer names (SnapshotMixError), with enough signatures of its own role;
- nothing at all by a keys file past its time (KeysExpiredError).

What has been seen is remembered in a Memory, which the caller keeps across restarts.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from hashcheck_core.errors import SnapshotExpiredError, SnapshotMixError, SnapshotRollbackError
from hashcheck_core.snapshot.keys import Keys, Role, next_keys
from hashcheck_core.snapshot.overlay import MAX_OVERLAY_BYTES, Overlay, decode_overlay
from hashcheck_core.snapshot.pointer import MAX_POINTER_BYTES, Pointer, decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument, malformed
from hashcheck_core.snapshot.verifier import VerifiedManifest, verify_manifest

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Seen(msgspec.Struct, frozen=True):
    """The highest number seen of one kind of document, and the SHA-256 of what was signed under it."""

    sequence: int = 0
    payload_sha256: str = ""


class Memory(msgspec.Struct, frozen=True):
    """What must not be forgotten.

    `pointer` and `overlay`: the newest seen. `in_force`: the pointer whose snapshot is here, whole, which may be
    an older one while that of `pointer` is on its way. `signed_at`: the latest time at which something trusted
    was made; the clock cannot rightly be before it.
    """

    keys: int = 0
    pointer: Seen = Seen()
    overlay: Seen = Seen()
    in_force: Seen = Seen()
    signed_at: datetime = _BEGINNING


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys and the memory; every acceptance answers a new Trust beside what was accepted."""

    keys: Keys
    memory: Memory = field(default_factory=Memory)

    def renew(self, data: bytes) -> "Trust":
        """Take the next keys file.

        Where it takes a key away from pointers or overlays, the number seen under the old keys is forgotten:
        whoever stole that key may have set it as high as numbers go.
        """
        keys = next_keys(self.keys, data)
        memory = self.memory
        for role in (Role.POINTER, Role.OVERLAY) if keys.version > memory.keys else ():
            if set(self.keys.roles[role].keys) - set(keys.roles[role].keys):
                memory = msgspec.structs.replace(memory, **{role: Seen()})
        memory = msgspec.structs.replace(memory, keys=max(memory.keys, keys.version))
        return Trust(keys, memory).seen_at(keys.file.created_at)

    def pointer(self, data: bytes, now: datetime) -> "tuple[Trust, Pointer]":
        document, pointer = self._pointer(data, now)
        seen = _newest(self.memory.pointer, pointer.sequence, document, "pointer")
        if now >= pointer.expires_at:
            raise SnapshotExpiredError(
                f"The pointer expired at {pointer.expires_at:%Y-%m-%d %H:%M:%S} UTC.",
                next_step="Publish anew; if something was published since, see why it does not arrive here.",
            )
        if pointer.overlay > self.memory.overlay.sequence:
            raise SnapshotMixError(
                f"The pointer goes with overlay {pointer.overlay}, and the newest here is "
                f"{self.memory.overlay.sequence}.",
                next_step="If the overlay does not follow within minutes, something holds it back: find out what.",
            )
        trust = replace(self, memory=msgspec.structs.replace(self.memory, pointer=seen))
        return trust.seen_at(pointer.created_at), pointer

    def in_force(self, data: bytes) -> "tuple[Trust, Pointer]":
        """The pointer whose snapshot is here: not older than the one that was in force. No time is looked at: it
        was good when it came, and whether it still is, is asked at every answer."""
        document, pointer = self._pointer(data, None)
        seen = _newest(self.memory.in_force, pointer.sequence, document, "pointer in force")
        return replace(self, memory=msgspec.structs.replace(self.memory, in_force=seen)), pointer

    def pinned(self, data: bytes) -> Pointer:
        """A pointer that was in force when someone on this machine chose to stay with it, whatever came since."""
        return self._pointer(data, None)[1]

    def overlay(self, data: bytes, now: datetime | None) -> "tuple[Trust, Overlay]":
        """`now` is None for one that was accepted before: it stays in force when the keys file has expired."""
        document = self._signed(data, MAX_OVERLAY_BYTES, Role.OVERLAY, now)
        overlay = decode_overlay(document.payload)
        seen = _newest(self.memory.overlay, overlay.sequence, document, "overlay")
        trust = replace(self, memory=msgspec.structs.replace(self.memory, overlay=seen))
        return trust.seen_at(overlay.created_at), overlay

    def manifest(
        self, pointer: Pointer, manifest: bytes, signature: bytes, now: datetime
    ) -> VerifiedManifest:
        if hashlib.sha256(manifest).hexdigest() != pointer.manifest_sha256:
            raise SnapshotMixError(
                f"The manifest of {pointer.snapshot} is not the one the pointer names.",
                next_step="Copy the snapshot again from where it was built.",
            )
        return verify_manifest(manifest, signature, self.keys.of(Role.SNAPSHOT, now), now=now)

    def seen_at(self, moment: datetime) -> "Trust":
        """The same, knowing that it was `moment` already."""
        latest = max(self.memory.signed_at, moment)
        return replace(self, memory=msgspec.structs.replace(self.memory, signed_at=latest))

    def _pointer(self, data: bytes, now: datetime | None) -> tuple[SignedDocument, Pointer]:
        document = self._signed(data, MAX_POINTER_BYTES, Role.POINTER, now)
        return document, decode_pointer(document.payload)

    def _signed(self, data: bytes, limit: int, role: Role, now: datetime | None) -> SignedDocument:
        what = f"the {role}"
        if len(data) > limit:
            raise malformed(what, f"it has more than {limit} bytes")
        document = SignedDocument.read(data, what)
        document.verify(self.keys.roles[role] if now is None else self.keys.of(role, now), what)
        return document


def _newest(seen: Seen, sequence: int, document: SignedDocument, what: str) -> Seen:
    found = Seen(sequence, hashlib.sha256(document.payload).hexdigest())
    if sequence < seen.sequence or (sequence == seen.sequence and found != seen):
        raise SnapshotRollbackError(
            f"The {what} has number {sequence}, and {seen.sequence} was already seen.",
            next_step=f"An older {what}, or a second one of that number, was put in place: find out by whom. "
            "What is newest must be published anew, with a higher number.",
        )
    return found
