"""What came before a build in its directory: the snapshot in force, and the newest report. For what compares.

Nothing of it is trusted: signatures are not looked at.
"""

from collections.abc import Mapping
from pathlib import Path

from hashcheck_core.errors import SnapshotError, TransportError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, decode
from hashcheck_core.snapshot.pointer import MAX_POINTER_BYTES, POINTER_NAME, decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument
from index_builder.decisions.chain import Chain
from index_builder.report_files import newest_report


def in_force(out: Path) -> tuple[Path, Manifest] | None:
    """The directory and the manifest of the snapshot that is in force in `out`; None where none is.

    A snapshot that was built and never published is no yardstick: a list could creep there step by step.
    """
    try:
        document = SignedDocument.read(read_limited(out / POINTER_NAME, MAX_POINTER_BYTES), "the pointer")
        directory = out / decode_pointer(document.payload).snapshot
        return directory, decode(read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES))
    except (TransportError, SnapshotError):
        return None


def feeds_in_force(out: Path) -> "Mapping[str, Mapping[str, int]] | None":
    """Accepted rows by category of each feed in the snapshot that is in force in `out`; None where none is."""
    found = in_force(out)
    return None if found is None else {feed.name: feed.categories for feed in found[1].feeds}


def must_continue(decisions: Chain, out: Path) -> None:
    """Raises DecisionError where decisions are missing that the snapshot in force, or the newest build, was made with.

    A chain tells of itself what was changed in it, but not that its end was taken away.
    """
    found = in_force(out)
    if found is not None:
        decisions.must_continue(found[1].last_decision, f"snapshot {found[0].name}, which is in force,")
    newest = newest_report(out)
    if newest is not None:
        decisions.must_continue(newest.report.decisions.last, f"the newest build ({newest.name})")
