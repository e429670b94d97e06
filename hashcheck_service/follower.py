"""Which snapshot is served: follows the pointer file, verifies what it names, swaps by one assignment.

A snapshot that is refused leaves the one before it in force. The follower knows files but no HTTP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hashcheck_core.errors import HashcheckError, TransportError
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.pointer import pointer_stamp, read_pointer
from hashcheck_core.snapshot.signing import TrustedKeys
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics

# A refused snapshot is looked at again after this long even if the pointer did not move: its files may still
# have been on their way, or the disk unwell.
_RETRY = timedelta(seconds=30)
_UNSEEN = (-1, -1, -1)  # the stamp of no file, and not that of a missing one either


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the snapshot the pointer names is not served."""

    code: str
    message: str


class SnapshotFollower:
    """`current` is the snapshot in force, or None before the first; read it once for each request."""

    def __init__(
        self, root: Path, trusted: TrustedKeys, metrics: Metrics, clock: Callable[[], datetime]
    ) -> None:
        self._root = root
        self._trusted = trusted
        self._metrics = metrics
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = _UNSEEN
        self._retry_at: datetime | None = None
        self.current: Snapshot | None = None
        self.refusal: Refusal | None = None

    def poll(self) -> None:
        """Load the snapshot the pointer names if it is another than before. Blocks; call it in a thread.

        Raises nothing of its own: a failure is logged, counted and kept in `refusal`.
        """
        now = self._clock()
        try:
            stamp = pointer_stamp(self._root)
            if stamp == self._stamp and (self._retry_at is None or now < self._retry_at):
                return
            self._stamp = stamp
            self._load(now)
            self._retry_at = self.refusal = None
        except HashcheckError as error:
            self._refuse(error, now)
        except MemoryError:
            self._refuse(
                TransportError("There is not enough memory to map the snapshot.", next_step="Give it more."),
                now,
            )

    def _load(self, now: datetime) -> None:
        directory = read_pointer(self._root)
        before = self.current
        if before is not None and directory.name == before.id:
            return
        lowest = before.version if before is not None else 1
        self.current = snapshot = open_snapshot(directory, self._trusted, now=now, lowest_version=lowest)
        self._metrics.serves(snapshot)
        log.info("snapshot_in_force", snapshot=snapshot.id, before=before.id if before else None)

    def _refuse(self, error: HashcheckError, now: datetime) -> None:
        self._retry_at = now + _RETRY
        refusal = Refusal(error.code, str(error))
        known, self.refusal = refusal == self.refusal, refusal
        if not known:
            self._metrics.refused(error.code)
            serving = self.current.id if self.current else None
            log.error("snapshot_refused", code=error.code, message=str(error), still_serving=serving)
