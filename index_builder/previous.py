"""What the snapshot in force was made from, for gates that compare."""

from collections.abc import Mapping
from pathlib import Path

from hashcheck_core.errors import SnapshotError, TransportError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, decode
from hashcheck_core.snapshot.pointer import MAX_POINTER_BYTES, POINTER_NAME, decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument


def feeds_in_force(out: Path) -> "Mapping[str, Mapping[str, int]] | None":
    """Accepted rows by category of each feed in the snapshot that is in force in `out`; None where none is.

    A snapshot that was built and never published is no yardstick: a list could creep there step by step.
    """
    try:
        # Only to be compared with: what it says is not trusted, so its signatures are not looked at.
        document = SignedDocument.read(read_limited(out / POINTER_NAME, MAX_POINTER_BYTES), "the pointer")
        in_force = out / decode_pointer(document.payload).snapshot
        data = read_limited(in_force / MANIFEST_NAME, MAX_MANIFEST_BYTES)
        manifest: Manifest = decode(data)
    except (TransportError, SnapshotError):
        return None
    return {feed.name: feed.categories for feed in manifest.feeds}
