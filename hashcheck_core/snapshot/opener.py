"""A snapshot directory or sealed memory in, an open Snapshot out: the thin I/O around `verifier`.

Each file of a directory is opened once, mapped read only, and it is that mapping which is hashed and then used, so
that nothing can be put in its place between the check and the use. It cannot see what is written into such a file in
place later; `sealed` memory cannot be written to at all.
"""

import hashlib
import mmap
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.errors import (
    SnapshotCanaryError,
    SnapshotDigestError,
    SnapshotFormatError,
    SnapshotMixError,
)
from hashcheck_core.hash_types import Hash
from hashcheck_core.search.registry import open_engine
from hashcheck_core.snapshot.files import open_regular, read_limited, transport_error
from hashcheck_core.snapshot.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SIGNATURE_NAME,
    FileEntry,
    HashSection,
    Manifest,
)
from hashcheck_core.snapshot.pointer import Pointer
from hashcheck_core.snapshot.sealed import map_sealed, sealed_head, sealed_parts
from hashcheck_core.snapshot.signing import MAX_SIGNATURE_BYTES, TrustedKeys
from hashcheck_core.snapshot.snapshot import Entries, HashTable, Snapshot, digests_by_entry
from hashcheck_core.snapshot.verifier import (
    VerifiedManifest,
    as_array,
    hash_type_of,
    verify_entries,
    verify_file,
    verify_manifest,
    verify_section,
)


def open_snapshot(
    directory: Path,
    trusted: TrustedKeys,
    *,
    now: datetime | None,
    lowest_version: int = 1,
    pointer: Pointer | None = None,
    threads: int = 1,
) -> Snapshot:
    """Verify everything in `directory` and open it. `now` None leaves the expiry to the caller.

    With `pointer` it must be the very snapshot that names, and is good no longer than it. Its files are hashed in
    `threads`.

    Raises TransportError where a file cannot be read, a SnapshotError where anything is not as signed. A
    snapshot whose directory does not bear its own id is refused too: it was renamed or put together.
    """
    manifest_bytes = read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    signature_bytes = read_limited(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
    verified = verify_manifest(
        manifest_bytes, signature_bytes, trusted, now=now, lowest_version=lowest_version
    )
    if directory.name != verified.snapshot_id:
        raise SnapshotFormatError(
            f"The directory {directory.name[:80]!r} holds snapshot {verified.snapshot_id}.",
            next_step="Keep the name index-builder gave it.",
        )
    _check_pointer(pointer, manifest_bytes)
    views = {entry: _map(directory / entry.name, entry) for entry in verified.manifest.files()}
    _verify_files(views, threads)
    return _opened(verified, views, pointer)


def open_sealed(descriptor: int, trusted: TrustedKeys, pointer: Pointer) -> Snapshot:
    """Open the snapshot of `pointer` from memory that `sealed.seal` has made, and hashed, in a process that is trusted.

    Everything but the digests of the files is verified again. The expiry is left to the caller.
    """
    manifest_bytes, signature_bytes = sealed_head(descriptor)
    verified = verify_manifest(manifest_bytes, signature_bytes, trusted, now=None)
    _check_pointer(pointer, manifest_bytes)
    parts = sealed_parts(descriptor, verified.manifest)
    memory = map_sealed(descriptor)
    views: dict[FileEntry, memoryview | bytes] = {
        part.entry: memory[part.start : part.start + part.entry.size] for part in parts
    }
    return _opened(verified, views, pointer)


def _check_pointer(pointer: Pointer | None, manifest: bytes) -> None:
    if pointer is not None and hashlib.sha256(manifest).hexdigest() != pointer.manifest_sha256:
        raise SnapshotMixError(
            f"The manifest of {pointer.snapshot} is not the one the pointer names.",
            next_step="Copy the snapshot again from where it was built.",
        )


def _opened(
    verified: VerifiedManifest, views: Mapping[FileEntry, "memoryview | bytes"], pointer: Pointer | None
) -> Snapshot:
    """The snapshot over its files, which are as signed."""
    manifest = verified.manifest
    entry_arrays, *table_arrays = (
        {role: as_array(entry, views[entry]) for role, entry in files.items()}
        for files in (manifest.entries.files, *(section.files for section in manifest.hashes))
    )
    verify_entries(manifest, entry_arrays)
    entries = Entries(
        entry_arrays["ids"],
        entry_arrays["categories"],
        entry_arrays["source_sets"],
        tuple(tuple(names) for names in manifest.source_sets),
    )
    tables = {
        section.type: _open_table(section, manifest, arrays)
        for section, arrays in zip(manifest.hashes, table_arrays, strict=True)
    }
    snapshot = Snapshot(
        id=verified.snapshot_id,
        manifest=manifest,
        signed_by=verified.signed_by,
        tables=MappingProxyType(tables),
        entries=entries,
        digests=digests_by_entry(tables, manifest.entries.count),
        good_until=pointer.expires_at if pointer is not None else None,
        _maps=tuple(views.values()),
    )
    check_canaries(snapshot)
    return snapshot


def check_canaries(snapshot: Snapshot) -> None:
    """Raises SnapshotCanaryError unless every canary of the manifest is found with its entry at distance 0."""
    for canary in snapshot.manifest.canaries:
        table = snapshot.tables.get(canary.type)
        found: list[str] = []
        if table is not None:
            value = Hash.from_hex(table.hash_type, canary.value).value
            rows, distances = table.search(np.frombuffer(value, np.uint8)[None, :], 0).of(0)
            found = [
                snapshot.entries.entry(index).id
                for row in rows[distances == 0]
                for index in table.entries_of(int(row))
            ]
        if canary.entry not in found:
            raise SnapshotCanaryError(
                f"A {canary.type[:40]} hash that must match does not.",
                next_step="Do not serve this snapshot; build again, and report it if that does not help.",
            )


def _verify_files(views: Mapping[FileEntry, "memoryview | bytes"], threads: int) -> None:
    """Raises SnapshotDigestError unless every file is the one the manifest describes."""
    largest_first = sorted(views.items(), key=lambda load: -load[0].size)
    with ThreadPoolExecutor(threads, "verify") as pool:
        list(pool.map(lambda load: verify_file(*load), largest_first))


def _open_table(section: HashSection, manifest: Manifest, arrays: dict[str, NDArray[Any]]) -> HashTable:
    hash_type = hash_type_of(section)
    verify_section(section, manifest.entries.count, arrays)
    engine = open_engine(section.engine.name, section.engine.parameters, arrays)
    return HashTable(hash_type, engine, arrays["offsets"], arrays["links"], section.listed)


def _map(path: Path, entry: FileEntry) -> "memoryview | bytes":
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.size:
                raise SnapshotDigestError(
                    f"{entry.name} has {size} bytes, and the manifest says {entry.size}.",
                    next_step="Copy the snapshot again from where it was built.",
                )
            if size == 0:
                return b""
            return memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED))
    except OSError as error:
        raise transport_error(path, error, "mapped") from None
