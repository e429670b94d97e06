"""Lists of a few hashes, in memory: for tests of what is decided, and for simulations."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.overlay import OVERLAY_FORMAT, Addition, Overlay, lay_over
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_core.snapshot.writer import write_snapshot
from hashcheck_service.checking.hashes import Batch, decode_hex, read_batch
from hashcheck_service.checking.schema import HashIn
from tests.hashcheck_core.test_snapshot import KEY, NOW, TRUSTED, content


class Listed(NamedTuple):
    """A hash on a list. `entry`: 32 hex digits."""

    type: str
    value: str
    entry: str
    category: str = "baseline"


def small_list(listed: Sequence[Listed], added: Sequence[Listed] = ()) -> Snapshot:
    """A snapshot that lists `listed`, and an overlay over it that adds `added`."""
    [part] = lay_over(_any_snapshot(), _overlay(listed)).urgent
    snapshot = replace(_any_snapshot(), tables=part.tables, entries=part.entries, digests=part.digests)
    return lay_over(snapshot, _overlay(added)) if added else snapshot


def batch_of(snapshot: Snapshot, *items: Sequence[tuple[str, str]]) -> Batch:
    """A batch of items, each of some hashes by type and value in hex. The ref of an item is its place."""
    hashes = [[HashIn(name, value) for name, value in item] for item in items]
    return read_batch(snapshot.tables, [str(place) for place in range(len(items))], hashes, decode_hex)


@cache
def _any_snapshot() -> Snapshot:
    with TemporaryDirectory() as folder:
        return open_snapshot(write_snapshot(Path(folder), content(), [KEY]), TRUSTED, now=NOW)


def _overlay(rows: Sequence[Listed]) -> Overlay:
    additions = [Addition(row.type, row.value, row.entry, row.category, "tests", "", NOW) for row in rows]
    return Overlay(OVERLAY_FORMAT, 1, NOW, additions=additions)
