"""What the sync process does: it keeps the state directory as the store is, and makes what the workers serve of it.

The snapshot in force is copied into sealed memory and verified there; the workers get it by its descriptor. It is
hashed again, slowly, for as long as it is served. Where it is not as signed any more it is withdrawn at once and made
anew: from the copy here if that is as signed, else from the store.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hashcheck_core.errors import (
    ConfigError,
    HashcheckError,
    MissingError,
    NotAFileError,
    SnapshotDigestError,
)
from hashcheck_core.snapshot.files import open_regular, read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, Role
from hashcheck_core.snapshot.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SIGNATURE_NAME,
    Manifest,
)
from hashcheck_core.snapshot.pointer import Pointer
from hashcheck_core.snapshot.rehash import Part, verify_parts
from hashcheck_core.snapshot.sealed import huge_pages, seal, sealed_head, sealed_parts
from hashcheck_core.snapshot.signing import MAX_SIGNATURE_BYTES
from hashcheck_core.snapshot.trust import Trust
from hashcheck_core.snapshot.verifier import verify_manifest
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics
from hashcheck_service.processes.priority import give_way
from hashcheck_service.settings import Settings
from hashcheck_service.sync.clock import SteadyClock
from hashcheck_service.sync.state_directory import State
from hashcheck_service.sync.store_poller import Fetcher, fetcher_of, is_copy

# Of a first list, which nobody is served beside: so many threads hash it.
_FIRST_THREADS: Final = min(4, os.cpu_count() or 1)
# Of the threads that work on snapshots once one is served; the system's lowest is 19.
_PAUSE_SECONDS: Final = 60.0  # between two rounds of hashing what is served


class _BrokenOffError(Exception):
    """Another snapshot is served now, or the process stops."""


class Keeper:
    """Raises a HashcheckError for settings or a state directory that cannot be used.

    Its methods `documents`, `snapshots` and `verify` each go round in a thread of their own.

    Args:
        offer: called with a snapshot that may be served, and the descriptor of its sealed memory, or None where its
            files are to be mapped.
        withdraw: called with a snapshot that must not be served any more.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: SteadyClock,
        offer: Callable[[str, int | None], None],
        withdraw: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._offer, self._withdraw = offer, withdraw
        self._pinned = read_limited(settings.trusted_keys, MAX_KEYS_BYTES, follow_links=True)
        self._state = State(settings.state, settings.trust_floor.numbers)
        self._state.prepare()
        if not self._state.lead():
            raise ConfigError(
                f"Another service uses the state directory {settings.state}.",
                next_step="Stop it, or give this one a state directory of its own.",
            )
        self._fetcher: Fetcher = fetcher_of(settings, self._state, self._pinned, metrics, clock)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._served: tuple[str, int | None] | None = None
        self._adopted: tuple[str, int] | None = None
        self._doubted: set[str] = set()
        self._missing: str | None = None  # the copy of this snapshot
        self._verified_at = -_PAUSE_SECONDS

    def stop(self) -> None:
        self._stopping.set()
        self._fetcher.stop()
        self._state.release()

    def adopt(self, snapshot: str, descriptors: list[int]) -> None:
        """Go on with the memory that a sync process before this one has made."""
        if descriptors:
            self._adopted = (snapshot, descriptors[0])

    def doubt(self, snapshot: str) -> None:
        """A worker found this snapshot not to be as signed: hash it now."""
        self._doubted.add(snapshot)

    def documents(self) -> bool:
        """Keys, overlay and pointer. Quick, as the store is; raises nothing of its own."""
        self._fetcher.poll()
        return True

    def snapshots(self) -> bool:
        """Fetch what the newest pointer names, and offer what the one in force names. Blocks, for long."""
        if self._served is not None:
            give_way()
        self._fetcher.download()
        self._settle_doubts()
        if self._fetcher.may_try("memory"):
            with self._fetcher.refusing("memory"):
                self._serve()
        return self._served is not None or self._fetcher.refusal is not None

    def _serve(self) -> None:
        trust = self._state.trust(self._pinned)
        found = self._state.in_force(trust)
        if found is None:
            return  # nothing has come yet; the fetcher tells why
        pointer = found[0]
        directory = self._state.snapshots / pointer.snapshot
        if not is_copy(directory):
            if self._missing != pointer.snapshot:
                log.warning("copy_missing", snapshot=pointer.snapshot)
            self._missing = pointer.snapshot
            self._fetcher.fetch_again(pointer.snapshot)
            return
        self._missing = None
        if self._served is not None and self._served[0] == pointer.snapshot:
            return
        try:
            descriptor = self._memory(directory, trust, pointer)
        except SnapshotDigestError:
            self._fetcher.fetch_again(pointer.snapshot)
            raise
        self._put(pointer.snapshot, descriptor)

    def _memory(self, directory: Path, trust: Trust, pointer: Pointer) -> int | None:
        """The descriptor of what is to be served; None where the files are."""
        if self._settings.served_memory == "mapped":
            return None
        adopted, self._adopted = self._adopted, None
        if adopted is not None and adopted[0] == pointer.snapshot:
            return adopted[1]
        if adopted is not None:
            os.close(adopted[1])
        manifest = read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
        signature = read_limited(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
        trusted = trust.keys.roles[Role.SNAPSHOT]
        entries = verify_manifest(manifest, signature, trusted, now=None).manifest.files()
        threads = _FIRST_THREADS if self._served is None else 1
        began = time.monotonic()
        descriptor = seal(directory, manifest, signature, entries, threads=threads)
        log.info(
            "list_sealed",
            snapshot=pointer.snapshot,
            bytes=os.fstat(descriptor).st_size,
            huge_pages=huge_pages(),
            seconds=round(time.monotonic() - began, 2),
        )
        return descriptor

    def _put(self, snapshot: str, descriptor: int | None) -> None:
        with self._lock:
            before, self._served = self._served, (snapshot, descriptor)
        self._offer(snapshot, descriptor)
        if descriptor is not None:
            self._metrics.verified(self._clock())
        _close(before)

    # What is served is what was verified

    def verify(self) -> bool:
        """Hash what is served, slowly, again and again."""
        give_way()
        if time.monotonic() - self._verified_at >= _PAUSE_SECONDS and self._served is not None:
            self._verify_served(self._wait)
            self._verified_at = time.monotonic()
        return True

    def _settle_doubts(self) -> None:
        while self._doubted:
            snapshot = self._doubted.pop()
            if self._served is not None and self._served[0] == snapshot:
                self._verify_served(None)

    def _verify_served(self, wait: Callable[[str, int], None] | None) -> None:
        with self._lock:
            if self._served is None:
                return
            served = self._served
            snapshot, descriptor = served
            copy = None if descriptor is None else os.dup(descriptor)
        paced = None if wait is None else lambda size: wait(snapshot, size)
        opened: list[int] = [] if copy is None else [copy]
        try:
            verify_parts(self._parts(snapshot, copy, opened), 1, paced)
        except _BrokenOffError:
            return
        except (HashcheckError, OSError) as error:
            gone = copy is None and isinstance(error, FileNotFoundError | NotAFileError | MissingError)
            if gone or isinstance(error, SnapshotDigestError):
                self._differs(served, str(error))
        else:
            self._metrics.verified(self._clock())
        finally:
            for one in opened:
                os.close(one)

    def _parts(self, snapshot: str, memory: int | None, opened: list[int]) -> list[Part]:
        if memory is not None:
            return sealed_parts(memory, self._manifest(*sealed_head(memory)))
        directory = self._state.snapshots / snapshot
        manifest = self._manifest(
            read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES),
            read_limited(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES),
        )
        parts = []
        for entry in manifest.files():
            with open_regular(directory / entry.name) as file:
                opened.append(os.dup(file.fileno()))
            parts.append(Part(entry, opened[-1], 0))
        return parts

    def _manifest(self, manifest: bytes, signature: bytes) -> Manifest:
        trusted = self._state.trust(self._pinned).keys.roles[Role.SNAPSHOT]
        return verify_manifest(manifest, signature, trusted, now=None).manifest

    def _differs(self, served: tuple[str, int | None], message: str) -> None:
        """Take out of force what was hashed, if it is still what is served."""
        snapshot = served[0]
        log.error("served_list_differs", found_by="hashing", snapshot=snapshot, message=message)
        self._metrics.incident("hashing")
        with self._lock:
            if self._served is not served:
                return
            self._served = None
        self._withdraw(snapshot)
        _close(served)
        if self._settings.served_memory == "mapped":
            self._fetcher.fetch_again(snapshot)

    def _wait(self, snapshot: str, size: int) -> None:
        if self._stopping.wait(size / self._settings.rehash_bytes_per_second):
            raise _BrokenOffError
        if self._served is None or self._served[0] != snapshot:
            raise _BrokenOffError


def _close(served: tuple[str, int | None] | None) -> None:
    if served is not None and served[1] is not None:
        os.close(served[1])
