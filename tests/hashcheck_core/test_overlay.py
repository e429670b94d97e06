"""An overlay takes entries out of force and adds hashes, over any snapshot, and changes neither."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.errors import SnapshotError, SnapshotFormatError
from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_core.reserved import TEST_ENTRY_ID
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.overlay import (
    OVERLAY_FORMAT,
    Addition,
    Overlay,
    Retraction,
    decode_overlay,
    lay_over,
)
from hashcheck_core.snapshot.signed import SignedDocument, new_document
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_core.snapshot.writer import write_snapshot
from hashcheck_service.checking.hashes import Asked, Batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.checking.verdicts import Result, check
from hashcheck_service.policy import Action, Policy, Verdict
from tests.hashcheck_core.test_snapshot import KEY, NOW, TRUSTED, content

LISTED = b"\x35" * 32
ENTRY = "00" * 16
STRANGER = bytes(range(32))
ADDED = Addition("pdq", STRANGER.hex(), "ab" * 16, "baseline", "police", "found tonight", NOW)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    directory = write_snapshot(tmp_path_factory.mktemp("snapshots"), content(), [KEY])
    return open_snapshot(directory, TRUSTED, now=NOW)


def overlay(retractions: tuple[str, ...] = (), additions: tuple[Addition, ...] = ()) -> Overlay:
    made = Overlay(
        OVERLAY_FORMAT,
        3,
        NOW,
        [Retraction(entry, "a stock picture", NOW) for entry in retractions],
        list(additions),
    )
    return decode_overlay(new_document(made).payload)


def verdict(snapshot: Snapshot, value: bytes, *standing: Reason) -> Result:
    asked = Asked(BUILT_IN_TYPES["pdq"], np.frombuffer(value, np.uint8).reshape(1, -1), [0])
    results = check(snapshot, Policy(), Batch(["r"], [asked]), standing).results
    return results.get(0, Result("r", Verdict.NO_MATCH, Action.ALLOW, [], [], more_matches=False))


def test_a_retracted_entry_matches_no_more_and_comes_back_without_the_overlay(snapshot: Snapshot) -> None:
    assert verdict(snapshot, LISTED).verdict == Verdict.MATCH
    over = lay_over(snapshot, overlay((ENTRY, "ff" * 16)))
    assert over.overlay == 3
    assert verdict(over, LISTED).verdict == Verdict.NO_MATCH
    assert verdict(snapshot, LISTED).verdict == Verdict.MATCH
    assert verdict(lay_over(over, None), LISTED).verdict == Verdict.MATCH
    assert over.tables is snapshot.tables


def test_another_entry_of_the_same_hash_stays_in_force(tmp_path: Path) -> None:
    [pdq] = content().hashes
    both = replace(pdq, offsets=np.array([0, 2, 3, 4], np.uint32), links=np.array([0, 1, 0, 1], np.uint32))
    opened = open_snapshot(write_snapshot(tmp_path, content(hashes=[both]), [KEY]), TRUSTED, now=NOW)
    [match] = verdict(lay_over(opened, overlay((ENTRY,))), LISTED).matches
    assert match.entry.id == TEST_ENTRY_ID.hex()


def test_an_added_hash_matches_within_the_radius_at_once(snapshot: Snapshot) -> None:
    over = lay_over(snapshot, overlay(additions=(ADDED,)))
    near = bytes([STRANGER[0] ^ 0xFF, STRANGER[1] ^ 0x0F, *STRANGER[2:]])
    for value, distance in ((STRANGER, 0), (near, 12)):
        [match] = verdict(over, value).matches
        assert (match.entry.id, match.entry.sources, match.distance) == (ADDED.entry, ("police",), distance)
    assert verdict(over, LISTED).verdict == Verdict.MATCH
    assert verdict(snapshot, STRANGER).verdict == Verdict.NO_MATCH


def test_what_is_added_and_retracted_is_out_of_force(snapshot: Snapshot) -> None:
    over = lay_over(snapshot, overlay((ADDED.entry,), (ADDED,)))
    assert verdict(over, STRANGER).verdict == Verdict.NO_MATCH


def test_past_its_time_nothing_is_no_match_and_every_answer_says_so(snapshot: Snapshot) -> None:
    stale = verdict(snapshot, STRANGER, Reason.STALE_SNAPSHOT)
    assert (stale.verdict, stale.reasons) == (Verdict.UNKNOWN, [Reason.STALE_SNAPSHOT])
    match = verdict(snapshot, LISTED, Reason.STALE_SNAPSHOT)
    assert (match.verdict, match.reasons) == (Verdict.MATCH, [Reason.STALE_SNAPSHOT])


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "dhash128"},
        {"category": "test"},
        {"category": "other"},
        {"value": "00" * 32},
        {"value": "35" * 31},
        {"entry": "../../etc"},
        {"entry": TEST_ENTRY_ID.hex()},
    ],
)
def test_an_addition_that_cannot_be_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(SnapshotFormatError):
        overlay(additions=(msgspec.structs.replace(ADDED, **changed),))


def test_a_sequence_below_one_a_naive_time_and_another_format_are_refused() -> None:
    good = Overlay(OVERLAY_FORMAT, 1, NOW)
    for change in (
        {"sequence": 0},
        {"created_at": datetime(2026, 1, 1)},
        {"format": "hashcheck-pointer/2"},
    ):
        with pytest.raises(SnapshotFormatError):
            decode_overlay(new_document(msgspec.structs.replace(good, **change)).payload)
    assert decode_overlay(new_document(good).payload).created_at.tzinfo == UTC


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text().map(str.encode), st.just(b"[" * 100_000)))
def test_hostile_bytes_raise_only_the_domain_error(data: bytes) -> None:
    signed = SignedDocument(data.replace(b"\n", b""), ()).signed_with([KEY])
    assert SignedDocument.read(signed.encode(), "it").verify(TRUSTED, "it")
    for attempt in (lambda: decode_overlay(data), lambda: SignedDocument.read(data, "it")):
        with pytest.raises(SnapshotError):
            attempt()


def test_any_byte_of_a_signed_document_changed_is_refused() -> None:
    data = new_document(Overlay(OVERLAY_FORMAT, 1, NOW), [KEY]).encode()
    SignedDocument.read(data, "it").verify(TRUSTED, "it")
    for place in range(len(data)):
        for bit in range(8):
            damaged = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            with pytest.raises(SnapshotError):
                SignedDocument.read(damaged, "it").verify(TRUSTED, "it")
