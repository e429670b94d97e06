"""Things in a store that are no files, and a store that is gone: nothing waits for them, and it is told."""

import os
from pathlib import Path

import pytest

from tests.hashcheck_core.test_files import KINDS, put
from tests.hashcheck_service.sync.documents import overlay, point
from tests.hashcheck_service.test_following import Hands, Machine
from tests.support import Site, eventually, serving


def take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["overlay", "current", "keys-00000002.json"])
def test_what_is_no_file_in_a_store_is_refused_and_the_good_file_is_taken_when_it_comes(
    place: Site, hands: Hands, name: str, kind: str
) -> None:
    overlay(place, 1)
    point(place, 1)
    machine = Machine(place, hands)
    machine.step()
    before = machine.serves
    assert before
    odd = place.snapshots / name
    odd.unlink(missing_ok=True)
    put(kind, odd)
    hands.go(seconds=1)
    machine.step()
    assert (machine.serves, machine.refused) == (before, "not_a_file")
    assert machine.fetcher.refusal is not None
    assert f"{name} is {kind}, not a regular file" in machine.fetcher.refusal.message
    take_away(odd)
    overlay(place, 2)
    point(place, 2, overlay=2)
    hands.go(seconds=31)
    machine.step()
    assert machine.refused is None
    assert machine.follower.current is not None
    assert machine.follower.current.overlay == 2


def test_a_named_pipe_in_the_place_of_an_overlay_stops_no_new_list(place: Site) -> None:
    point(place, 1)
    place.write_settings()
    with serving(place) as server:
        server.wait_for_log("snapshot_in_force")
        os.mkfifo(place.snapshots / "overlay")
        server.wait_for_log("overlay is a named pipe, not a regular file")
        eventually(lambda: server.client.get("/readyz").json()["refused"] == "not_a_file", "the refusal")
        place.build()
        [second] = place.snapshots.glob("00000002-*")
        place.point_at(second, 2)
        eventually(lambda: server.client.get("/readyz").json()["snapshot"]["version"] == 2, "the new list")


def test_a_machine_that_is_cut_off_from_its_store_leaves_the_balancer_where_the_settings_say_so(
    place: Site,
) -> None:
    point(place, 1)
    place.write_settings("unready_without_store_seconds = 0.5\n")
    with serving(place) as server:
        assert server.client.get("/readyz").status_code == 200
        gone = place.snapshots.rename(place.root / "gone")
        eventually(lambda: server.client.get("/readyz").status_code == 503, "not ready")
        problem = server.client.get("/readyz").json()
        assert problem["code"] == "store_not_polled"
        assert server.check({"type": "md5", "value": "ab" * 16})["verdict"] == "no_match"  # it still answers
        gone.rename(place.snapshots)
        eventually(lambda: server.client.get("/readyz").status_code == 200, "ready again")


def test_without_that_setting_a_store_that_is_gone_changes_nothing(place: Site) -> None:
    point(place, 1)
    place.write_settings()
    with serving(place) as server:
        place.snapshots.rename(place.root / "gone")
        server.wait_for_log("snapshot_refused")
        eventually(lambda: server.client.get("/readyz").json()["refused"] == "unreachable", "the refusal")
