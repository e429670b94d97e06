"""What would be served by these settings now: for `check-config`. It writes nothing to the state directory."""

import contextlib
import tempfile
from datetime import datetime
from pathlib import Path

from hashcheck_core.errors import MissingError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, Role
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.overlay import MAX_OVERLAY_BYTES, lay_over
from hashcheck_core.snapshot.pointer import MAX_POINTER_BYTES, OVERLAY_NAME, POINTER_NAME, keys_name
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.settings import Settings
from hashcheck_service.sync.state_directory import State
from hashcheck_stores.directory import DirectoryStore
from hashcheck_stores.download import FetchLimits, download_snapshot
from hashcheck_stores.location import open_store
from hashcheck_stores.store import Pace, read_all


def published_snapshot(settings: Settings, now: datetime) -> Snapshot:
    """The snapshot the store has in force, verified as the service would and opened, the overlay over it.

    It is opened where it lies: in the state directory, in a store that is a directory, or else in a temporary
    copy. Raises DataError or TransportError with what keeps it from being served.
    """
    store, pace = (
        open_store(settings.snapshots, settings.store_ca, identity=settings.identity),
        Pace(bytes_per_second=settings.min_bytes_per_second),
    )
    state = State(settings.state, settings.trust_floor.numbers)
    trust = state.trust(read_limited(settings.trusted_keys, MAX_KEYS_BYTES, follow_links=True))
    overlay = None
    try:
        while True:
            trust = trust.renew(read_all(store, keys_name(trust.keys.version + 1), MAX_KEYS_BYTES, pace))
    except MissingError:
        pass
    with contextlib.suppress(MissingError):
        trust, overlay = trust.overlay(read_all(store, OVERLAY_NAME, MAX_OVERLAY_BYTES, pace), now)
    trust, pointer = trust.pointer(read_all(store, POINTER_NAME, MAX_POINTER_BYTES, pace), now)
    with tempfile.TemporaryDirectory(prefix="hashcheck-preview-") as temporary:
        directory = state.snapshots / pointer.snapshot
        if not directory.is_dir() and isinstance(store, DirectoryStore):
            directory = store.root / pointer.snapshot
        elif not directory.is_dir():
            limits = FetchLimits(settings.max_snapshot_bytes, pace=pace)
            directory = download_snapshot(store, pointer, trust, Path(temporary), limits, now=now)
        trusted = trust.keys.of(Role.SNAPSHOT, now)
        return lay_over(open_snapshot(directory, trusted, now=now, pointer=pointer), overlay)
