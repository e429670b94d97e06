"""Whatever is done to a snapshot, it is opened whole and as signed, or refused with what to do."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.errors import (
    ConfigError,
    HashcheckError,
    SnapshotCanaryError,
    SnapshotDigestError,
    SnapshotError,
    SnapshotExpiredError,
    SnapshotFormatError,
    SnapshotRollbackError,
    SnapshotSignatureError,
    TransportError,
)
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashKind, HashType
from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES
from hashcheck_core.snapshot.manifest import Canary, EngineSpec, decode
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.pointer import POINTER_FORMAT, Pointer, decode_pointer
from hashcheck_core.snapshot.signed import new_document
from hashcheck_core.snapshot.signing import TrustedKeys, generate_pair, load_private, load_public, sign
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_core.snapshot.verifier import verify_file, verify_manifest
from hashcheck_core.snapshot.writer import EntryColumns, HashColumns, SnapshotContent, write_snapshot
from tests.support import Site

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRIVATE, PUBLIC = generate_pair()
KEY, TRUSTED = load_private(PRIVATE), TrustedKeys.of([load_public(PUBLIC)])


def content(**changes: object) -> SnapshotContent:
    """A small snapshot: the reserved pdq hash, and two listed ones of a second entry."""
    reserved = next(h for h in TEST_HASHES if h.type.name == "pdq")
    codes = np.frombuffer(b"".join(sorted([reserved.value, b"\x35" * 32, b"\x39" * 32])), np.uint8).reshape(
        3, 32
    )
    fields: dict[str, object] = {
        "version": 7,
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=7),
        "builder": "test",
        "feeds": [],
        "entries": EntryColumns(
            ids=np.frombuffer(bytes(16) + TEST_ENTRY_ID, np.uint8).reshape(2, 16),
            categories=np.array([0, 6], np.uint8),
            source_sets=np.array([0, 1], np.uint16),
            source_names=[["a", "b"], ["hashcheck-test"]],
        ),
        "hashes": [
            HashColumns(
                hash_type=BUILT_IN_TYPES["pdq"],
                codes=codes,
                offsets=np.array([0, 1, 2, 3], np.uint32),
                links=np.array([0, 0, 1], np.uint32),
                listed=2,
                engine=EngineSpec("flat"),
            )
        ],
        "canaries": [Canary("pdq", reserved.hex(), TEST_ENTRY_ID.hex())],
    }
    return SnapshotContent(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def snapshot_dir(tmp_path: Path) -> Path:
    return write_snapshot(tmp_path / "snapshots", content(), [KEY])


def test_what_was_written_is_what_is_opened(snapshot_dir: Path) -> None:
    snapshot = open_snapshot(snapshot_dir, TRUSTED, now=NOW)
    assert snapshot.id == snapshot_dir.name
    assert snapshot.version == 7
    table = snapshot.tables["pdq"]
    rows, distances = table.search(np.full((1, 32), 0x35, np.uint8), 31).of(0)
    assert distances.tolist() == [0]
    entry = snapshot.entries.entry(table.entries_of(int(rows[0]))[0])
    assert (entry.category, entry.sources) == ("baseline", ("a", "b"))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = write_snapshot(tmp_path / "one", content(), [KEY])
    two = write_snapshot(tmp_path / "two", content(), [KEY])
    assert one.name == two.name
    assert {f.name: f.read_bytes() for f in one.iterdir()} == {f.name: f.read_bytes() for f in two.iterdir()}
    assert write_snapshot(tmp_path / "one", content(), [KEY]) == one
    assert [p.name for p in (tmp_path / "one").iterdir()] == [one.name]


def test_arrays_are_mapped_and_cannot_be_written(snapshot_dir: Path) -> None:
    snapshot = open_snapshot(snapshot_dir, TRUSTED, now=NOW)
    with pytest.raises(ValueError, match="read-only"):
        snapshot.entries.categories[0] = 1
    assert (snapshot_dir / "pdq-codes.bin").stat().st_mode & 0o222 == 0


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o640)
    path.write_bytes(data)


def test_any_byte_of_manifest_or_signature_changed_is_refused(snapshot_dir: Path) -> None:
    manifest = (snapshot_dir / "manifest.json").read_bytes()
    signature = (snapshot_dir / "manifest.sig").read_bytes()
    for place in range(len(manifest)):
        damaged = manifest[:place] + bytes([manifest[place] ^ 1]) + manifest[place + 1 :]
        with pytest.raises(SnapshotSignatureError):
            verify_manifest(damaged, signature, TRUSTED, now=NOW)
    for place in range(len(signature)):
        for other in set(range(256)) - {signature[place]}:
            damaged = signature[:place] + bytes([other]) + signature[place + 1 :]
            with pytest.raises(SnapshotSignatureError):
                verify_manifest(manifest, damaged, TRUSTED, now=NOW)


def test_a_signature_has_one_form(snapshot_dir: Path) -> None:
    manifest = (snapshot_dir / "manifest.json").read_bytes()
    signature = (snapshot_dir / "manifest.sig").read_bytes()
    text = json.loads(signature)["signatures"][0]["signature"].encode()
    for form in (text.upper(), text[:64] + b" " + text[64:], text + b" "):
        with pytest.raises(SnapshotSignatureError):
            verify_manifest(manifest, signature.replace(text, form), TRUSTED, now=NOW)


def test_any_byte_of_an_array_changed_is_refused(snapshot_dir: Path) -> None:
    for file in sorted(snapshot_dir.glob("*.bin")):
        good = file.read_bytes()
        for place in range(len(good)):
            rewrite(file, good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
            with pytest.raises(SnapshotDigestError):
                open_snapshot(snapshot_dir, TRUSTED, now=NOW, threads=1 + place % 2)
        rewrite(file, good)
    assert open_snapshot(snapshot_dir, TRUSTED, now=NOW).version == 7


def test_a_truncated_or_longer_file_is_refused(snapshot_dir: Path) -> None:
    for file in sorted(snapshot_dir.iterdir()):
        good = file.read_bytes()
        for data in (good[:-1], b"", good + b"\0"):
            rewrite(file, data)
            with pytest.raises(SnapshotError):
                open_snapshot(snapshot_dir, TRUSTED, now=NOW)
        rewrite(file, good)


def test_a_missing_file_is_refused_and_named(snapshot_dir: Path) -> None:
    for file in sorted(snapshot_dir.iterdir()):
        good = file.read_bytes()
        file.unlink()
        with pytest.raises(TransportError, match=file.name):
            open_snapshot(snapshot_dir, TRUSTED, now=NOW)
        file.write_bytes(good)


def test_a_symbolic_link_in_place_of_a_file_is_refused(snapshot_dir: Path, tmp_path: Path) -> None:
    file = snapshot_dir / "pdq-codes.bin"
    shutil.copy(file, tmp_path / "elsewhere")
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransportError):
        open_snapshot(snapshot_dir, TRUSTED, now=NOW)


def test_a_wrong_key_is_refused(snapshot_dir: Path) -> None:
    stranger = TrustedKeys.of([load_public(generate_pair()[1])])
    with pytest.raises(SnapshotSignatureError, match="0 of the 1"):
        open_snapshot(snapshot_dir, stranger, now=NOW)


def test_below_the_threshold_is_refused_and_one_key_counts_once(tmp_path: Path) -> None:
    second, third = generate_pair(), generate_pair()
    keys = TrustedKeys.of([load_public(PUBLIC), load_public(second[1]), load_public(third[1])], threshold=2)
    twice_the_same = write_snapshot(tmp_path / "one", content(), [KEY, KEY])
    with pytest.raises(SnapshotSignatureError, match="1 of the 2"):
        open_snapshot(twice_the_same, keys, now=NOW)
    two = write_snapshot(tmp_path / "two", content(), [KEY, load_private(second[0])])
    assert len(open_snapshot(two, keys, now=NOW).signed_by) == 2
    with pytest.raises(ConfigError):
        TrustedKeys.of([load_public(PUBLIC), load_public(PUBLIC)], threshold=2)


def test_an_expired_snapshot_is_refused(snapshot_dir: Path) -> None:
    open_snapshot(snapshot_dir, TRUSTED, now=NOW + timedelta(days=7, seconds=-1))
    with pytest.raises(SnapshotExpiredError, match="Build and publish"):
        open_snapshot(snapshot_dir, TRUSTED, now=NOW + timedelta(days=7))


def test_a_lower_version_than_served_is_refused(snapshot_dir: Path) -> None:
    open_snapshot(snapshot_dir, TRUSTED, now=NOW, lowest_version=7)
    with pytest.raises(SnapshotRollbackError, match="version 8 was already served"):
        open_snapshot(snapshot_dir, TRUSTED, now=NOW, lowest_version=8)


def test_a_renamed_snapshot_is_refused(snapshot_dir: Path) -> None:
    renamed = snapshot_dir.rename(snapshot_dir.with_name("00000009-" + "0" * 16))
    with pytest.raises(SnapshotFormatError, match="holds snapshot"):
        open_snapshot(renamed, TRUSTED, now=NOW)


def test_files_of_another_snapshot_cannot_be_mixed_in(tmp_path: Path) -> None:
    one = write_snapshot(tmp_path, content(), [KEY])
    two = write_snapshot(tmp_path, content(version=8), [KEY])
    shutil.copy(two / "manifest.json", one / "manifest.json")
    with pytest.raises(SnapshotSignatureError):
        open_snapshot(one, TRUSTED, now=NOW)


def broken_contents() -> Iterator[tuple[str, SnapshotContent]]:
    """Snapshots that are signed and whole, and yet not what the format promises."""
    good = content()
    [pdq] = good.hashes
    entries = good.entries

    def hashes(**changes: object) -> SnapshotContent:
        fields = {name: getattr(pdq, name) for name in HashColumns.__slots__}
        return content(hashes=[HashColumns(**{**fields, **changes})])

    def entry(**changes: object) -> SnapshotContent:
        fields = {name: getattr(entries, name) for name in EntryColumns.__slots__}
        return content(entries=EntryColumns(**{**fields, **changes}))

    yield "rows out of order", hashes(codes=pdq.codes[::-1])
    yield "a row twice", hashes(codes=pdq.codes[[0, 0, 1]])
    yield "a link to no entry", hashes(links=np.array([0, 0, 2], np.uint32))
    yield "a row with no entry", hashes(offsets=np.array([0, 1, 1, 3], np.uint32))
    yield "offsets past the links", hashes(offsets=np.array([0, 1, 2, 4], np.uint32))
    yield "offsets of a wrong type", hashes(offsets=np.array([0, 1, 2, 3], np.uint64))
    yield "codes of a wrong width", hashes(hash_type=HashType("pdq", 128, HashKind.PERCEPTUAL, 31))
    yield "an engine nobody has", hashes(engine=EngineSpec("guess"))
    yield "ids out of order", entry(ids=entries.ids[::-1])
    yield "a category nobody knows", entry(categories=np.array([0, 99], np.uint8))
    yield "sources that are not there", entry(source_sets=np.array([0, 2], np.uint16))


@pytest.mark.parametrize(
    ("what", "broken"), list(broken_contents()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_signed_snapshot_that_is_not_well_made_is_refused(
    what: str, broken: SnapshotContent, tmp_path: Path
) -> None:
    with pytest.raises(SnapshotFormatError):
        open_snapshot(write_snapshot(tmp_path, broken, [KEY]), TRUSTED, now=NOW)


@pytest.mark.parametrize(("type_", "value"), [("pdq", "00" * 32), ("md5", "00" * 16)])
def test_a_snapshot_that_misses_a_canary_is_refused(type_: str, value: str, tmp_path: Path) -> None:
    missing = content(canaries=[Canary(type_, value, TEST_ENTRY_ID.hex())])
    with pytest.raises(SnapshotCanaryError):
        open_snapshot(write_snapshot(tmp_path, missing, [KEY]), TRUSTED, now=NOW)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text().map(str.encode), st.just(b"[" * 100_000)))
def test_hostile_manifests_and_signatures_raise_only_domain_errors(data: bytes) -> None:
    good = sign(b"x", [KEY])
    for manifest, signature in ((data, good), (b"x", data), (data, sign(data, [KEY]))):
        with pytest.raises(SnapshotError):
            verify_manifest(manifest, signature, TRUSTED, now=NOW)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_manifest_with_any_value_replaced_opens_nothing(data: st.DataObject) -> None:
    """Signed by a trusted key, so that only the format stands between it and the service."""
    text = _good_manifest().decode()
    words = [w for w in text.split('"') if w.strip(" \n:,[]{}")]
    word = data.draw(st.sampled_from(words))
    other = data.draw(st.sampled_from(["", "-1", "../../etc/passwd", "9" * 30, "<f8", "null", "\\u0000"]))
    damaged = text.replace(word, other, 1).encode()
    try:
        verified = verify_manifest(damaged, sign(damaged, [KEY]), TRUSTED, now=NOW)
    except HashcheckError:
        return
    for entry in verified.manifest.files():
        assert entry.name.endswith(".bin")
        assert "/" not in entry.name
        with pytest.raises(SnapshotDigestError):
            verify_file(entry, b"\0" * 7)


_manifest: list[bytes] = []


def _good_manifest() -> bytes:
    if not _manifest:
        with tempfile.TemporaryDirectory() as folder:
            _manifest.append((write_snapshot(Path(folder), content(), [KEY]) / "manifest.json").read_bytes())
        assert decode(_manifest[0]).version == 7
    return _manifest[0]


def test_a_disk_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(TransportError):
        write_snapshot(tmp_path / "file" / "below", content(), [KEY])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pointer_is_read_back_and_one_out_of_range_is_refused() -> None:
    good = Pointer(POINTER_FORMAT, 1, 7, "ab" * 32, 0, NOW, NOW + timedelta(days=1))
    assert decode_pointer(new_document(good).payload) == good
    assert good.snapshot == "00000007-" + "ab" * 8
    for change in (
        {"format": "hashcheck-pointer/1"},
        {"sequence": 0},
        {"version": 0},
        {"version": 100_000_000},
        {"manifest_sha256": "../x"},
        {"overlay": -1},
        {"expires_at": datetime(2026, 1, 1)},
    ):
        with pytest.raises(SnapshotFormatError):
            decode_pointer(new_document(msgspec.structs.replace(good, **change)).payload)


def test_every_type_of_a_built_site_opens(site: Site) -> None:
    trusted = TrustedKeys.of([load_public(site.public_key.read_bytes())])
    snapshot = open_snapshot(site.published(), trusted, now=datetime.now(UTC))
    assert isinstance(snapshot, Snapshot)
    assert set(snapshot.tables) == set(BUILT_IN_TYPES)
    assert all(table.listed == 4 for table in snapshot.tables.values())
