"""Every attack that the literature on update systems names, tried on what decides what may be believed.

The store is in the attacker's hands in all of these. What each attack is, is said where it is tried.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import (
    KeysExpiredError,
    SnapshotDigestError,
    SnapshotError,
    SnapshotExpiredError,
    SnapshotFormatError,
    SnapshotMixError,
    SnapshotRollbackError,
    SnapshotSignatureError,
    TransportError,
)
from hashcheck_core.snapshot.keys import Role, first_keys, new_keys_file
from hashcheck_core.snapshot.overlay import OVERLAY_FORMAT, Overlay
from hashcheck_core.snapshot.pointer import POINTER_FORMAT, Pointer
from hashcheck_core.snapshot.signed import SignedDocument, new_document
from hashcheck_core.snapshot.trust import Memory, Trust
from hashcheck_core.snapshot.writer import write_snapshot
from hashcheck_stores.directory import DirectoryStore
from hashcheck_stores.download import FetchLimits, download_snapshot
from hashcheck_stores.store import Pace, read_all
from tests.hashcheck_core.test_snapshot import NOW, content

Private = Ed25519PrivateKey
WEEK = timedelta(days=7)
SOON = NOW + timedelta(hours=1)


def key() -> Private:
    return Private.generate()


@dataclass
class Publishers:
    """The keys of honest people, 2 of 3 for roots and snapshots, and one each for pointers and overlays."""

    root: list[Private] = field(default_factory=lambda: [key(), key(), key()])
    snapshot: list[Private] = field(default_factory=lambda: [key(), key(), key()])
    pointer: list[Private] = field(default_factory=lambda: [key()])
    overlay: list[Private] = field(default_factory=lambda: [key()])
    version: int = 1
    expires_at: datetime = NOW + 52 * WEEK

    def keys_file(self, signers: list[Private]) -> bytes:
        roles = {
            Role.ROOT: ([k.public_key() for k in self.root], 2),
            Role.SNAPSHOT: ([k.public_key() for k in self.snapshot], 2),
            Role.POINTER: ([k.public_key() for k in self.pointer], 1),
            Role.OVERLAY: ([k.public_key() for k in self.overlay], 1),
        }
        return new_document(new_keys_file(self.version, NOW, self.expires_at, roles), signers).encode()

    def trust(self) -> Trust:
        return Trust(first_keys(self.keys_file(self.root[:2])))

    def point(self, sequence: int, signers: list[Private] | None = None, **changes: object) -> bytes:
        pointer = Pointer(POINTER_FORMAT, sequence, 7, "ab" * 32, 0, NOW, NOW + WEEK)
        changed = msgspec.structs.replace(pointer, **changes)
        return new_document(changed, self.pointer if signers is None else signers).encode()

    def overlay_of(self, sequence: int, signers: list[Private] | None = None) -> bytes:
        overlay = Overlay(OVERLAY_FORMAT, sequence, NOW)
        return new_document(overlay, self.overlay if signers is None else signers).encode()


@pytest.fixture
def people() -> Publishers:
    return Publishers()


@dataclass
class Published:
    store: DirectoryStore
    root: Path
    pointer: Pointer
    document: bytes


@pytest.fixture
def published(people: Publishers, tmp_path: Path) -> Published:
    """A snapshot in a store, signed by two."""
    directory = write_snapshot(tmp_path / "store", content(), people.snapshot[:2])
    digest = hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    document = people.point(1, manifest_sha256=digest)
    _, pointer = people.trust().pointer(document, SOON)
    return Published(DirectoryStore(tmp_path / "store"), tmp_path / "store", pointer, document)


def fetch(people: Publishers, published: Published, home: Path, pace: Pace | None = None) -> Path:
    limits = FetchLimits(spare_bytes=0, pace=pace or Pace())
    home.mkdir(exist_ok=True)
    return download_snapshot(published.store, published.pointer, people.trust(), home, limits, now=SOON)


def test_what_honest_people_publish_is_taken(
    people: Publishers, published: Published, tmp_path: Path
) -> None:
    assert (fetch(people, published, tmp_path / "home") / "manifest.json").is_file()


def test_arbitrary_content(people: Publishers, published: Published, tmp_path: Path) -> None:
    """The store serves what nobody signed: in the place of the pointer, the overlay, a file."""
    trust = people.trust()
    for data in (b"", b"{}\n{}\n", people.point(1, []), people.point(1, [key()])):
        with pytest.raises(SnapshotError):
            trust.pointer(data, SOON)
        with pytest.raises(SnapshotError):
            trust.overlay(data, SOON)
    codes = published.root / published.pointer.snapshot / "pdq-codes.bin"
    codes.chmod(0o600)
    codes.write_bytes(bytes(codes.stat().st_size))
    with pytest.raises(SnapshotDigestError):
        fetch(people, published, tmp_path / "home")
    assert not (tmp_path / "home" / published.pointer.snapshot).exists()


def test_rollback(people: Publishers) -> None:
    """An older pointer, overlay or keys file, rightly signed in its time, is put back: also over a restart, and
    also a second one of the same number."""
    trust, _ = people.trust().pointer(people.point(8), SOON)
    trust, _ = trust.overlay(people.overlay_of(3), SOON)
    again = Trust(trust.keys, msgspec.json.decode(msgspec.json.encode(trust.memory), type=Memory))
    for now in (trust, again):
        assert now.pointer(people.point(8), SOON)[1].sequence == 8
        for pointer in (people.point(7), people.point(8, version=8)):
            with pytest.raises(SnapshotRollbackError):
                now.pointer(pointer, SOON)
        with pytest.raises(SnapshotRollbackError):
            now.overlay(people.overlay_of(2), SOON)
    older, people.version = people.keys_file(people.root[:2]), 2
    renewed = trust.renew(people.keys_file(people.root[:2]))
    with pytest.raises(SnapshotRollbackError):
        renewed.renew(older)


def test_a_signed_roll_back_is_taken(people: Publishers) -> None:
    """The number of the pointer rises, whatever version it names."""
    trust, _ = people.trust().pointer(people.point(8, version=8), SOON)
    assert trust.pointer(people.point(9, version=7), SOON)[1].version == 7


def test_freeze(people: Publishers) -> None:
    """The store goes on serving what was right for a while, so that nothing newer is heard of."""
    trust = people.trust()
    trust.pointer(people.point(1), NOW + WEEK - timedelta(seconds=1))
    with pytest.raises(SnapshotExpiredError):
        trust.pointer(people.point(1), NOW + WEEK)
    with pytest.raises(KeysExpiredError):
        trust.pointer(people.point(1, expires_at=NOW + 99 * WEEK), people.expires_at)


def test_mix_and_match(people: Publishers, published: Published, tmp_path: Path) -> None:
    """Parts that were each signed are served together though they never belonged together."""
    asking = people.point(1, overlay=3)
    trust, _ = people.trust().overlay(people.overlay_of(2), SOON)
    with pytest.raises(SnapshotMixError):
        trust.pointer(asking, SOON)
    trust, _ = trust.overlay(people.overlay_of(3), SOON)
    assert trust.pointer(asking, SOON)[1].overlay == 3
    other = write_snapshot(tmp_path / "other", content(version=8), people.snapshot[:2])
    for name in ("manifest.json", "manifest.sig"):
        file = published.root / published.pointer.snapshot / name
        file.chmod(0o600)
        file.write_bytes((other / name).read_bytes())
    with pytest.raises(SnapshotMixError):
        fetch(people, published, tmp_path / "home")


class Endless:
    """A store that never stops sending."""

    def __init__(self, part: bytes, clock: list[float], seconds_a_part: float) -> None:
        self.part, self.clock, self.seconds = part, clock, seconds_a_part
        self.sent = 0

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        while True:
            self.clock[0] += self.seconds
            self.sent += len(self.part)
            yield self.part

    def create(self, name: str, source: Path | bytes) -> bool:
        raise NotImplementedError

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        raise NotImplementedError

    def names(self) -> list[str]:
        return []


def test_endless_data(people: Publishers, published: Published, tmp_path: Path) -> None:
    """The store never stops sending: no more is taken than was promised, and the disk does not fill."""
    store = Endless(b"x" * 65536, [0.0], 0.0)
    with pytest.raises(SnapshotFormatError, match="more than 1000 bytes"):
        read_all(store, "current", 1000, Pace())
    assert store.sent == 65536
    codes = published.root / published.pointer.snapshot / "pdq-codes.bin"
    codes.chmod(0o600)
    codes.write_bytes(codes.read_bytes() + bytes(50_000_000))
    with pytest.raises(SnapshotDigestError):
        fetch(people, published, tmp_path / "home")
    assert sum(f.stat().st_size for f in (tmp_path / "home").rglob("*") if f.is_file()) < 10_000


def test_slow_retrieval(people: Publishers, published: Published, tmp_path: Path) -> None:
    """The store sends a byte now and then, so that a download never fails and never ends."""
    clock = [0.0]
    store = Endless(b"x", clock, 5.0)
    with pytest.raises(TransportError, match="too slowly"):
        read_all(store, "current", 1000, Pace(clock=lambda: clock[0]))
    assert clock[0] < 40
    pace = Pace(grace_seconds=-1.0, clock=lambda: clock[0])  # no store is fast enough for this one
    with pytest.raises(TransportError, match="too slowly"):
        fetch(people, published, tmp_path / "home", pace)


def test_wrong_key(people: Publishers) -> None:
    """A key that may sign one thing signs another."""
    trust = people.trust()
    for others in (people.root, people.snapshot, people.overlay):
        with pytest.raises(SnapshotSignatureError):
            trust.pointer(people.point(1, others), SOON)
    for others in (people.root, people.snapshot, people.pointer):
        with pytest.raises(SnapshotSignatureError):
            trust.overlay(people.overlay_of(1, others), SOON)
    people.version = 2
    for others in (people.snapshot, people.pointer, people.overlay):
        with pytest.raises(SnapshotSignatureError):
            trust.renew(people.keys_file(others))


def test_a_document_of_one_kind_is_none_of_another(people: Publishers) -> None:
    """Even where one key may sign both: a signature over an overlay puts no snapshot in force."""
    people.overlay = people.pointer
    trust = people.trust()
    with pytest.raises(SnapshotFormatError):
        trust.pointer(people.overlay_of(1), SOON)
    with pytest.raises(SnapshotFormatError):
        trust.overlay(people.point(1), SOON)


def test_key_compromise_below_the_threshold(people: Publishers, published: Published, tmp_path: Path) -> None:
    """One key of two that are needed is stolen: for the list itself, and for the keys file."""
    stolen = people.snapshot[0]
    evil = write_snapshot(published.root, content(version=9), [stolen, stolen, key()])
    digest = hashlib.sha256((evil / "manifest.json").read_bytes()).hexdigest()
    pointed = msgspec.structs.replace(published.pointer, version=9, manifest_sha256=digest)
    with pytest.raises(SnapshotSignatureError):
        fetch(people, Published(published.store, published.root, pointed, b""), tmp_path / "home")
    trust = people.trust()
    thief, people.version = people.root[0], 2
    mine = Publishers(root=[key(), key()], version=2)
    for signers in ([thief], [thief, thief], [thief, *mine.root]):
        with pytest.raises(SnapshotSignatureError):
            trust.renew(mine.keys_file(signers))


def test_key_rotation_needs_the_old_root_and_the_new_and_skips_no_version(people: Publishers) -> None:
    trust = people.trust()
    old_root = people.root
    people.root, people.version = [key(), key()], 2
    for signers in (old_root, people.root):
        with pytest.raises(SnapshotSignatureError):
            trust.renew(people.keys_file(signers))
    assert trust.renew(people.keys_file([*old_root, *people.root])).keys.version == 2
    people.version = 3
    with pytest.raises(SnapshotRollbackError):
        trust.renew(people.keys_file([*old_root, *people.root]))


def test_fast_forward_by_a_stolen_pointer_key_ends_with_the_key(people: Publishers) -> None:
    """A thief signs the highest number there is, so that no honest pointer is ever newer."""
    trust, _ = people.trust().pointer(people.point(2**63 - 1), SOON)
    trust, _ = trust.overlay(people.overlay_of(5), SOON)
    people.pointer, people.version = [key()], 2
    renewed = trust.renew(people.keys_file(people.root[:2]))
    assert renewed.pointer(people.point(3), SOON)[1].sequence == 3
    with pytest.raises(SnapshotRollbackError):  # the overlay's key is the same, and so is what was seen of it
        renewed.overlay(people.overlay_of(4), SOON)


def test_keys_that_are_lost_are_replaced_by_those_that_are_left(people: Publishers) -> None:
    """Two of three root keys are enough, so that one may be lost."""
    trust, new = people.trust(), key()
    left = people.root[1:]
    people.root, people.version = [*left, new], 2
    assert trust.renew(people.keys_file([*left, new])).keys.version == 2


def test_any_byte_of_a_keys_file_changed_is_refused(people: Publishers) -> None:
    data = people.keys_file(people.root[:2])
    for place in range(0, len(data), 3):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(SnapshotError):
            first_keys(damaged)


def test_any_bit_of_a_pointer_or_an_overlay_changed_is_refused(people: Publishers) -> None:
    trust = people.trust()
    for good, take in ((people.point(1), trust.pointer), (people.overlay_of(1), trust.overlay)):
        take(good, SOON)
        for place in range(len(good)):
            for bit in range(8):
                damaged = good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
                with pytest.raises(SnapshotError):
                    take(damaged, SOON)


def test_a_second_person_adds_a_signature(people: Publishers) -> None:
    half = people.keys_file(people.root[:1])
    with pytest.raises(SnapshotSignatureError):
        first_keys(half)
    whole = SignedDocument.read(half, "it").signed_with(people.root[1:2]).encode()
    assert first_keys(whole).version == 1
