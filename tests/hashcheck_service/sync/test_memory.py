"""What a machine remembers of the numbers it saw, when somebody takes files of the state directory away."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hashcheck_core.errors import SnapshotFormatError, SnapshotRollbackError
from hashcheck_core.snapshot.trust import Floor
from hashcheck_service.sync.state_directory import MEMORY_NAME, State
from tests.hashcheck_service.sync.documents import overlay, point
from tests.hashcheck_service.test_following import Hands, Machine
from tests.support import Site, serving


def went_through(site: Site, hands: Hands) -> Path:
    """The state directory of a machine that took pointer 5 and overlay 3, after it was stopped."""
    overlay(site, 3)
    point(site, 5, overlay=3)
    machine = Machine(site, hands)
    machine.step()
    assert machine.serves, machine.refused
    return machine.state.root


def test_without_its_memory_a_machine_takes_nothing_older_than_the_documents_beside_it(
    place: Site, hands: Hands
) -> None:
    state = went_through(place, hands)
    for older in ((4, 3), (5, 2)):
        (state / MEMORY_NAME).unlink()
        overlay(place, older[1])
        point(place, older[0], overlay=older[1])
        machine = Machine(place, hands)
        with capture_logs() as logs:
            machine.step()
        [told] = [entry for entry in logs if entry["event"] == "state_damaged"]
        assert (told["missing"], told["pointer"]) == (MEMORY_NAME, 5)
        assert machine.serves
        assert machine.refused == "snapshot_rollback"
        memory = State(state).trust(place.trusted_keys.read_bytes()).memory
        assert (memory.pointer.sequence, memory.overlay.sequence) == (5, 3)
    overlay(place, 4)
    point(place, 6, overlay=4)
    hands.go(seconds=31)
    machine.step()
    machine.step()
    assert machine.refused is None


def test_an_older_memory_put_back_brings_nothing_older_back(place: Site, hands: Hands) -> None:
    point(place, 4)
    machine = Machine(place, hands)
    machine.step()
    before = (machine.state.root / MEMORY_NAME).read_bytes()
    older = (place.snapshots / "current").read_bytes()
    state = went_through(place, hands)
    (state / MEMORY_NAME).write_bytes(before)
    (place.snapshots / "current").write_bytes(older)
    machine = Machine(place, hands)
    machine.step()
    assert machine.refused == "snapshot_rollback"
    assert machine.state.trust(place.trusted_keys.read_bytes()).memory.pointer.sequence == 5


@pytest.mark.parametrize("kept", ["overlay", "snapshots"])
def test_what_is_left_without_memory_and_pointer_is_damage_and_not_a_first_start(
    place: Site, hands: Hands, kept: str
) -> None:
    state = went_through(place, hands)
    for name in {MEMORY_NAME, "current", "overlay", "snapshots"} - {kept}:
        if (state / name).is_dir():
            shutil.rmtree(state / name)
        else:
            (state / name).unlink()
    point(place, 4, overlay=3)
    machine = Machine(place, hands)
    machine.step()
    assert (machine.serves, machine.refused) == (None, "bad_snapshot_format")
    with pytest.raises(SnapshotFormatError, match=r"docs/runbook\.md"):
        State(state).trust(place.trusted_keys.read_bytes())
    shutil.rmtree(state)  # what the runbook says
    again = Machine(place, hands)
    again.step()
    assert again.serves


def test_a_memory_that_is_removed_while_serving_is_made_anew_and_told(place: Site, hands: Hands) -> None:
    point(place, 5)
    machine = Machine(place, hands)
    with capture_logs() as logs:
        machine.step()
    assert not [entry for entry in logs if entry["event"] == "state_damaged"]  # a first start is none
    file = machine.state.root / MEMORY_NAME
    before = file.read_bytes()
    file.unlink()
    hands.go(seconds=1)
    with capture_logs() as logs:
        machine.step()
    assert file.read_bytes() == before
    assert [entry["missing"] for entry in logs if entry["event"] == "state_damaged"] == [MEMORY_NAME]


def test_a_first_start_takes_nothing_below_the_floor(place: Site, hands: Hands) -> None:
    overlay(place, 2)
    point(place, 4)
    machine = Machine(place, hands, Floor(pointer=5, overlay=3))
    machine.step()
    assert (machine.serves, machine.refused) == (None, "snapshot_rollback")
    point(place, 5)  # goes with the overlay that is too old
    hands.go(seconds=31)
    machine.step()
    assert (machine.serves, machine.refused) == (None, "snapshot_rollback")
    assert machine.follower.refusal is not None
    assert "asked for by trust_floor" in machine.follower.refusal.detail
    overlay(place, 3)
    for _ in range(2):
        hands.go(seconds=31)
        machine.step()
    assert machine.serves
    assert machine.refused is None


def test_the_floor_counts_keys_files_too(place: Site) -> None:
    point(place, 5)
    trust = State(place.root / "state", Floor(keys=2))
    trust.prepare()
    with pytest.raises(SnapshotRollbackError, match="trust_floor"):
        trust.trust(place.trusted_keys.read_bytes()).pointer(
            (place.snapshots / "current").read_bytes(), datetime.now(UTC)
        )


def test_the_floor_stands_in_the_settings(place: Site) -> None:
    point(place, 4)
    place.write_settings("[trust_floor]\npointer = 5\n")
    with serving(place) as server:
        server.wait_for_log("trust_floor in the settings asks for 5")
        assert server.client.get("/readyz").status_code == 503
        point(place, 5)
        server.wait_for_log("snapshot_in_force", 1)
