"""Every kind of store keeps the same promises; and a snapshot comes out of one whole, or not at all."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hashcheck_core.errors import (
    ConfigError,
    MissingError,
    SnapshotDigestError,
    SnapshotFormatError,
    TransportError,
)
from hashcheck_core.snapshot.keys import Role
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.writer import write_snapshot
from hashcheck_stores.directory import DirectoryStore
from hashcheck_stores.download import FetchLimits, download_snapshot
from hashcheck_stores.location import open_store
from hashcheck_stores.sealed import new_identity
from hashcheck_stores.store import Pace, Store, read_all
from tests.hashcheck_core.test_attacks import SOON, Published, Publishers
from tests.hashcheck_core.test_snapshot import content
from tests.servers import FileServer, bucket_server, https_server
from tests.support import write_private

NAME = "00000007-" + "ab" * 8


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The location of a bucket; the variables that lead there are set meanwhile."""
    with bucket_server() as variables:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        yield "s3://lists/site"
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["directory", "bucket", "sealed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    if request.param == "directory":
        return open_store(str(tmp_path / "store"))
    if request.param == "sealed":
        secret, recipient = new_identity()
        write_private(tmp_path / "identity", secret)
        return open_store(str(tmp_path / "store"), identity=tmp_path / "identity", recipients=[recipient])
    return open_store(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def whole(store: Store, name: str, offset: int = 0) -> bytes:
    return b"".join(store.read(name, offset))


def test_what_is_put_is_read_back_from_any_offset(store: Store, tmp_path: Path) -> None:
    data = os.urandom(9_000_000)  # more than one part of anything
    (tmp_path / "file").write_bytes(data)
    assert store.create(f"{NAME}/pdq-codes.bin", tmp_path / "file")
    assert store.create(f"{NAME}/manifest.json", b"{}")
    for offset in (0, 1, 5_000_000, len(data) - 1, len(data)):
        assert whole(store, f"{NAME}/pdq-codes.bin", offset) == data[offset:]
    assert store.names() == [NAME]
    with pytest.raises(MissingError):
        whole(store, "current")


def test_what_is_there_is_never_put_again(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"second")
    assert store.create("keys-00000002.json", b"first")
    assert not store.create("keys-00000002.json", b"second")
    assert not store.create("keys-00000002.json", tmp_path / "file")
    assert whole(store, "keys-00000002.json") == b"first"


def test_a_swap_is_made_only_of_what_is_there(store: Store) -> None:
    assert not store.swap("current", b"0", b"1")
    assert store.swap("current", None, b"1")
    assert not store.swap("current", None, b"2")
    assert not store.swap("current", b"0", b"2")
    assert store.swap("current", b"1", b"2")
    assert whole(store, "current") == b"2"


def test_of_many_who_swap_at_once_one_wins(store: Store) -> None:
    store.swap("current", None, b"before")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.swap("current", b"before", b"%d" % n), range(8)))
    assert sum(won) == 1
    assert whole(store, "current") == b"%d" % won.index(True)


def test_names_that_lead_elsewhere_are_refused(store: Store) -> None:
    for name in ("../x", "/etc/passwd", "a/b/c", "a//b", "", ".lock", "a\0b"):
        with pytest.raises(ConfigError):
            whole(store, name)


def test_a_store_that_cannot_be_reached_is_a_transport_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    for location in (str(tmp_path / "file"), "https://127.0.0.1:1/x"):
        with pytest.raises(TransportError):
            whole(open_store(location), "current")
    with pytest.raises(ConfigError):
        open_store("http://127.0.0.1/x")


@pytest.fixture
def people() -> Publishers:
    return Publishers()


@pytest.fixture
def published(people: Publishers, tmp_path: Path) -> Published:
    directory = write_snapshot(tmp_path / "store", content(), people.snapshot[:2])
    digest = hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    document = people.point(1, manifest_sha256=digest)
    _, pointer = people.trust().pointer(document, SOON)
    return Published(DirectoryStore(tmp_path / "store"), tmp_path / "store", pointer, document)


@pytest.fixture
def https(published: Published, tmp_path: Path) -> Iterator[tuple[FileServer, Store]]:
    """The store of `published` behind HTTPS."""
    with https_server(published.root, tmp_path) as (server, url, certificate):
        yield server, open_store(url, certificate)


def fetch(store: Store, people: Publishers, published: Published, home: Path) -> Path:
    home.mkdir(exist_ok=True)
    limits = FetchLimits(spare_bytes=0)
    return download_snapshot(store, published.pointer, people.trust(), home, limits, now=SOON)


def test_a_snapshot_comes_over_tls_from_a_server_that_is_trusted(
    people: Publishers, published: Published, https: tuple[FileServer, Store], tmp_path: Path
) -> None:
    server, store = https
    directory = fetch(store, people, published, tmp_path / "home")
    trusted = people.trust().keys.of(Role.SNAPSHOT, SOON)
    assert open_snapshot(directory, trusted, now=SOON, pointer=published.pointer).version == 7
    assert directory.stat().st_mode & 0o007 == 0
    stranger = open_store(f"https://127.0.0.1:{server.server_address[1]}")
    with pytest.raises(TransportError, match="certificate"):
        whole(stranger, "current")
    with pytest.raises(ConfigError):
        store.create("current", b"")
    with pytest.raises(ConfigError):
        store.swap("current", None, b"")


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on_where_it_was(
    ranges: bool,
    people: Publishers,
    published: Published,
    https: tuple[FileServer, Store],
    tmp_path: Path,
) -> None:
    server, store = https
    server.ranges = ranges
    server.break_off_after = 10
    for _ in range(100):
        try:
            fetch(store, people, published, tmp_path / "home")
        except TransportError:
            if not ranges:  # a server without ranges cannot be resumed while it breaks off at the same place
                server.break_off_after = None
        else:
            break
    asked = [start for path, start in server.asked if path.endswith("entries-ids.bin")]
    assert asked[:3] == [0, 10, 20] if ranges else asked == [0, 10]
    directory = tmp_path / "home" / published.pointer.snapshot
    good = published.root / published.pointer.snapshot
    assert {f.name: f.read_bytes() for f in directory.iterdir()} == {
        f.name: f.read_bytes() for f in good.iterdir()
    }
    assert list((tmp_path / "home" / "incoming").iterdir()) == []


def test_a_part_that_was_spoilt_on_this_disk_is_fetched_anew(
    people: Publishers, published: Published, https: tuple[FileServer, Store], tmp_path: Path
) -> None:
    server, store = https
    server.break_off_after = 10
    with pytest.raises(TransportError):
        fetch(store, people, published, tmp_path / "home")
    server.break_off_after = None
    [part] = (tmp_path / "home").rglob("*.part")
    part.write_bytes(b"x" * 7)
    with pytest.raises(SnapshotDigestError):
        fetch(store, people, published, tmp_path / "home")
    assert fetch(store, people, published, tmp_path / "home").is_dir()


def test_no_snapshot_is_begun_that_the_disk_has_no_room_for(
    people: Publishers, published: Published, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    for limits, error in (
        (FetchLimits(spare_bytes=2**60), TransportError),
        (FetchLimits(max_bytes=10), SnapshotFormatError),
    ):
        with pytest.raises(error):
            download_snapshot(
                published.store, published.pointer, people.trust(), tmp_path / "home", limits, now=SOON
            )
    assert not list((tmp_path / "home").rglob("*.part"))


def test_a_small_file_is_read_whole(store: Store) -> None:
    store.swap("current", None, b"x" * 1000)
    assert read_all(store, "current", 1000, Pace()) == b"x" * 1000


def test_a_sealed_store_tells_nothing_of_the_list_but_to_its_recipients(tmp_path: Path) -> None:
    secret, recipient = new_identity()
    write_private(tmp_path / "mine", secret)
    write_private(tmp_path / "stranger", new_identity()[0])
    place, clear = str(tmp_path / "store"), b"listed " * 500_000
    mine = open_store(place, identity=tmp_path / "mine", recipients=[recipient])
    assert mine.create(f"{NAME}/pdq-codes.bin", clear)
    assert mine.swap("overlay", None, clear)
    assert mine.swap("current", None, b"pointer")
    for file in (tmp_path / "store").rglob("*"):
        assert file.is_dir() or b"listed" not in file.read_bytes()
    stranger = open_store(place, identity=tmp_path / "stranger")
    assert whole(stranger, "current") == b"pointer"
    for name in (f"{NAME}/pdq-codes.bin", "overlay"):
        with pytest.raises(SnapshotDigestError, match="recipient"):
            whole(stranger, name)
    with pytest.raises(ConfigError, match="recipient"):
        stranger.create(f"{NAME}/other.bin", b"x")
    sealed = tmp_path / "store" / NAME / "pdq-codes.bin.age"
    data = bytearray(sealed.read_bytes())
    for at in (0, 100, len(data) // 2, len(data) - 1):
        sealed.chmod(0o600)
        sealed.write_bytes(bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]]))
        with pytest.raises(SnapshotDigestError):
            whole(mine, f"{NAME}/pdq-codes.bin")
    first = next(iter(mine.read("overlay")))  # left in the middle: nothing hangs
    assert clear.startswith(first)
