"""Files that another may have put there: only regular ones are read, and nothing is waited for."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hashcheck_core.errors import ConfigError, NotAFileError, SnapshotFormatError, TransportError
from hashcheck_core.snapshot.files import (
    NOT_FOR_OTHERS,
    OWNER_ONLY,
    OWNER_WRITES,
    Privacy,
    must_be_regular,
    open_regular,
    read_limited,
)

KINDS: dict[str, Callable[[Path], None]] = {
    "a named pipe": lambda path: os.mkfifo(path),
    "a directory": lambda path: path.mkdir(),
    "a socket": lambda path: put_socket(path),
    "a symbolic link": lambda path: path.symlink_to("/etc/hostname"),
    "a device": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
}


def put_socket(path: Path) -> None:
    """Put a socket at `path`, however long that is: an address has 107 bytes."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def put(kind: str, path: Path) -> None:
    """Put a thing of some kind in the place of a file."""
    try:
        KINDS[kind](path)
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_with_a_sentence_of_its_own(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "overlay"
    put(kind, path)
    for read in (lambda: read_limited(path, 10), lambda: open_regular(path).close()):
        with pytest.raises(NotAFileError, match=f"overlay is {kind}, not a regular file"):
            read()
    if kind != "a symbolic link":
        with pytest.raises(NotAFileError, match=kind):
            must_be_regular(path)
        with pytest.raises(NotAFileError, match=kind):
            read_limited(path, 10, follow_links=True)


def test_a_link_is_followed_for_what_an_operator_names_but_not_to_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    assert read_limited(link, 10, follow_links=True) == b"content"
    (tmp_path / "real").unlink()
    os.mkfifo(tmp_path / "real")
    with pytest.raises(NotAFileError, match="link is a named pipe"):
        read_limited(link, 10, follow_links=True)


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    assert read_limited(path, 1_000_000) == b"x" * 1_000_000
    with pytest.raises(SnapshotFormatError, match="more than 999999 bytes"):
        read_limited(path, 999_999)
    with pytest.raises(TransportError, match="could not be read"):
        read_limited(tmp_path / "none", 10)


@pytest.mark.parametrize(
    ("privacy", "good", "bad", "chmod"),
    [
        (OWNER_ONLY, (0o600, 0o400), (0o640, 0o604, 0o660, 0o610), "chmod go-rwx"),
        (NOT_FOR_OTHERS, (0o600, 0o440, 0o640), (0o644, 0o602), "chmod o-rwx"),
        (OWNER_WRITES, (0o600, 0o644, 0o444), (0o664, 0o646, 0o666), "chmod go-w"),
    ],
)
def test_permissions_that_allow_too_much_are_refused_with_the_command_that_mends_them(
    tmp_path: Path, privacy: Privacy, good: tuple[int, ...], bad: tuple[int, ...], chmod: str
) -> None:
    path = tmp_path / "a secret's file"
    path.write_bytes(b"secret")
    for mode in good:
        path.chmod(mode)
        assert read_limited(path, 10, privacy=privacy) == b"secret"
    for mode in bad:
        path.chmod(mode)
        with pytest.raises(ConfigError) as caught:
            read_limited(path, 10, privacy=privacy)
        assert caught.value.next_step.startswith(f"Run: {chmod} ")
        os.system(caught.value.next_step.removeprefix("Run: "))
        assert read_limited(path, 10, privacy=privacy) == b"secret"
