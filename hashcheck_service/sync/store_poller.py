"""From the store into the state directory: one process of a machine does this for all.

Documents (keys, overlay, pointer) are small and asked for at every poll; a snapshot is fetched apart, so that a
retraction never waits for a download. Only what was verified is kept. What fails leaves everything as it is.
It opens no snapshot: `served_snapshot` does, in every worker.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from hashcheck_core.errors import HashcheckError, MissingError, TransportError
from hashcheck_core.snapshot.files import transport_error
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES
from hashcheck_core.snapshot.overlay import MAX_OVERLAY_BYTES
from hashcheck_core.snapshot.pointer import (
    MAX_POINTER_BYTES,
    OVERLAY_NAME,
    POINTER_NAME,
    Pointer,
    is_snapshot_name,
    keys_name,
)
from hashcheck_core.snapshot.trust import Trust
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics
from hashcheck_service.settings import Settings
from hashcheck_service.sync.rejections import Refusal, Refusals
from hashcheck_service.sync.state_directory import MEMORY_NAME, PINNED_NAME, Fetching, State
from hashcheck_stores.download import FetchLimits, download_snapshot
from hashcheck_stores.location import open_store
from hashcheck_stores.store import Pace, Store, read_all

# Kinds of work, and what the log calls their refusal.
_EVENTS: Final = {
    "keys": "keys_file_refused",
    "overlay": "overlay_refused",
    "pointer": "snapshot_refused",
    "snapshot": "snapshot_refused",
    "memory": "snapshot_refused",
}


def fetcher_of(
    settings: Settings, state: State, pinned: bytes, metrics: Metrics, clock: Callable[[], datetime]
) -> "Fetcher":
    """Raises DataError or TransportError for a store that cannot be used."""
    limits = FetchLimits(
        settings.max_snapshot_bytes, pace=Pace(bytes_per_second=settings.min_bytes_per_second)
    )
    store = open_store(settings.snapshots, settings.store_ca, identity=settings.identity)
    return Fetcher(store, state, pinned, limits, metrics, clock, settings.keep_snapshots)


class Fetcher:
    def __init__(
        self,
        store: Store,
        state: State,
        pinned: bytes,
        limits: FetchLimits,
        metrics: Metrics,
        clock: Callable[[], datetime],
        keep_snapshots: int,
    ) -> None:
        self._stopping = threading.Event()
        self._store = _Stoppable(store, self._stopping)
        self._state = state
        self._pinned = pinned
        self._limits = limits
        self._clock = clock
        self._keep = keep_snapshots
        self._trust: Trust | None = None
        self._known: dict[str, bytes] = {}
        before = state.fetching()
        self._answered_at = before.answered_at if before else None
        self._wanted: tuple[Pointer, bytes] | None = None
        self._refusals = {kind: Refusals(metrics, event) for kind, event in _EVENTS.items()}
        # Both methods below run in threads of their own, and both move the trust on.
        self._lock = threading.RLock()

    @property
    def refusal(self) -> Refusal | None:
        return next((r.current for r in self._refusals.values() if r.current is not None), None)

    def stop(self) -> None:
        """Break off what is being fetched: the next start goes on with it."""
        self._stopping.set()

    def poll(self) -> None:
        """Ask for keys, overlay and pointer, in this order. Blocks; raises nothing of its own."""
        now = self._clock()
        with self.refusing("keys"):
            if self._trust is None:
                self._trust = self._state.trust(self._pinned)
            self._keep_memory()
            self._take_keys()
        if self._trust is not None:
            with self.refusing("overlay"):
                self._take_overlay(now)
            with self.refusing("pointer"):
                self._take_pointer(now)
        self._report(now)

    def download(self) -> None:
        """Fetch the snapshot the newest pointer names, if it is not here. Blocks, for long; raises nothing."""
        wanted, trust = self._wanted, self._trust
        refusals = self._refusals["snapshot"]
        now = self._clock()
        if wanted is None or trust is None or (refusals.current is not None and not refusals.due(now)):
            return
        pointer, document = wanted
        with self.refusing("snapshot"):
            download_snapshot(self._store, pointer, trust, self._state.snapshots, self._limits, now=now)
            self._put_in_force(pointer, document)
            self._tidy(pointer)
            self._refusals["memory"].clear()  # what was not as signed may be so now
        self._report(self._clock())

    def _keep_memory(self) -> None:
        """The memory lies on disk before anything that was accepted does: so one that is missing was taken away."""
        assert self._trust is not None
        if self._state.stamp(MEMORY_NAME) != (None,):
            return
        if self._state.is_used:
            log.error(
                "state_damaged", missing=MEMORY_NAME, pointer=self._trust.memory.in_force.sequence,
                message="It is made anew from the signed documents beside it. Find out who removed it.",
            )  # fmt: skip
        self._state.remember(self._trust.memory)

    def _take_keys(self) -> None:
        assert self._trust is not None
        while (data := self._read(keys_name(self._trust.keys.version + 1), MAX_KEYS_BYTES)) is not None:
            with self._lock:
                trust = self._trust.renew(data)
                self._state.keep(keys_name(trust.keys.version), data)
                self._believe(trust)
            log.info("keys_file_in_force", version=trust.keys.version)

    def _take_overlay(self, now: datetime) -> None:
        assert self._trust is not None
        data = self._read(OVERLAY_NAME, MAX_OVERLAY_BYTES)
        if data is None or data == self._known.get(OVERLAY_NAME):
            return
        with self._lock:
            trust, overlay = self._trust.overlay(data, now)
            if data != self._state.document(OVERLAY_NAME):
                self._state.keep(OVERLAY_NAME, data)
                log.info("overlay_fetched", overlay=overlay.sequence)
            self._believe(trust)
            self._known[OVERLAY_NAME] = data

    def _take_pointer(self, now: datetime) -> None:
        assert self._trust is not None
        data = self._read(POINTER_NAME, MAX_POINTER_BYTES)
        if data is None:
            raise MissingError(
                "No snapshot has been published where this service looks.",
                next_step="Publish one with: index-builder publish; or see if `snapshots` names the right store.",
            )
        self._answered_at = now
        if data == self._known.get(POINTER_NAME):
            return
        with self._lock:
            trust, pointer = self._trust.pointer(data, now)
            self._believe(trust)
            self._known[POINTER_NAME] = data
            self._wanted = (pointer, data)
        self._refusals["snapshot"].clear()
        if is_copy(self._state.snapshots / pointer.snapshot):
            self._put_in_force(pointer, data)

    def _put_in_force(self, pointer: Pointer, document: bytes) -> None:
        """The snapshot is here, whole: let the workers see its pointer."""
        assert self._trust is not None
        with self._lock:
            trust, _ = self._trust.in_force(document)
            if document != self._state.document(POINTER_NAME):
                self._state.keep(POINTER_NAME, document)
            self._believe(trust)
            if self._wanted is not None and self._wanted[1] == document:
                self._wanted = None

    def _believe(self, trust: Trust) -> None:
        """Go on from `trust`, now and after a restart: what was kept comes first on disk, then that it was seen."""
        if self._trust is None or trust.memory != self._trust.memory:
            self._state.remember(trust.memory)
        self._trust = trust

    def may_try(self, kind: str) -> bool:
        """Whether this kind of work was not refused, or is to be tried again."""
        refusals = self._refusals[kind]
        return refusals.current is None or refusals.due(self._clock())

    def fetch_again(self, snapshot: str) -> None:
        """The copy of this snapshot here is not as signed: drop it, and fetch it anew."""
        copy = self._state.snapshots / snapshot
        with contextlib.suppress(OSError):
            copy.unlink()  # where it is a link
        shutil.rmtree(copy, ignore_errors=True)
        with self._lock:
            self._known.pop(POINTER_NAME, None)

    def _tidy(self, pointer: Pointer) -> None:
        """Keep the last few snapshots: the one in force, and those that came last."""
        home = self._state.snapshots
        with contextlib.suppress(OSError):
            found = [path for path in home.iterdir() if is_snapshot_name(path.name)]
            found.sort(key=lambda path: path.stat().st_mtime_ns)
            kept = {pointer.snapshot, self._pinned_snapshot()}
            old = [path for path in found if path.name not in kept][: max(0, len(found) - self._keep)]
            incoming = home / "incoming"
            for path in (*old, *(incoming.iterdir() if incoming.is_dir() else ())):
                shutil.rmtree(path, ignore_errors=True)

    def _pinned_snapshot(self) -> str | None:
        assert self._trust is not None
        with contextlib.suppress(HashcheckError):
            data = self._state.document(PINNED_NAME)
            return None if data is None else self._trust.pinned(data).snapshot
        return None

    def _read(self, name: str, limit: int) -> bytes | None:
        try:
            return read_all(self._store, name, limit, self._limits.pace)
        except MissingError:
            return None

    @contextmanager
    def refusing(self, kind: str) -> Iterator[None]:
        refusals = self._refusals[kind]
        try:
            try:
                yield
            except OSError as error:  # met where no part of the work expects it: a right that was lost, say
                raise transport_error(self._state.root, error, "used") from None
        except HashcheckError as error:
            pointer = self._state.stamp(POINTER_NAME)
            refusals.refuse(error, self._clock(), "the one before" if pointer != (None,) else None)
        else:
            refusals.clear()

    def _report(self, now: datetime) -> None:
        """Tell the workers; where that cannot be written they notice the silence."""
        standing = self.refusal
        code, detail = (standing.code, standing.detail) if standing else (None, None)
        with contextlib.suppress(HashcheckError):
            self._state.report(Fetching(os.getpid(), now, self._answered_at, code, detail))


def is_copy(path: Path) -> bool:
    """Whether a snapshot may be here: a directory, and no link to one."""
    return path.is_dir() and not path.is_symlink()


class _Stoppable:
    """A store to be read from until the service stops."""

    def __init__(self, store: Store, stopping: threading.Event) -> None:
        self._store = store
        self._stopping = stopping
        self.create, self.swap, self.names = store.create, store.swap, store.names

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        for part in self._store.read(name, offset):
            if self._stopping.is_set():
                raise TransportError("The service is stopping.", next_step="Nothing: the next start goes on.")
            yield part
