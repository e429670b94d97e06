"""Sealed memory: what was verified is what is served, and nobody can change it."""

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hashcheck_core.errors import (
    HashcheckError,
    SnapshotDigestError,
    SnapshotFormatError,
    SnapshotMixError,
    TransportError,
)
from hashcheck_core.snapshot.manifest import decode
from hashcheck_core.snapshot.opener import open_sealed, open_snapshot
from hashcheck_core.snapshot.pointer import POINTER_FORMAT, Pointer
from hashcheck_core.snapshot.sealed import seal
from hashcheck_core.snapshot.writer import write_snapshot
from tests.hashcheck_core.test_snapshot import KEY, NOW, TRUSTED, content


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_snapshot(tmp_path / "snapshots", content(), [KEY])


@pytest.fixture
def pointer(directory: Path) -> Pointer:
    digest = hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    return Pointer(POINTER_FORMAT, 1, 7, digest, 0, NOW, NOW + timedelta(days=7))


@pytest.fixture
def memory(directory: Path) -> Iterator[int]:
    descriptor = sealed(directory)
    yield descriptor
    os.close(descriptor)


def sealed(directory: Path) -> int:
    manifest = (directory / "manifest.json").read_bytes()
    return seal(directory, manifest, (directory / "manifest.sig").read_bytes(), decode(manifest).files())


def unsealed(data: bytes) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    return descriptor


def test_it_answers_as_the_files_do_also_when_these_are_cut(
    directory: Path, memory: int, pointer: Pointer
) -> None:
    plain = open_snapshot(directory, TRUSTED, now=NOW)
    found = open_sealed(memory, TRUSTED, pointer)
    assert (found.id, found.manifest, found.signed_by) == (plain.id, plain.manifest, plain.signed_by)
    del plain
    for file in directory.iterdir():
        file.chmod(0o600)
        file.write_bytes(b"")
    table = found.tables["pdq"]
    rows, _ = table.search(np.full((1, 32), 0x35, np.uint8), 31).of(0)
    assert [found.entries.entry(entry).sources for row in rows for entry in table.entries_of(int(row))] == [
        ("a", "b")
    ]


@pytest.mark.parametrize(
    "act",
    [
        lambda memory: os.pwrite(memory, b"x", 5000),
        lambda memory: os.truncate(memory, 100),
        lambda memory: os.truncate(memory, 1 << 30),
        lambda memory: mmap.mmap(memory, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        lambda memory: os.close(os.open(f"/proc/self/fd/{memory}", os.O_RDWR | os.O_TRUNC)),
    ],
    ids=["write", "cut", "grow", "map", "open anew"],
)
def test_nobody_can_change_it(memory: int, act: Callable[[int], object]) -> None:
    with pytest.raises(PermissionError):
        act(memory)


def test_a_file_that_is_not_as_signed_is_not_served(directory: Path) -> None:
    for file in sorted(directory.glob("*.bin")):
        data = file.read_bytes()
        file.chmod(0o600)
        for wrong in (bytes([data[0] ^ 1]) + data[1:], b""):
            file.write_bytes(wrong)
            with pytest.raises(SnapshotDigestError, match=file.name):
                sealed(directory)
        file.unlink()
        with pytest.raises(TransportError):
            sealed(directory)
        file.write_bytes(data)
    os.close(sealed(directory))


def test_memory_that_is_another_snapshot_or_none_is_refused(
    directory: Path, memory: int, pointer: Pointer
) -> None:
    other = msgspec.structs.replace(pointer, manifest_sha256="0" * 64)
    with pytest.raises(SnapshotMixError):
        open_sealed(memory, TRUSTED, other)
    whole = os.pread(memory, 1 << 20, 0)
    for data in (whole, b"", struct.pack("<QQ", 1 << 62, 1 << 62), struct.pack("<QQ", 100, 100)):
        descriptor = unsealed(data)
        with pytest.raises(SnapshotFormatError, match="not sealed"):
            open_sealed(descriptor, TRUSTED, pointer)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0xF)
        if data is not whole:
            with pytest.raises(HashcheckError):
                open_sealed(descriptor, TRUSTED, pointer)
        os.close(descriptor)
    short = unsealed(whole[:-1])
    fcntl.fcntl(short, fcntl.F_ADD_SEALS, 0xF)
    with pytest.raises(SnapshotDigestError):
        open_sealed(short, TRUSTED, pointer)
    os.close(short)
