"""Which snapshot this worker serves: follows the state directory, verifies all of it, swaps by one assignment.

The overlay is taken up at once, apart from the loading of a snapshot, which takes its time. What is refused leaves
the one before it in force. The follower knows no store and no HTTP: `store_poller` brings what it finds.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import numpy as np

from hashcheck_core.errors import (
    HashcheckError,
    SnapshotCanaryError,
    SnapshotDigestError,
    SnapshotRollbackError,
    TransportError,
)
from hashcheck_core.snapshot.files import transport_error
from hashcheck_core.snapshot.keys import Role
from hashcheck_core.snapshot.opener import check_canaries, open_sealed, open_snapshot
from hashcheck_core.snapshot.overlay import Overlay, lay_over
from hashcheck_core.snapshot.pointer import OVERLAY_NAME, POINTER_NAME, Pointer
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_core.snapshot.trust import Trust
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics
from hashcheck_service.sync.offer import Offer
from hashcheck_service.sync.rejections import Refusal, Refusals
from hashcheck_service.sync.state_directory import MEMORY_NAME, PINNED_NAME, State

_WARM_QUERIES = 64
# Of a first snapshot, which nobody is served beside: so many threads hash its files. Memory gives no more.
_FIRST_THREADS = min(4, os.cpu_count() or 1)


class SnapshotFollower:
    """`current` is the snapshot in force with the overlay over it, or None before the first; read it once for each
    request. `damaged` names a copy on this disk that is not as signed, for the fetcher to replace; `pinned` is the
    number of the pointer an admin holds this machine to, or 0. `incident` is whether what was served was found not to
    be as signed, and nothing has come in its place yet.

    With `offer` a snapshot is opened when it is offered there; without, as soon as its pointer is here."""

    def __init__(
        self,
        state: State,
        pinned: bytes,
        metrics: Metrics,
        clock: Callable[[], datetime],
        not_before: Callable[[datetime], None] = lambda _: None,
        offer: Offer | None = None,
    ) -> None:
        self._state = state
        self._pinned = pinned
        self._metrics = metrics
        self._clock = clock
        self._not_before = not_before
        self._offer = offer
        self._taken_out = 0
        self._seen: dict[str, tuple[object, ...]] = {}
        self._refusals = {
            OVERLAY_NAME: Refusals(metrics, "overlay_refused"),
            POINTER_NAME: Refusals(metrics, "snapshot_refused"),
        }
        self._lock = threading.Lock()
        self._overlay: Overlay | None = None
        self._overlay_known = False
        self._retired: Snapshot | None = None
        self.current: Snapshot | None = None
        self.damaged: str | None = None
        self.incident = False
        self.pinned = 0

    @property
    def refusal(self) -> Refusal | None:
        return next((r.current for r in self._refusals.values() if r.current is not None), None)

    def poll(self) -> None:
        """Lay the newest overlay over what is served. Quick; raises nothing of its own."""
        with self._watching(OVERLAY_NAME, OVERLAY_NAME, MEMORY_NAME) as changed:
            if changed:
                self._take_overlay(self._trust())

    def load(self) -> None:
        """Load the snapshot the pointer names if it is another than before. Blocks; raises nothing of its own."""
        self._retired = None
        with self._watching(POINTER_NAME, POINTER_NAME, PINNED_NAME, OVERLAY_NAME) as changed:
            if not changed:
                return
            trust = self._trust()
            if not self._overlay_known:
                self._take_overlay(trust)  # nothing is served without the retractions that belong to it
            found = self._state.in_force(trust)
            if found is None:
                return  # nothing has come yet; the fetcher tells why
            pointer, held = found
            try:
                if self._load(trust, pointer):
                    self.pinned = pointer.sequence if held else 0
            except SnapshotDigestError:
                self.damaged = pointer.snapshot
                raise

    def take_out(self, snapshot: str) -> None:
        """This snapshot is not what was verified any more: serve it no longer, and load it anew when it is here."""
        with self._lock:
            self._taken_out += 1
            if self.current is None or self.current.id != snapshot:
                return
            self._retired, self.current = self.current, None
            self.incident = True
        self._seen.pop(POINTER_NAME, None)
        log.error("snapshot_out_of_force", snapshot=snapshot)

    def ask_canaries(self) -> str | None:
        """Ask for the hashes that must match; the snapshot, if one does not, which is taken out then."""
        snapshot = self.current
        if snapshot is None:
            return None
        try:
            check_canaries(snapshot)
        except SnapshotCanaryError:
            log.error("served_list_differs", found_by="canary", snapshot=snapshot.id)
            self._metrics.incident("canary")
            self.take_out(snapshot.id)
            return snapshot.id
        return None

    def _trust(self) -> Trust:
        trust = self._state.trust(self._pinned)
        self._not_before(trust.memory.signed_at)
        return trust

    def _take_overlay(self, trust: Trust) -> None:
        # Locked while it is read, too: of two threads the one that read the older must not put it in force last.
        with self._lock:
            data = self._state.document(OVERLAY_NAME)
            overlay = None if data is None else trust.overlay(data, None)[1]
            if overlay is None and trust.least_overlay:
                raise SnapshotRollbackError(
                    f"Overlay {trust.least_overlay} was in force here or is asked for by trust_floor, and it is not "
                    "here.",
                    next_step="It is fetched again from the store; if it is not there either, publish it anew.",
                )
            before = self._overlay
            self._overlay, self._overlay_known = overlay, True
            if self.current is not None and overlay != before:
                self.current = lay_over(self.current, overlay)
        if overlay != before and overlay is not None:
            log.info("overlay_in_force", overlay=overlay.sequence)
            self._metrics.overlaid(overlay)

    def _load(self, trust: Trust, pointer: Pointer) -> bool:
        """Serve the snapshot of `pointer`; whether it is here."""
        with self._lock:
            before, taken_out = self.current, self._taken_out
            if before is not None and pointer.snapshot == before.id:
                self.current = replace(before, good_until=pointer.expires_at)
                return True
        loaded = self._open(trust, pointer, _FIRST_THREADS if before is None else 1)
        if loaded is None:
            return False
        warm(loaded)
        with self._lock:
            if taken_out != self._taken_out:
                self._seen.pop(POINTER_NAME, None)
                return False  # it may have been this one: look again at the next poll
            # Who lets go of it last unmaps gigabytes: this thread, a poll later, and not the request that has it.
            self._retired = before
            self.current = snapshot = lay_over(loaded, self._overlay)
            self.incident = False
        self._metrics.serves(snapshot)
        log.info("snapshot_in_force", snapshot=snapshot.id, before=before.id if before else None)
        return True

    def _open(self, trust: Trust, pointer: Pointer, threads: int) -> Snapshot | None:
        """The snapshot, from sealed memory or from its files; None where it is not offered yet."""
        trusted = trust.keys.roles[Role.SNAPSHOT]
        offered, descriptor = (True, None) if self._offer is None else self._offer.of(pointer.snapshot)
        if not offered:
            return None
        if descriptor is None:
            directory = self._state.snapshots / pointer.snapshot
            return open_snapshot(directory, trusted, now=None, pointer=pointer, threads=threads)
        try:
            return open_sealed(descriptor, trusted, pointer)
        finally:
            os.close(descriptor)

    @contextmanager
    def _watching(self, kind: str, *names: str) -> Iterator[bool]:
        """Whether `names` changed since they were last looked at, or are to be tried again; tells what fails."""
        now = self._clock()
        refusals = self._refusals[kind]
        stamp = (*self._state.stamp(*names), self._offer.number if self._offer is not None else 0)
        changed = stamp != self._seen.get(kind) or refusals.due(now)
        self._seen[kind] = stamp
        serving = self.current.id if self.current else None
        try:
            yield changed
        except HashcheckError as error:
            refusals.refuse(error, now, serving)
        except OSError as error:
            refusals.refuse(transport_error(self._state.root, error, "used"), now, serving)
        except MemoryError:
            refusals.refuse(
                TransportError("There is not enough memory to map the snapshot.", next_step="Give it more."),
                now,
                serving,
            )
        except BaseException:
            self._seen.pop(kind, None)  # the next round tries again
            raise
        else:
            if changed:
                refusals.clear()


def warm(snapshot: Snapshot) -> None:
    """Search each table a little, so that no request pays for pages and kernels met for the first time. Verifying
    has brought every page into memory already."""
    for table in snapshot.tables.values():
        codes = np.random.default_rng(0).integers(0, 256, (_WARM_QUERIES, table.hash_type.bytes), np.uint8)
        for code in codes:
            table.search(code[None, :], table.hash_type.radius)
