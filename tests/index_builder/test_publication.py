"""Publishing by the programs: only forward, one winner, back only by a signature, second signatures, new keys."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hashcheck_core.snapshot.overlay import decode_overlay
from hashcheck_core.snapshot.pointer import decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument
from tests.support import Site, done, run


def pointer_of(store: Path) -> tuple[int, int, int]:
    """Sequence, version and least overlay of the pointer in a store."""
    document = SignedDocument.read((store / "current").read_bytes(), "it")
    pointer = decode_pointer(document.payload)
    return pointer.sequence, pointer.version, pointer.overlay


def test_a_snapshot_goes_to_another_store_whole(new_site: Site, tmp_path: Path) -> None:
    snapshot, store = new_site.build(), tmp_path / "store"
    told = done("index_builder", "publish", snapshot, *new_site.signing, "--store", store, "--json")
    assert json.loads(told)["snapshot"] == snapshot.name
    there = {file.name: file.read_bytes() for file in (store / snapshot.name).iterdir()}
    assert there == {file.name: file.read_bytes() for file in snapshot.iterdir()}
    assert pointer_of(store) == (1, 1, 0)
    assert all(file.stat().st_mode & 0o007 == 0 for file in store.rglob("*"))
    done("index_builder", "publish", snapshot, *new_site.signing, "--store", store)
    assert pointer_of(store) == (2, 1, 0)


def test_what_someone_spoilt_in_the_store_is_not_put_in_force(new_site: Site, tmp_path: Path) -> None:
    snapshot, store = new_site.build(), tmp_path / "store"
    (store / snapshot.name).mkdir(parents=True)
    (store / snapshot.name / "pdq-codes.bin").write_bytes(b"other")
    result = run("index_builder", "publish", snapshot, *new_site.signing, "--store", store)
    assert (result.returncode, "is not what was put there" in result.stderr) == (1, True)
    assert not (store / "current").exists()


def test_of_two_who_publish_at_once_one_is_told_that_the_other_was_first(
    new_site: Site, tmp_path: Path
) -> None:
    """Two processes, again and again: whoever wins, the pointer is one of the two, and it rises by one."""
    snapshots = [new_site.build() for _ in range(3)]
    store = tmp_path / "store"
    done("index_builder", "publish", snapshots[0], *new_site.signing, "--store", store)
    for round_ in range(3):
        before = pointer_of(store)[0]
        command = [sys.executable, "-m", "index_builder.cli", "publish"]
        options = [*map(str, new_site.signing), "--store", str(store)]
        both = [
            subprocess.Popen([*command, str(snapshot), *options], stderr=subprocess.PIPE, text=True)
            for snapshot in snapshots[1:]
        ]
        errors = [process.communicate()[1] for process in both]
        won = [process.returncode == 0 for process in both]
        sequence, version, _ = pointer_of(store)
        assert any(won), errors
        assert sequence == before + sum(won)
        for snapshot, ok, error in zip(snapshots[1:], won, errors, strict=True):
            assert ok or "by someone else" in error or "is not newer" in error, error
            assert ok or round_ or sequence == before + 1 or version != int(snapshot.name[:8])
        done("index_builder", "rollback", "1", "--store", store, *new_site.signing)


def test_going_back_is_a_new_signature(new_site: Site) -> None:
    first, second = new_site.build(), new_site.build()
    new_site.publish(first)
    new_site.publish(second)
    refused = run("index_builder", "publish", first, *new_site.signing)
    assert (refused.returncode, "rollback" in refused.stderr) == (1, True)
    told = done("index_builder", "rollback", "1", "--store", new_site.snapshots, *new_site.signing)
    assert first.name in told
    assert pointer_of(new_site.snapshots) == (3, 1, 0)
    missing = run("index_builder", "rollback", "9", "--store", new_site.snapshots, *new_site.signing)
    assert (missing.returncode, "no snapshot of version 9" in missing.stderr) == (1, True)
    codes = second / "pdq-codes.bin"
    codes.chmod(0o600)
    codes.write_bytes(b"\0" * codes.stat().st_size)
    spoilt = run("index_builder", "rollback", "2", "--store", new_site.snapshots, *new_site.signing)
    assert spoilt.returncode == 1
    assert pointer_of(new_site.snapshots) == (3, 1, 0)


def test_a_retraction_raises_the_overlay_and_the_pointer_that_asks_for_it(new_site: Site) -> None:
    new_site.publish(new_site.build())
    where = ("--store", new_site.snapshots, *new_site.signing)
    entry = "1c008808159ed4d1a859320e6c96034a"
    done("index_builder", "retract", entry, "--reason", "a stock picture", *where)
    assert pointer_of(new_site.snapshots) == (2, 1, 1)
    done(
        "index_builder", "add", "md5", "-", "--category", "baseline", "--source", "police",
        "--reason", "tonight", *where, stdin="ab" * 16,
    )  # fmt: skip
    payload = SignedDocument.read((new_site.snapshots / "overlay").read_bytes(), "it").payload
    overlay = decode_overlay(payload)
    assert (overlay.sequence, [r.entry for r in overlay.retractions]) == (2, [entry])
    assert [a.value for a in overlay.additions] == ["ab" * 16]
    done("index_builder", "reinstate", entry, *where)
    assert pointer_of(new_site.snapshots) == (4, 1, 3)
    for bad in ("nothing", "7e577e577e577e577e577e577e577e57"):
        refused = run("index_builder", "retract", bad, "--reason", "x", *where)
        assert refused.returncode == 1
    degenerate = run(
        "index_builder", "add", "pdq", "-", "--category", "baseline", "--source", "police",
        "--reason", "tonight", *where, stdin="00" * 32,
    )  # fmt: skip
    assert (degenerate.returncode, "blank picture" in degenerate.stderr) == (1, True)
    assert pointer_of(new_site.snapshots) == (4, 1, 3)


@pytest.fixture
def people(new_site: Site) -> dict[str, tuple[Path, Path]]:
    """Private and public keys of three people beside the builder's."""
    made = {}
    for name in ("builder", "second", "third"):
        stem = new_site.root / "keys" / name
        if name != "builder":
            done("index_builder", "keygen", stem)
        made[name] = (stem.with_suffix(".pem"), stem.with_suffix(".pub"))
    return made


def test_a_second_person_signs_elsewhere_what_the_first_built(
    new_site: Site, people: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    keys = new_site.root / "keys-1.json"
    (builder, builder_pub), (second, second_pub), _ = people.values()
    done(
        "index_builder", "keys", "make", keys, "--root", builder_pub, "--root", second_pub, "--root-threshold",
        "2", "--snapshot", builder_pub, "--snapshot", second_pub, "--snapshot-threshold", "2", "--pointer",
        builder_pub, "--key", builder,
    )  # fmt: skip
    half = run("index_builder", "keys", "show", keys)
    assert (half.returncode, "1 of the 2" in half.stderr) == (1, True)
    done("index_builder", "sign", keys, "--key", second)
    assert "2 of 2" in done("index_builder", "keys", "show", keys)
    snapshot = new_site.build()
    publish = ("index_builder", "publish", snapshot, "--trusted-keys", keys, "--key", builder)
    refused = run(*publish)
    assert (refused.returncode, "1 of the 2" in refused.stderr) == (1, True)
    elsewhere = tmp_path / "elsewhere" / snapshot.name
    elsewhere.mkdir(parents=True)
    for name in ("manifest.json", "manifest.sig"):
        (elsewhere / name).write_bytes((snapshot / name).read_bytes())
    assert run("index_builder", "sign", elsewhere, "--key", second).returncode == 2
    done("index_builder", "sign", elsewhere, "--key", second, "--manifest-only")
    (snapshot / "manifest.sig").write_bytes((elsewhere / "manifest.sig").read_bytes())
    done(*publish)
    assert new_site.published() == snapshot


def test_nothing_is_signed_that_is_not_what_the_manifest_says(
    new_site: Site, people: dict[str, tuple[Path, Path]]
) -> None:
    snapshot = new_site.build()
    before = (snapshot / "manifest.sig").read_bytes()
    (snapshot / "pdq-codes.bin").chmod(0o600)
    (snapshot / "pdq-codes.bin").write_bytes(b"other")
    assert run("index_builder", "sign", snapshot, "--key", people["second"][0]).returncode == 1
    assert (snapshot / "manifest.sig").read_bytes() == before


def test_keys_are_rotated_by_a_file_that_old_and_new_signed(
    new_site: Site, people: dict[str, tuple[Path, Path]]
) -> None:
    (builder, _), (second, second_pub), (third, third_pub) = people.values()
    new_site.publish(new_site.build())
    old, new = new_site.trusted_keys, new_site.root / "keys-2.json"
    make = ("index_builder", "keys", "make", new, "--after", old, "--root", second_pub)
    where = ("--store", new_site.snapshots, "--trusted-keys", old)
    done(*make, "--pointer", third_pub, "--key", second)
    refused = run("index_builder", "keys", "publish", new, *where)
    assert (refused.returncode, "predecessor" in refused.stderr) == (1, True)
    done("index_builder", "sign", new, "--key", builder)
    done("index_builder", "keys", "publish", new, *where)
    snapshot = new_site.build()
    publish = ("index_builder", "publish", snapshot, "--trusted-keys", old)
    by_the_old = run(*publish, "--key", builder)
    assert (by_the_old.returncode, "0 of the 1" in by_the_old.stderr) == (1, True)
    done("index_builder", "sign", snapshot, "--key", second)
    unreadable = run(*publish, "--key", third)  # what was in force is signed by nobody who is trusted now
    assert (unreadable.returncode, "--sequence" in unreadable.stderr) == (1, True)
    done(*publish, "--key", third, "--sequence", "2")
    assert new_site.published() == snapshot


def test_the_next_build_takes_the_overlay_in(new_site: Site) -> None:
    """What was retracted is not listed, what was added is, and both stay so by the list alone."""
    new_site.publish(new_site.build())
    listed = entry_ids(new_site.build())
    where = (*new_site.signing, "--store", new_site.snapshots)
    gone = sorted(listed)[0]
    done("index_builder", "retract", gone, "--reason", "a stock picture", *where)
    more = ("--category", "baseline", "--source", "police", "--reason", "found tonight")
    done("index_builder", "add", "sha256", "-", *more, *where, stdin="5a" * 32)
    unwanted = ("--category", "comparison", "--source", "police", "--reason", "not for this list")
    done("index_builder", "add", "sha256", "-", *unwanted, *where, stdin="a5" * 32)

    build = ("build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots, "--json")
    store = ("--store", new_site.snapshots)
    report = json.loads(done("index_builder", *build, *store, "--trusted-keys", new_site.trusted_keys))
    snapshot = Path(report["directory"])
    assert (report["overlay"], json.loads((snapshot / "manifest.json").read_bytes())["overlay"]) == (3, 3)
    added = entry_ids(snapshot) - listed
    assert (listed - entry_ids(snapshot), len(added)) == ({gone}, 1)
    codes = (snapshot / "sha256-codes.bin").read_bytes()
    assert bytes.fromhex("5a" * 32) in codes
    assert bytes.fromhex("a5" * 32) not in codes
    new_site.publish(snapshot)

    refused = run("index_builder", *build, *store)
    assert (refused.returncode, "--trusted-keys" in refused.stderr) == (2, True)


def entry_ids(snapshot: Path) -> set[str]:
    data = (snapshot / "entries-ids.bin").read_bytes()
    return {data[at : at + 16].hex() for at in range(0, len(data), 16)}
