"""Arrays in, a signed snapshot directory out. Nothing is seen under its name before it is whole and on disk.

It does not vet what it is given (index_builder does) and does not move the pointer (`pointer` does).
"""

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.hash_types import HashType
from hashcheck_core.snapshot import manifest as format_
from hashcheck_core.snapshot.files import sync_directory, transport_error, write_durably
from hashcheck_core.snapshot.manifest import (
    Canary,
    CategoryCount,
    EngineSpec,
    EntriesSection,
    FeedSection,
    FileEntry,
    HashSection,
    LastDecision,
    Manifest,
)
from hashcheck_core.snapshot.signing import sign
from hashcheck_core.snapshot.verifier import snapshot_id

# allocate(role, shape, dtype): a zeroed array
Allocate = Callable[[str, tuple[int, ...], str], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class HashColumns:
    """The distinct hashes of one type and what lists them; see manifest.HashSection for the arrays.

    `build_tables` makes the engine's own arrays, by role, in the arrays that the function given to it allocates:
    they are the snapshot's files, mapped, so that tables may outgrow memory.
    """

    hash_type: HashType
    codes: NDArray[np.uint8]
    offsets: NDArray[np.uint32]
    links: NDArray[np.uint32]
    listed: int
    engine: EngineSpec
    build_tables: Callable[[Allocate], Mapping[str, NDArray[Any]]] = lambda _: {}


@dataclass(frozen=True, slots=True)
class EntryColumns:
    """See manifest.EntriesSection for the arrays."""

    ids: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    source_sets: NDArray[np.uint16]
    source_names: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """All that goes into a snapshot. The same content gives the same bytes."""

    version: int
    created_at: datetime
    expires_at: datetime
    builder: str
    feeds: Sequence[FeedSection]
    entries: EntryColumns
    hashes: Sequence[HashColumns]
    canaries: Sequence[Canary]
    overlay: int = 0
    last_decision: LastDecision = field(default_factory=LastDecision)


def write_snapshot(
    root: Path,
    content: SnapshotContent,
    keys: Sequence[Ed25519PrivateKey],
    *,
    on_file: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a snapshot below `root` and return its directory; `on_file` hears each file's name.

    The same content built twice is the same directory: an existing one is left as it is. Raises TransportError;
    what was begun is then removed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        work = Path(tempfile.mkdtemp(prefix=".building-", dir=root))
    except OSError as error:
        raise transport_error(root, error, "written") from None
    try:
        manifest = _write_arrays(work, content, on_file)
        data = format_.encode(manifest)
        write_durably(work / format_.MANIFEST_NAME, data)
        write_durably(work / format_.SIGNATURE_NAME, sign(data, keys))
        work.chmod(0o750)
        sync_directory(work)
        final = root / snapshot_id(content.version, data)
        if not final.exists():
            work.rename(final)
            sync_directory(root)
    except OSError as error:
        raise transport_error(root, error, "written") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final


def _write_arrays(work: Path, content: SnapshotContent, on_file: Callable[[str], None]) -> Manifest:
    def put(name: str, array: NDArray[Any]) -> FileEntry:
        entry = _write_array(work / f"{name}.bin", array)
        on_file(entry.name)
        return entry

    def put_table(name: str, array: NDArray[Any]) -> FileEntry:
        entry = _seal(work / f"{name}.bin", array)
        on_file(entry.name)
        return entry

    def hash_files(columns: HashColumns) -> dict[str, FileEntry]:
        prefix = columns.hash_type.name.replace(".", "-")
        files = {
            "codes": put(f"{prefix}-codes", columns.codes),
            "offsets": put(f"{prefix}-offsets", columns.offsets),
            "links": put(f"{prefix}-links", columns.links),
        }

        def allocate(role: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
            return _new_mapped(work / f"{prefix}-{role}.bin", shape, dtype)

        for role, array in columns.build_tables(allocate).items():
            files[role] = put_table(f"{prefix}-{role}", array)
        return files

    entries = content.entries
    counts = [int(np.count_nonzero(entries.categories == code)) for code in range(len(CATEGORY_CODES))]
    entries_section = EntriesSection(
        count=len(entries.ids),
        by_category=[
            CategoryCount(category, n) for category, n in zip(CATEGORY_CODES, counts, strict=True) if n
        ],
        files={
            "ids": put("entries-ids", entries.ids),
            "categories": put("entries-categories", entries.categories),
            "source_sets": put("entries-source-sets", entries.source_sets),
        },
    )
    sections = [
        HashSection(
            type=columns.hash_type.name,
            bits=columns.hash_type.bits,
            kind=columns.hash_type.kind,
            radius=columns.hash_type.radius,
            min_quality=columns.hash_type.min_quality,
            rows=len(columns.codes),
            listed=columns.listed,
            engine=columns.engine,
            files=hash_files(columns),
        )
        for columns in content.hashes
    ]
    return Manifest(
        format=format_.FORMAT,
        version=content.version,
        created_at=content.created_at,
        expires_at=content.expires_at,
        builder=content.builder,
        feeds=list(content.feeds),
        source_sets=[list(names) for names in entries.source_names],
        entries=entries_section,
        hashes=sections,
        canaries=list(content.canaries),
        overlay=content.overlay,
        last_decision=content.last_decision,
    )


def _write_array(path: Path, array: NDArray[Any]) -> FileEntry:
    """Write plain little-endian values in C order."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = plain.data.cast("B") if plain.size else b""
    write_durably(path, data)
    path.chmod(0o440)
    return FileEntry(path.name, len(data), hashlib.sha256(data).hexdigest(), plain.dtype.str, plain.shape)


def _new_mapped(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """A zeroed array in a new file. The disk's room is taken at once: where a mapped file found none, we would die."""
    with path.open("xb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, math.prod(shape) * np.dtype(dtype).itemsize))
    return np.memmap(path, np.dtype(dtype), "r+", shape=shape)


def _seal(path: Path, mapped: NDArray[Any]) -> FileEntry:
    """Force a mapped array to disk and describe its file."""
    assert isinstance(mapped, np.memmap)
    mapped.flush()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    data = mapped.data.cast("B")
    path.chmod(0o440)
    return FileEntry(path.name, len(data), hashlib.sha256(data).hexdigest(), mapped.dtype.str, mapped.shape)
