"""What may be believed of what a store delivers. Pure: bytes in, a verified object or a domain error out.

Nothing a store or a network does can make it accept more than what was signed:
- a keys file only as the signed successor of the one trusted before (`renew`), and nothing by an older one than was
  seen;
- a pointer or overlay only with enough signatures of its role (SnapshotSignatureError), and never one with a
  lower number than one seen before, nor another one with the same number (SnapshotRollbackError);
- a pointer only before its time is over (SnapshotExpiredError), and only with the overlay it asks for
  (SnapshotMixError);
- a manifest only if it is the one the pointer names (SnapshotMixError), with enough signatures of its own role;
- nothing at all by a keys file past its time (KeysExpiredError).

What has been seen is remembered in a Memory, which the caller keeps across restarts. Whoever sets up a machine can
give it a Floor, below which no number is ever taken: it stands in for the memory that a new machine does not have.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from hashcheck_core.errors import (
    SnapshotError,
    SnapshotExpiredError,
    SnapshotMixError,
    SnapshotRollbackError,
)
from hashcheck_core.snapshot.keys import Keys, Role, next_keys
from hashcheck_core.snapshot.overlay import MAX_OVERLAY_BYTES, Overlay, decode_overlay
from hashcheck_core.snapshot.pointer import MAX_POINTER_BYTES, Pointer, decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument, malformed
from hashcheck_core.snapshot.verifier import VerifiedManifest, verify_manifest

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Seen(msgspec.Struct, frozen=True):
    """The highest number seen of one kind of document, and the SHA-256 of what was signed under it: empty where only
    the number is known."""

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


class Floor(NamedTuple):
    """The lowest numbers of pointers, overlays and keys files that are taken; 0 for any."""

    pointer: int = 0
    overlay: int = 0
    keys: int = 0


NO_FLOOR: Final = Floor()


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys, the memory and the floor; every acceptance answers a new Trust beside what was accepted."""

    keys: Keys
    memory: Memory = field(default_factory=Memory)
    floor: Floor = NO_FLOOR

    @property
    def least_overlay(self) -> int:
        """The number of the overlay that nothing may be served without; 0 where none is needed."""
        return max(self.memory.overlay.sequence, self.floor.overlay)

    def recalling(self, pointers: Iterable[bytes], overlays: Iterable[bytes]) -> "Trust":
        """The same, with a memory that is not behind these documents, which were all accepted once.

        One that the keys of now do not vouch for says nothing.
        """
        memory = self.memory
        for data in overlays:
            with contextlib.suppress(SnapshotError):
                document = self._signed(data, MAX_OVERLAY_BYTES, Role.OVERLAY, None)
                overlay = decode_overlay(document.payload)
                seen = _later(memory.overlay, _seen(overlay.sequence, document))
                signed_at = max(memory.signed_at, overlay.created_at)
                memory = msgspec.structs.replace(memory, overlay=seen, signed_at=signed_at)
        for data in pointers:
            with contextlib.suppress(SnapshotError):
                document, pointer = self._pointer(data, None)
                seen = _seen(pointer.sequence, document)
                memory = msgspec.structs.replace(
                    memory,
                    pointer=_later(memory.pointer, seen),
                    in_force=_later(memory.in_force, seen),
                    overlay=_later(memory.overlay, Seen(pointer.overlay)),
                    signed_at=max(memory.signed_at, pointer.created_at),
                )
        return replace(self, memory=memory)

    def renew(self, data: bytes) -> "Trust":
        """Take the next keys file.

        Where it takes a key away from pointers or overlays, the number seen under the old keys is forgotten:
        whoever stole that key may have set it as high as numbers go.
        """
        keys = next_keys(self.keys, data)
        memory = self.memory
        kinds = {Role.POINTER: ("pointer", "in_force"), Role.OVERLAY: ("overlay",)}
        for role, seen in kinds.items() if keys.version > memory.keys else ():
            if set(self.keys.roles[role].keys) - set(keys.roles[role].keys):
                memory = msgspec.structs.replace(memory, **dict.fromkeys(seen, Seen()))
        memory = msgspec.structs.replace(memory, keys=max(memory.keys, keys.version))
        return replace(self, keys=keys, memory=memory).seen_at(keys.file.created_at)

    def pointer(self, data: bytes, now: datetime) -> "tuple[Trust, Pointer]":
        document, pointer = self._pointer(data, now)
        seen = _newest(self.memory.pointer, self.floor.pointer, pointer.sequence, document, "pointer")
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
        lowest = self.floor.pointer
        seen = _newest(self.memory.in_force, lowest, pointer.sequence, document, "pointer in force")
        return replace(self, memory=msgspec.structs.replace(self.memory, in_force=seen)), pointer

    def pinned(self, data: bytes) -> Pointer:
        """A pointer that was in force when someone on this machine chose to stay with it, whatever came since."""
        return self._pointer(data, None)[1]

    def overlay(self, data: bytes, now: datetime | None) -> "tuple[Trust, Overlay]":
        """`now` is None for one that was accepted before: it stays in force when the keys file has expired."""
        document = self._signed(data, MAX_OVERLAY_BYTES, Role.OVERLAY, now)
        overlay = decode_overlay(document.payload)
        seen = _newest(self.memory.overlay, self.floor.overlay, overlay.sequence, document, "overlay")
        trust = replace(self, memory=msgspec.structs.replace(self.memory, overlay=seen))
        return trust.seen_at(overlay.created_at), overlay

    def manifest(
        self, pointer: Pointer, manifest: bytes, signature: bytes, now: datetime
    ) -> VerifiedManifest:
        self._must_know_the_newest_keys()
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
        self._must_know_the_newest_keys()
        what = f"the {role}"
        if len(data) > limit:
            raise malformed(what, f"it has more than {limit} bytes")
        document = SignedDocument.read(data, what)
        document.verify(self.keys.roles[role] if now is None else self.keys.of(role, now), what)
        return document

    def _must_know_the_newest_keys(self) -> None:
        least = max(self.memory.keys, self.floor.keys)
        if self.keys.version < least:
            raise SnapshotRollbackError(
                f"The newest keys file here is {self.keys.version}, and {least} was seen before or is asked for by "
                "trust_floor.",
                next_step="It is fetched from the store; if the store has none so new, find out who took it away.",
            )


def _seen(sequence: int, document: SignedDocument) -> Seen:
    return Seen(sequence, hashlib.sha256(document.payload).hexdigest())


def _later(known: Seen, found: Seen) -> Seen:
    """The higher of two; of the same number the one that says more."""
    if found.sequence > known.sequence or (found.sequence == known.sequence and not known.payload_sha256):
        return found
    return known


def _newest(seen: Seen, floor: int, sequence: int, document: SignedDocument, what: str) -> Seen:
    found = _seen(sequence, document)
    if sequence < floor:
        raise SnapshotRollbackError(
            f"The {what} has number {sequence}, and trust_floor in the settings asks for {floor} at least.",
            next_step=f"An older {what} was put in place: find out by whom. If the number in the settings is wrong, "
            "correct it.",
        )
    another = seen.payload_sha256 and found != seen
    if sequence < seen.sequence or (sequence == seen.sequence and another):
        raise SnapshotRollbackError(
            f"The {what} has number {sequence}, and {seen.sequence} was already seen.",
            next_step=f"An older {what}, or a second one of that number, was put in place: find out by whom. "
            "What is newest must be published anew, with a higher number.",
        )
    return found
