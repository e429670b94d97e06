"""Pointers and overlays signed in the test's own process: quick, and with any number."""

from datetime import UTC, datetime

from hashcheck_core.snapshot.overlay import OVERLAY_FORMAT, Overlay
from hashcheck_core.snapshot.signed import new_document
from hashcheck_core.snapshot.signing import load_private
from tests.support import Site


def point(site: Site, number: int, **changes: object) -> None:
    """Publish pointer `number` to the one snapshot there is."""
    [snapshot] = site.snapshots.glob("00000001-*")
    site.point_at(snapshot, number, **changes)


def overlay(site: Site, number: int) -> None:
    """Publish overlay `number`, with nothing in it."""
    key = load_private((site.root / "keys" / "builder.pem").read_bytes())
    document = new_document(Overlay(OVERLAY_FORMAT, number, datetime.now(UTC)), [key])
    (site.snapshots / "overlay").write_bytes(document.encode())
