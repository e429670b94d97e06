"""One snapshot from a store onto this machine's disk: resumed where it broke off, whole or not there at all.

Each file is hashed as it comes and takes its name only when it is the one the manifest promises. It does not open
or serve; who opens the copy verifies it all again.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hashcheck_core.errors import SnapshotDigestError, SnapshotFormatError, TransportError
from hashcheck_core.snapshot.files import (
    must_be_regular,
    sync_directory,
    transport_error,
    write_atomically,
)
from hashcheck_core.snapshot.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SIGNATURE_NAME,
    FileEntry,
    Manifest,
)
from hashcheck_core.snapshot.pointer import Pointer
from hashcheck_core.snapshot.signing import MAX_SIGNATURE_BYTES
from hashcheck_core.snapshot.trust import Trust
from hashcheck_stores.store import CHUNK_BYTES, Pace, Store, read_all


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one snapshot may cost to fetch."""

    # The largest list a vendor has published (131 million hashes) takes 12 GB.
    max_bytes: int = 64 * 1024**3
    # Left free on the disk: for the hit log, and for whoever has to look at it.
    spare_bytes: int = 256 * 1024**2
    pace: Pace = field(default_factory=Pace)


def download_snapshot(
    store: Store, pointer: Pointer, trust: Trust, home: Path, limits: FetchLimits, *, now: datetime
) -> Path:
    """Bring the snapshot of `pointer` to `home`/<its id>, by way of `home`/incoming; answers that directory.

    Raises TransportError, or a SnapshotError where something is not as signed. What has come so far stays, and
    the next attempt goes on from there.
    """
    final = home / pointer.snapshot
    if final.is_dir():
        return final
    manifest_bytes = read_all(store, f"{pointer.snapshot}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES, limits.pace)
    signature = read_all(store, f"{pointer.snapshot}/{SIGNATURE_NAME}", MAX_SIGNATURE_BYTES, limits.pace)
    manifest = trust.manifest(pointer, manifest_bytes, signature, now).manifest
    work = home / "incoming" / pointer.snapshot
    try:
        work.mkdir(parents=True, exist_ok=True, mode=0o750)
        _check_room(work, manifest, limits)
        for entry in manifest.files():
            _fetch(store, f"{pointer.snapshot}/{entry.name}", entry, work, limits.pace)
        write_atomically(work / MANIFEST_NAME, manifest_bytes)
        write_atomically(work / SIGNATURE_NAME, signature)
        sync_directory(work)
        work.rename(final)
        sync_directory(home)
    except OSError as error:
        raise transport_error(work, error, "written") from None
    return final


def _check_room(work: Path, manifest: Manifest, limits: FetchLimits) -> None:
    total = sum(entry.size for entry in manifest.files())
    if total > limits.max_bytes:
        raise SnapshotFormatError(
            f"The snapshot has {total} bytes, and {limits.max_bytes} are allowed.",
            next_step="Raise max_snapshot_bytes if the list has grown so far.",
        )
    here = sum(file.stat().st_size for file in work.iterdir())
    if total - here + limits.spare_bytes > shutil.disk_usage(work).free:
        raise TransportError(
            f"The disk has no room for the snapshot: {total - here} bytes are to come, and "
            f"{limits.spare_bytes} are kept free.",
            next_step="Make room where the state directory is, or keep fewer snapshots.",
        )


def _fetch(store: Store, name: str, entry: FileEntry, work: Path, pace: Pace) -> None:
    path, part = work / entry.name, work / f"{entry.name}.part"
    if path.exists():
        return
    must_be_regular(part)
    digest = hashlib.sha256()
    with part.open("ab") as file:
        offset = _hash_what_is_here(part, digest)
        if offset > entry.size:
            file.truncate(offset := 0)
            digest = hashlib.sha256()
        if offset < entry.size:
            for chunk in pace.keep(name, store.read(name, offset)):
                offset += len(chunk)
                if offset > entry.size:
                    break
                digest.update(chunk)
                file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if offset < entry.size:
        raise TransportError(
            f"{name} broke off after {offset} of {entry.size} bytes.",
            next_step="It goes on from there at the next attempt.",
        )
    if offset != entry.size or digest.hexdigest() != entry.sha256:
        part.unlink()  # there is no telling which part of it is wrong
        raise SnapshotDigestError(
            f"{name} is not the file the manifest describes.",
            next_step="It is fetched anew at the next attempt; if that fails too, publish the snapshot again.",
        )
    part.chmod(0o440)
    part.rename(path)


def _hash_what_is_here(part: Path, digest: Any) -> int:
    """Take what came earlier into `digest`; its length."""
    done = 0
    with part.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
    return done
