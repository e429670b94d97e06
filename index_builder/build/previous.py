"""What came before a build in its directory: the snapshot in force, and the newest report. For what compares.

Nothing of it is trusted: signatures are not looked at. Where it cannot be read there is nothing to compare with.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.errors import SnapshotError, TransportError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, decode
from hashcheck_core.snapshot.pointer import MAX_POINTER_BYTES, POINTER_NAME, decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument
from index_builder.report.change_counts import Changes, Side, count_changes
from index_builder.report.files import newest_report
from index_builder.report.snapshot_diff import read_entries
from index_builder.review.chain import Chain
from index_builder.table.candidates import Candidates


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


def changes_since(out: Path, candidates: Candidates, held: NDArray[np.bool_]) -> Changes:
    """What a list of `candidates` without those `held` changes against the snapshot in force."""
    sources = candidates.source_names
    after = Side(candidates.ids, candidates.categories, candidates.sources, sources, ~held)
    found = in_force(out)
    if found is None:
        return count_changes(None, after)
    try:
        manifest, arrays = read_entries(found[0])
    except (TransportError, SnapshotError) as error:
        return count_changes(
            None, after, note=f"{found[0].name} is in force and cannot be read: {error.message}"
        )
    names = ["+".join(names) for names in manifest.source_sets]
    before = Side(arrays["ids"], arrays["categories"], arrays["source_sets"], names)
    return count_changes(before, after, since=found[0].name)


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
