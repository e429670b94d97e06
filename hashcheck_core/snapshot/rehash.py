"""Files of a snapshot, hashed where they are served from: a mapped file, or a part of sealed memory."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from hashcheck_core.errors import SnapshotDigestError
from hashcheck_core.snapshot.manifest import FileEntry

_READ_BYTES: Final = 1024 * 1024


class Part(NamedTuple):
    """A file of the manifest: `entry.size` bytes of what `descriptor` names, from `start` on."""

    entry: FileEntry
    descriptor: int
    start: int


def verify_parts(parts: Sequence[Part], threads: int = 1, wait: Callable[[int], None] | None = None) -> None:
    """Hash every part in so many threads. Raises SnapshotDigestError for one that is not as signed.

    `wait` is called with the number of bytes after each that were read; it may take its time, or raise.
    """
    largest_first = sorted(parts, key=lambda part: -part.entry.size)
    with ThreadPoolExecutor(threads, "verify") as pool:
        list(pool.map(lambda part: _verify(part, wait), largest_first))


def _verify(part: Part, wait: Callable[[int], None] | None) -> None:
    digest, done, size = hashlib.sha256(), 0, part.entry.size
    while done < size:
        data = os.pread(part.descriptor, min(_READ_BYTES, size - done), part.start + done)
        if not data:
            break
        digest.update(data)
        done += len(data)
        if wait is not None:
            wait(len(data))
    if digest.hexdigest() != part.entry.sha256:
        raise SnapshotDigestError(
            f"{part.entry.name} is not the file the manifest describes.",
            next_step="Copy the snapshot again from where it was built; check the disk if it happens again.",
        )
