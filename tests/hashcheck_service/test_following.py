"""A service and its store, by an injected clock: what fails leaves what was served, and says why."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from hashcheck_core.snapshot.trust import NO_FLOOR, Floor
from hashcheck_service.metrics import Metrics
from hashcheck_service.sync.clock import SteadyClock
from hashcheck_service.sync.served_snapshot import SnapshotFollower
from hashcheck_service.sync.state_directory import MEMORY_NAME, State
from hashcheck_service.sync.store_poller import Fetcher
from hashcheck_stores.download import FetchLimits
from hashcheck_stores.location import open_store
from tests.support import Site, done, eventually, make_site, serving


@dataclass
class Hands:
    """A wall clock and a monotonic one, to be moved by hand."""

    wall: datetime
    monotonic: float = 0.0

    def __call__(self) -> datetime:
        return self.wall

    def go(self, **time: float) -> None:
        by = timedelta(**time)
        self.wall += by
        self.monotonic += by.total_seconds()


class Machine:
    """One worker of one machine: what `Following` does in threads, done step by step."""

    def __init__(self, site: Site, hands: Hands, floor: Floor = NO_FLOOR) -> None:
        self.clock = SteadyClock(hands, lambda: hands.monotonic)
        self.state = State(site.root / "state", floor)
        self.state.prepare()
        pinned, metrics = site.trusted_keys.read_bytes(), Metrics()
        store = open_store(str(site.snapshots))
        limits = FetchLimits(spare_bytes=0)
        self.fetcher = Fetcher(store, self.state, pinned, limits, metrics, self.clock, 3)
        self.follower = SnapshotFollower(self.state, pinned, metrics, self.clock, self.clock.not_before)

    def step(self) -> None:
        self.fetcher.poll()
        self.follower.poll()
        self.fetcher.download()
        self.follower.load()

    @property
    def serves(self) -> str | None:
        """The id of what would be served now, by its own time."""
        snapshot = self.follower.current
        return snapshot.id if snapshot is not None and self.clock() < snapshot.expires_at else None

    @property
    def refused(self) -> str | None:
        if self.follower.refusal is not None:
            return self.follower.refusal.code
        fetching = self.state.fetching()
        return fetching.refused if fetching else None


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with three snapshots, none of them published."""
    site = make_site(tmp_path_factory.mktemp("built"))
    for _ in range(3):
        site.build()
    return site


@pytest.fixture
def place(built: Site, tmp_path: Path) -> Site:
    """A copy of `built` of the test's own."""
    subprocess.run(["cp", "-r", built.root, tmp_path / "place"], check=True)
    return Site(tmp_path / "place")


def version(site: Site, number: int) -> Path:
    [found] = site.snapshots.glob(f"{number:08d}-*")
    return found


@pytest.fixture
def hands() -> Hands:
    return Hands(datetime.now(UTC))


def test_what_is_published_is_served_and_found_again_without_a_store(place: Site, hands: Hands) -> None:
    place.publish(version(place, 1))
    machine = Machine(place, hands)
    machine.step()
    assert (machine.serves, machine.refused) == (version(place, 1).name, None)
    place.snapshots.rename(place.root / "gone")
    hands.go(seconds=1)
    again = Machine(place, hands)
    again.step()
    assert again.serves == machine.serves
    assert again.refused == "unreachable"


def test_a_snapshot_that_was_replaced_is_unmapped_in_the_next_round_and_not_by_who_has_it_in_hand(
    place: Site, hands: Hands
) -> None:
    def mapped(number: int) -> bool:
        return f"/{version(place, number).name}/" in Path("/proc/self/maps").read_text()

    machine = Machine(place, hands)
    place.publish(version(place, 1))
    machine.step()
    in_hand = machine.follower.current
    place.publish(version(place, 2))
    hands.go(seconds=1)
    machine.step()
    del in_hand  # the end of a request on another thread
    assert (mapped(1), mapped(2)) == (True, True)
    machine.step()
    assert (mapped(1), mapped(2)) == (False, True)


def test_no_connection_that_idles_and_no_answer_of_before_keeps_a_snapshot(place: Site) -> None:
    old, new = version(place, 1), version(place, 2)
    place.point_at(old, 1)
    place.write_settings()
    with serving(place) as server, socket.socket() as idle:
        maps = Path(f"/proc/{server.workers()[0]}/maps")
        eventually(lambda: f"hashcheck-{old.name}" in maps.read_text(), "the first one served")
        idle.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        idle.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        asked = {"items": [{"ref": "r", "hashes": [{"type": "md5", "value": b"x" * 16}]}]}
        packed = {"Content-Type": "application/msgpack"}
        answer = server.client.post("/v1/check", content=msgspec.msgpack.encode(asked), headers=packed)
        assert answer.status_code == 200
        place.point_at(new, 2)
        eventually(lambda: f"hashcheck-{old.name}" not in maps.read_text(), "the first one let go")
        assert f"hashcheck-{new.name}" in maps.read_text()
        idle.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still open: it was not its end that let go
            list(iter(lambda: idle.recv(1 << 16), b""))


def test_a_store_that_is_down_for_an_hour_changes_nothing_and_is_taken_up_again(
    place: Site, hands: Hands
) -> None:
    place.publish(version(place, 1))
    machine, first = Machine(place, hands), version(place, 1).name
    machine.step()
    place.publish(version(place, 2))
    gone = place.snapshots.rename(place.root / "gone")
    for _ in range(60):
        hands.go(minutes=1)
        machine.step()
        assert (machine.serves, machine.refused) == (first, "unreachable")
    gone.rename(place.snapshots)
    hands.go(seconds=1)
    machine.step()
    assert (machine.serves, machine.refused) == (version(place, 2).name, None)


def test_a_store_that_is_down_past_the_expiry_ends_in_no_answer(place: Site, hands: Hands) -> None:
    place.publish(version(place, 1))
    machine = Machine(place, hands)
    machine.step()
    place.snapshots.rename(place.root / "gone")
    hands.go(days=7)
    machine.step()
    assert machine.serves is None
    assert machine.follower.current is not None  # `serve_stale` would have it


def test_a_clock_set_back_brings_nothing_expired_back(place: Site, hands: Hands) -> None:
    place.publish(version(place, 1))
    machine = Machine(place, hands)
    machine.step()
    hands.go(days=8)
    assert machine.serves is None
    hands.wall -= timedelta(days=8)
    hands.monotonic += 1
    assert machine.serves is None
    assert machine.clock.behind > timedelta(days=7)


def test_a_clock_set_back_before_a_start_is_not_before_what_was_signed(place: Site, hands: Hands) -> None:
    place.publish(version(place, 1))
    machine = Machine(place, hands)
    machine.step()
    hands.wall -= timedelta(days=365)
    again = Machine(place, hands)
    again.step()
    assert again.clock.behind > timedelta(days=364)
    assert again.serves == version(place, 1).name


def test_an_old_pointer_put_back_is_refused_over_a_restart_and_a_signed_one_is_taken(
    place: Site, hands: Hands
) -> None:
    place.publish(version(place, 1))
    old = (place.snapshots / "current").read_bytes()
    place.publish(version(place, 2))
    machine = Machine(place, hands)
    machine.step()
    (place.snapshots / "current").write_bytes(old)
    again = Machine(place, hands)
    for one in (machine, again):
        one.step()
        assert (one.serves, one.refused) == (version(place, 2).name, "snapshot_rollback")
    place.point_at(version(place, 1), 9)
    hands.go(seconds=31)
    again.step()
    assert (again.serves, again.refused) == (version(place, 1).name, None)


def test_an_older_overlay_put_back_is_refused_over_a_restart(place: Site, hands: Hands) -> None:
    place.publish(version(place, 1))
    where = ("--store", place.snapshots, *place.signing)
    done("index_builder", "retract", "ab" * 16, "--reason", "x", *where)
    old = (place.snapshots / "overlay").read_bytes()
    done("index_builder", "retract", "cd" * 16, "--reason", "x", *where)
    machine = Machine(place, hands)
    machine.step()
    assert machine.follower.current is not None
    assert machine.follower.current.overlay == 2
    (place.snapshots / "overlay").write_bytes(old)
    again = Machine(place, hands)
    again.step()
    assert again.follower.current is not None
    assert (again.follower.current.overlay, again.refused) == (2, "snapshot_rollback")


def test_nothing_is_served_without_the_overlay_that_was_in_force(place: Site, hands: Hands) -> None:
    """The copy is lost and the store is down: an entry that was retracted must not come back."""
    place.publish(version(place, 1))
    done("index_builder", "retract", "ab" * 16, "--reason", "x", "--store", place.snapshots, *place.signing)
    Machine(place, hands).step()
    (place.root / "state" / "overlay").unlink()
    gone = place.snapshots.rename(place.root / "gone")
    machine = Machine(place, hands)
    machine.step()
    assert (machine.serves, machine.refused) == (None, "snapshot_rollback")
    gone.rename(place.snapshots)
    hands.go(seconds=31)
    machine.step()
    hands.go(seconds=31)
    machine.step()
    assert machine.follower.current is not None
    assert machine.follower.current.overlay == 1


def test_keys_follow_their_signed_successors_over_a_restart(place: Site, hands: Hands) -> None:
    place.publish(version(place, 1))
    keys = place.root / "keys"
    done("index_builder", "keygen", keys / "new")
    done(
        "index_builder", "keys", "make", keys / "2.json", "--after", place.trusted_keys, "--root",
        keys / "builder.pub", "--root", keys / "new.pub", "--key", keys / "builder.pem",
    )  # fmt: skip
    done(
        "index_builder", "keys", "publish", keys / "2.json", "--store", place.snapshots, "--trusted-keys",
        place.trusted_keys,
    )  # fmt: skip
    done(
        "index_builder", "publish", version(place, 2), "--trusted-keys", place.trusted_keys, "--key",
        keys / "new.pem",
    )  # fmt: skip
    machine = Machine(place, hands)
    machine.step()
    assert machine.serves == version(place, 2).name
    assert Machine(place, hands).state.trust(place.trusted_keys.read_bytes()).keys.version == 2
    (place.root / "state" / "keys-00000002.json").unlink()
    gone = place.snapshots.rename(place.root / "gone")
    again = Machine(place, hands)
    again.step()
    assert (again.serves, again.refused) == (None, "snapshot_rollback")
    gone.rename(place.snapshots)
    for _ in range(2):
        hands.go(seconds=31)
        again.step()
    assert (again.serves, again.refused) == (version(place, 2).name, None)


def test_the_last_few_copies_are_kept_and_a_spoilt_one_is_fetched_anew(place: Site, hands: Hands) -> None:
    for number in (1, 2, 3):
        place.publish(version(place, number))
        machine = Machine(place, hands)
        machine.step()
    copies = place.root / "state" / "snapshots"
    assert len([path for path in copies.iterdir() if path.name != "incoming"]) == 3
    codes = copies / version(place, 3).name / "pdq-codes.bin"
    codes.chmod(0o600)
    codes.write_bytes(b"\0" * codes.stat().st_size)
    again = Machine(place, hands)
    again.step()
    assert (again.serves, again.refused) == (None, "bad_snapshot_digest")
    assert again.follower.damaged == version(place, 3).name
    again.fetcher.fetch_again(again.follower.damaged)
    hands.go(seconds=31)
    again.step()
    hands.go(seconds=31)
    again.step()
    assert (again.serves, again.refused) == (version(place, 3).name, None)


def test_bits_flipped_in_the_state_directory_are_never_served(place: Site, hands: Hands) -> None:
    """Every file of the state, one bit at a time: what is served is what was signed, or nothing."""
    place.publish(version(place, 1))
    done("index_builder", "retract", "ab" * 16, "--reason", "x", "--store", place.snapshots, *place.signing)
    Machine(place, hands).step()
    state = place.root / "state"
    gone = place.snapshots.rename(place.root / "gone")
    files = [state / name for name in ("current", "overlay", MEMORY_NAME)]
    for file in files:
        good = file.read_bytes()
        for place_ in range(0, len(good), max(1, len(good) // 25)):
            file.write_bytes(good[:place_] + bytes([good[place_] ^ 1]) + good[place_ + 1 :])
            machine = Machine(place, hands)
            machine.step()
            assert machine.serves is None, (file.name, place_)
            assert machine.refused is not None
        file.write_bytes(good)
    gone.rename(place.snapshots)
    machine = Machine(place, hands)
    machine.step()
    assert machine.serves is not None


_FULL_DISK = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.hashcheck_service.test_following import Hands, Machine, Site, done, version
site, hands = Site(Path(sys.argv[1])), Hands(datetime.now(UTC))
machine = Machine(site, hands)
machine.step()
before = machine.serves
assert before, machine.refused
done("index_builder", "publish", version(site, 2), *site.signing)
done("index_builder", "retract", "ab" * 16, "--reason", "x", "--store", site.snapshots, *site.signing)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
hands.go(seconds=31)
machine.step()
assert machine.serves == before, "served something else"
assert machine.fetcher.refusal.code == "unreachable"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
hands.go(seconds=31)
machine.step()
hands.go(seconds=31)
machine.step()
assert machine.serves == version(site, 2).name, machine.refused
assert machine.follower.current.overlay == 1
"""


def test_a_full_disk_leaves_what_is_served_and_heals(place: Site) -> None:
    """No file can grow by a byte (a limit of the system stands for the disk); then it can again."""
    place.publish(version(place, 1))
    result = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(place.root)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


_NO_PERMISSION = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.hashcheck_service.test_following import Hands, Machine, Site, version
site, hands = Site(Path(sys.argv[1])), Hands(datetime.now(UTC))
os.seteuid(65534)
machine = Machine(site, hands)
machine.step()
before = machine.serves
assert before, machine.refused
os.seteuid(0)
(site.snapshots / "current").write_bytes((site.root / "newer").read_bytes())
def lose(path):
    mode = path.stat().st_mode
    path.chmod(0)
    os.seteuid(65534)
    hands.go(seconds=31)
    machine.step()
    os.seteuid(0)
    path.chmod(mode)
    assert machine.serves == before, path
    assert "unreachable" in (machine.refused, machine.fetcher.refusal and machine.fetcher.refusal.code), path
for path in (site.snapshots / "current", site.snapshots, site.root / "state", version(site, 2) / "pdq-codes.bin"):
    lose(path)
os.seteuid(65534)
for _ in range(2):
    hands.go(seconds=31)
    machine.step()
assert machine.serves == version(site, 2).name, machine.refused
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_permissions_lost_leave_what_is_served_and_heal(place: Site) -> None:
    place.publish(version(place, 1))
    first = (place.snapshots / "current").read_bytes()
    place.publish(version(place, 2))
    (place.root / "newer").write_bytes((place.snapshots / "current").read_bytes())
    (place.snapshots / "current").write_bytes(first)
    for path in (place.root, *place.root.rglob("*")):
        os.chown(path, 65534, 65534)
    for folder in place.root.parents:
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o005 != 0o005 and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o011)
    result = subprocess.run(
        [sys.executable, "-c", _NO_PERMISSION, str(place.root)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
