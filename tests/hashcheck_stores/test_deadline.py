"""A store on a mount that hangs, and things that are no files in a store: told as errors, and never waited for."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashcheck_core.errors import MissingError, NotAFileError, TransportError
from hashcheck_stores.deadline import Deadline
from hashcheck_stores.directory import DirectoryStore
from hashcheck_stores.https import HttpsStore
from tests.hashcheck_core.test_files import KINDS, put
from tests.support import eventually

NAME = "00000007-" + "ab" * 8


@contextmanager
def hanging_mount(folder: Path) -> Iterator[None]:
    """A file system whose server never answers, as of a network mount whose server is gone."""
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("no FUSE here")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hanging", bytes(folder), b"fuse.hanging", 0, options) != 0:
        os.close(device)
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        os.close(device)  # whoever hangs is let go with an error
        libc.umount2(bytes(folder), 2)


def test_a_mount_that_hangs_is_an_error_and_holds_one_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    store = DirectoryStore(tmp_path, Deadline(0.2))
    with hanging_mount(tmp_path):
        with pytest.raises(TransportError, match=r"gave nothing of overlay for 0\.2 s"):
            list(store.read("overlay"))
        for _ in range(20):
            with pytest.raises(TransportError, match="still hangs at an earlier read of overlay"):
                list(store.read("overlay"))
        assert threading.active_count() == before + 1
        with pytest.raises(TransportError, match="gave nothing of its list of snapshots"):
            store.names()
    eventually(lambda: threading.active_count() == before, "the threads let go")
    (tmp_path / "overlay").write_bytes(b"there")
    assert list(store.read("overlay")) == [b"there"]


class Gate:
    """Parts that come when a test lets them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.closed = threading.Event()

    def parts(self, *parts: bytes) -> Iterator[bytes]:
        try:
            self.open.wait()
            yield from parts
        finally:
            self.closed.set()


def test_what_hangs_is_left_behind_and_asked_again_once_it_has_ended() -> None:
    deadline, gate = Deadline(0.1), Gate()
    with pytest.raises(TransportError):
        list(deadline.keep("overlay", gate.parts(b"late")))
    assert list(deadline.keep("current", iter([b"1", b"2"]))) == [b"1", b"2"]
    with pytest.raises(TransportError, match="still hangs"):
        list(deadline.keep("overlay", iter([b"never asked"])))
    gate.open.set()
    assert gate.closed.wait(20)
    eventually(lambda: _reads(deadline, "overlay"), "it is asked again")


def _reads(deadline: Deadline, name: str) -> bool:
    try:
        return list(deadline.keep(name, iter([b"now"]))) == [b"now"]
    except TransportError:
        return False


def test_only_a_few_may_hang_at_a_time() -> None:
    deadline, gate = Deadline(0.05), Gate()
    for number in range(4):
        with pytest.raises(TransportError, match="gave nothing"):
            list(deadline.keep(f"file-{number}", gate.parts()))
    with pytest.raises(TransportError, match="still hangs at an earlier read of file-0, file-1"):
        list(deadline.keep("another", iter([b"x"])))
    gate.open.set()


def test_errors_come_through_and_who_stops_reading_leaves_no_thread() -> None:
    before = threading.active_count()

    def fails() -> Iterator[bytes]:
        yield b"some"
        raise MissingError("It is gone.", next_step="Look.")

    deadline = Deadline()
    with pytest.raises(MissingError):
        list(deadline.keep("overlay", fails()))
    endless = deadline.keep("current", iter(lambda: b"more", b""))
    assert next(endless) == b"more"
    del endless
    eventually(lambda: threading.active_count() == before, "its thread ended")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_in_a_store_is_refused_by_its_kind(tmp_path: Path, kind: str) -> None:
    (tmp_path / NAME).mkdir()
    store = DirectoryStore(tmp_path)
    for name in ("overlay", f"{NAME}/pdq-codes.bin"):
        put(kind, tmp_path / name)
        with pytest.raises(NotAFileError, match=kind):
            list(store.read(name))


def test_certificates_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    with pytest.raises(NotAFileError, match="named pipe"):
        HttpsStore("https://127.0.0.1/x", tmp_path / "ca.pem")
