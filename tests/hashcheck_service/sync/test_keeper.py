"""What the sync process offers, withdraws and makes anew, step by step; and the canaries of a worker."""

import os
import shutil
from pathlib import Path

import pytest

from hashcheck_core.errors import ConfigError
from hashcheck_service.metrics import Metrics
from hashcheck_service.settings import load_settings
from hashcheck_service.sync.clock import SteadyClock
from hashcheck_service.sync.keeper import Keeper
from hashcheck_service.sync.offer import Offer
from hashcheck_service.sync.served_snapshot import SnapshotFollower
from hashcheck_service.sync.state_directory import State
from tests.support import Site, make_site


class Machine:
    """A sync process and one worker, without the processes."""

    def __init__(self, site: Site) -> None:
        settings = load_settings(site.root / "service.toml")
        self.metrics, clock = Metrics(), SteadyClock()
        self.given = Offer()
        self.offers: list[str] = []
        self.keeper = Keeper(settings, self.metrics, clock, self._offered, self._withdrawn)
        self.state = State(site.root / "state")
        pinned = site.trusted_keys.read_bytes()
        self.worker = SnapshotFollower(self.state, pinned, self.metrics, clock, offer=self.given)

    def step(self) -> None:
        self.keeper.documents()
        self.keeper.snapshots()
        self.worker.poll()
        self.worker.load()

    def until_served(self) -> None:
        for _ in range(5):  # found missing, asked for, fetched, offered
            self.step()
            if self.worker.current is not None:
                return
        raise AssertionError("nothing is served")

    def _offered(self, snapshot: str, descriptor: int | None) -> None:
        self.offers.append(snapshot)
        self.given.put(snapshot, [] if descriptor is None else [os.dup(descriptor)])

    def _withdrawn(self, snapshot: str) -> None:
        self.given.withdraw(snapshot)
        self.worker.take_out(snapshot)

    def incidents(self, found_by: str) -> float:
        return (
            self.metrics.registry.get_sample_value("hashcheck_list_incidents_total", {"found_by": found_by})
            or 0.0
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = make_site(tmp_path_factory.mktemp("built"))
    site.publish(site.build())
    site.build()
    return site


@pytest.fixture
def place(built: Site, tmp_path: Path) -> Site:
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    site = Site(tmp_path)
    site.add_key()
    return site


def mapped(place: Site) -> Machine:
    place.write_settings('served_memory = "mapped"\n')
    return Machine(place)


def change(file: Path) -> None:
    """Turn every bit of a file where it lies, as whoever has taken over a process of this user can."""
    file.chmod(0o600)
    with file.open("r+b") as opened:
        data = opened.read()
        opened.seek(0)
        opened.write(bytes(255 - byte for byte in data))


def serves(machine: Machine) -> bool:
    return machine.worker.current is not None


def copy_of(machine: Machine) -> Path:
    assert machine.worker.current is not None
    return machine.state.snapshots / machine.worker.current.id


def test_sealed_memory_is_served_on_whatever_becomes_of_the_copy_which_is_fetched_anew(place: Site) -> None:
    machine = Machine(place)
    machine.until_served()
    copy, served = copy_of(machine), machine.worker.current
    for linked in (False, True):
        shutil.rmtree(copy)
        if linked:
            copy.symlink_to(place.published())
        for _ in range(3):
            machine.step()
        assert machine.worker.current is served
        assert copy.is_dir()
        assert not copy.is_symlink()
    change(copy / "pdq-codes.bin")
    machine.keeper.verify()
    assert machine.worker.current is served
    assert machine.incidents("hashing") == 0
    assert machine.offers == [copy.name]


def test_a_damaged_copy_is_never_offered_and_fetched_anew(place: Site) -> None:
    first = Machine(place)
    first.until_served()
    copy = copy_of(first)
    first.keeper.stop()
    change(copy / "pdq-codes.bin")
    machine = Machine(place)
    machine.step()
    assert machine.offers == []
    machine.until_served()
    assert machine.offers == [copy.name]


def test_a_mapped_file_that_was_changed_is_an_incident_and_the_list_is_fetched_anew(place: Site) -> None:
    machine = mapped(place)
    machine.until_served()
    copy = copy_of(machine)
    machine.keeper.verify()
    assert machine.incidents("hashing") == 0
    change(copy / "md5-codes.bin")
    machine.keeper.doubt(copy.name)
    machine.keeper.snapshots()
    assert machine.incidents("hashing") == 1
    assert not serves(machine)
    assert machine.worker.incident
    machine.until_served()
    assert serves(machine)
    assert machine.offers == [copy.name, copy.name]


def test_a_canary_that_is_missed_while_serving_is_an_incident(place: Site) -> None:
    machine = mapped(place)
    machine.until_served()
    assert machine.worker.ask_canaries() is None
    snapshot = machine.worker.current
    assert snapshot is not None
    files = [entry.name for section in snapshot.manifest.hashes for entry in section.files.values()]
    for name in files:
        change(copy_of(machine) / name)
    assert machine.worker.ask_canaries() == snapshot.id
    assert not serves(machine)
    assert machine.worker.incident
    assert machine.incidents("canary") == 1
    machine.worker.load()
    assert not serves(machine)  # the files are not as signed
    machine.keeper.doubt(snapshot.id)
    machine.until_served()
    assert machine.worker.ask_canaries() is None


def test_a_new_list_takes_the_place_of_the_one_before(place: Site) -> None:
    machine = Machine(place)
    machine.until_served()
    before = machine.worker.current
    [second] = place.snapshots.glob("00000002-*")
    place.point_at(second, 2)
    for _ in range(2):
        machine.step()
    assert machine.worker.current is not None
    assert machine.worker.current.id == second.name
    assert before is not machine.worker.current
    assert machine.offers == [place.snapshots.glob("00000001-*").__next__().name, second.name]


def test_a_second_service_on_the_same_state_directory_does_not_start(place: Site) -> None:
    first = Machine(place)
    first.step()
    with pytest.raises(ConfigError, match="Another service uses the state directory"):
        Machine(place)
