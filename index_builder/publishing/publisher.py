"""Publishing: a store's documents and snapshots, changed so that two who try at once cannot both win.

Everything is verified before it is put in force, by the same rules the service has, and read back from the store.
It builds nothing and opens no feed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import (
    MissingError,
    SnapshotDigestError,
    SnapshotError,
    SnapshotFormatError,
    SnapshotRollbackError,
)
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, Keys, Role, first_keys
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SIGNATURE_NAME
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.overlay import MAX_OVERLAY_BYTES, OVERLAY_FORMAT, Overlay, decode_overlay
from hashcheck_core.snapshot.pointer import (
    MAX_POINTER_BYTES,
    OVERLAY_NAME,
    POINTER_FORMAT,
    POINTER_NAME,
    Pointer,
    keys_name,
)
from hashcheck_core.snapshot.signed import SignedDocument, new_document
from hashcheck_core.snapshot.signing import MAX_SIGNATURE_BYTES, key_id
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_core.snapshot.trust import Trust
from hashcheck_stores.store import Pace, Store, read_all


@dataclass(frozen=True, slots=True)
class Publisher:
    """A store, the keys file that services were given, and the private keys at hand; `now` is one moment.

    Raises SnapshotError where something is not as signed or someone else was first, TransportError where the store
    cannot be reached.
    """

    store: Store
    pinned: bytes
    signers: Sequence[Ed25519PrivateKey]
    now: datetime
    pace: Pace = field(default_factory=Pace)

    def trust(self) -> Trust:
        """The keys that are trusted now: the pinned ones and every successor in the store."""
        trust = Trust(first_keys(self.pinned))
        while (data := self.read(keys_name(trust.keys.version + 1), MAX_KEYS_BYTES)) is not None:
            trust = trust.renew(data)
        return trust

    def read(self, name: str, limit: int) -> bytes | None:
        try:
            return read_all(self.store, name, limit, self.pace)
        except MissingError:
            return None

    def publish(
        self,
        directory: Path,
        *,
        good_until: datetime | None = None,
        sequence: int | None = None,
        on_file: Callable[[str], None] = lambda _: None,
    ) -> Pointer:
        """Bring the snapshot in `directory` to the store and put it in force; its version must be higher."""
        trust = self.trust()
        snapshot = open_snapshot(directory, trust.keys.of(Role.SNAPSHOT, self.now), now=self.now)
        before, newest = self._pointer(trust, sequence)
        if newest is not None and newest.version >= snapshot.version and newest.snapshot != snapshot.id:
            raise SnapshotRollbackError(
                f"{snapshot.id} is not newer than {newest.snapshot}, which is in force.",
                next_step="Build again: a new build gets the next version. To go back: index-builder rollback",
            )
        self._upload(directory, snapshot, on_file)
        manifest = read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
        return self._point(
            trust, before, newest, snapshot.version, manifest, good_until or snapshot.expires_at, sequence
        )

    def rollback(self, version: int, *, good_until: datetime | None = None) -> Pointer:
        """Put an older snapshot that is in the store in force, by a new pointer."""
        trust = self.trust()
        before, newest = self._pointer(trust, None)
        found = [name for name in self.store.names() if int(name[:8]) == version]
        if len(found) != 1 or newest is None:
            raise SnapshotFormatError(
                f"The store has {'no' if not found else 'more than one'} snapshot of version {version} to go back to.",
                next_step=f"It has: {', '.join(self.store.names()[-10:]) or 'none'}.",
            )
        [name] = found
        manifest = read_all(self.store, f"{name}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES, self.pace)
        pointer = self._next_pointer(trust, newest, version, manifest, self.now, None)
        signature = read_all(self.store, f"{name}/{SIGNATURE_NAME}", MAX_SIGNATURE_BYTES, self.pace)
        verified = trust.manifest(pointer, manifest, signature, self.now)
        for entry in verified.manifest.files():
            self._check_stored(f"{name}/{entry.name}", entry.sha256)
        until = good_until or verified.manifest.expires_at
        return self._point(trust, before, newest, version, manifest, until, None)

    def overlay(self, change: Callable[[Overlay], Overlay]) -> Overlay:
        """Publish the overlay that `change` makes of the one in force; then, where the keys at hand may, a pointer
        that asks for it, so that it cannot be held back unseen."""
        trust, data, standing = self._standing()
        before = standing or Overlay(OVERLAY_FORMAT, 0, self.now)
        after = msgspec.structs.replace(change(before), sequence=before.sequence + 1, created_at=self.now)
        document = self._signed(after, trust.keys, Role.OVERLAY)
        decode_overlay(document.payload)
        trust, after = trust.overlay(document.encode(), self.now)
        self._swap(OVERLAY_NAME, data, document.encode())
        pointed = self.read(POINTER_NAME, MAX_POINTER_BYTES)
        if pointed is not None and self._holds(trust.keys, Role.POINTER):
            _, newest = trust.in_force(pointed)
            pointer = msgspec.structs.replace(
                newest, sequence=newest.sequence + 1, overlay=after.sequence, created_at=self.now
            )
            self._swap(POINTER_NAME, pointed, self._signed(pointer, trust.keys, Role.POINTER).encode())
        return after

    def overlay_in_force(self) -> Overlay | None:
        """The overlay that stands in the store, for a build to take in."""
        return self._standing()[2]

    def _standing(self) -> tuple[Trust, bytes | None, Overlay | None]:
        trust, data = self.trust(), self.read(OVERLAY_NAME, MAX_OVERLAY_BYTES)
        if data is None:
            return trust, None, None
        trust, overlay = trust.overlay(data, None)
        return trust, data, overlay

    def keys(self, data: bytes) -> Keys:
        """Publish the successor of the newest keys file; every service takes it up by itself."""
        trust = self.trust().renew(data)
        name = keys_name(trust.keys.version)
        if not self.store.create(name, data) and self.read(name, MAX_KEYS_BYTES) != data:
            raise _someone_was_first(name)
        return trust.keys

    def _pointer(self, trust: Trust, sequence: int | None) -> tuple[bytes | None, Pointer | None]:
        """The bytes of the pointer, and what it says; with a given `sequence` what cannot be read is replaced."""
        data = self.read(POINTER_NAME, MAX_POINTER_BYTES)
        if data is None:
            return None, None
        try:
            return data, trust.in_force(data)[1]
        except SnapshotError as error:
            if sequence is not None:
                return data, None
            raise type(error)(
                error.message,
                next_step="Something else wrote it; find out what. To replace it give --sequence, above every number "
                "that services have seen (GET /v1/admin/snapshots says).",
            ) from None

    def _upload(self, directory: Path, snapshot: Snapshot, on_file: Callable[[str], None]) -> None:
        """Every file under a name that was not there, the manifest last; each read back."""
        files = {entry.name: entry.sha256 for entry in snapshot.manifest.files()}
        for name, digest in files.items():
            on_file(name)
            self.store.create(f"{snapshot.id}/{name}", directory / name)
            self._check_stored(f"{snapshot.id}/{name}", digest)
        for name in (SIGNATURE_NAME, MANIFEST_NAME):
            data = read_limited(directory / name, MAX_MANIFEST_BYTES)
            stored = f"{snapshot.id}/{name}"
            if not self.store.create(stored, data):
                there = read_all(self.store, stored, MAX_MANIFEST_BYTES, self.pace)
                # A signature may have been added since; the manifest is what it is.
                if there != data and (name == MANIFEST_NAME or not self.store.swap(stored, there, data)):
                    raise _someone_was_first(stored)
            if read_all(self.store, stored, MAX_MANIFEST_BYTES, self.pace) != data:
                raise _not_read_back(stored)

    def _check_stored(self, name: str, sha256: str) -> None:
        digest = hashlib.sha256()
        for part in self.pace.keep(name, self.store.read(name)):
            digest.update(part)
        if digest.hexdigest() != sha256:
            raise _not_read_back(name)

    def _point(
        self,
        trust: Trust,
        before: bytes | None,
        newest: Pointer | None,
        version: int,
        manifest: bytes,
        good_until: datetime,
        sequence: int | None,
    ) -> Pointer:
        pointer = self._next_pointer(trust, newest, version, manifest, good_until, sequence)
        document = self._signed(pointer, trust.keys, Role.POINTER).encode()
        trust.in_force(document)
        self._swap(POINTER_NAME, before, document)
        return pointer

    def _next_pointer(
        self,
        trust: Trust,
        newest: Pointer | None,
        version: int,
        manifest: bytes,
        good_until: datetime,
        sequence: int | None,
    ) -> Pointer:
        overlay = self.read(OVERLAY_NAME, MAX_OVERLAY_BYTES)
        return Pointer(
            POINTER_FORMAT,
            sequence or (newest.sequence + 1 if newest else 1),
            version,
            hashlib.sha256(manifest).hexdigest(),
            trust.overlay(overlay, None)[1].sequence if overlay is not None else 0,
            self.now,
            good_until,
        )

    def _signed(self, content: msgspec.Struct, keys: Keys, role: Role) -> SignedDocument:
        """`content` signed by those of the keys at hand that have `role`; raises SnapshotSignatureError if they are
        too few."""
        trusted = keys.of(role, self.now)
        mine = [key for key in self.signers if key_id(key.public_key()) in trusted.keys]
        document = new_document(content, mine)
        document.verify(trusted, f"the {role} made here")
        return document

    def _holds(self, keys: Keys, role: Role) -> bool:
        """Whether the keys at hand are enough to sign for `role`."""
        trusted = keys.roles[role]
        mine = {key_id(key.public_key()) for key in self.signers} & set(trusted.keys)
        return len(mine) >= trusted.threshold

    def _swap(self, name: str, before: bytes | None, after: bytes) -> None:
        if not self.store.swap(name, before, after):
            raise _someone_was_first(name)
        if self.read(name, MAX_OVERLAY_BYTES) != after:
            raise _not_read_back(name)


def _someone_was_first(name: str) -> SnapshotRollbackError:
    return SnapshotRollbackError(
        f"{name} was changed by someone else meanwhile; nothing of this was put in force.",
        next_step="See what they published; then, if it is still right, do this again.",
    )


def _not_read_back(name: str) -> SnapshotDigestError:
    return SnapshotDigestError(
        f"{name} in the store is not what was put there.",
        next_step="Nothing was put in force. Check the store; remove that file there and publish again.",
    )
