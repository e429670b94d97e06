"""Private keys that others can read, secrets in a command line, feeds that are no files: refused with what to do."""

import os
from pathlib import Path

import pytest

from hashcheck_core.errors import ConfigError, NotAFileError
from index_builder.config.private_keys import read_id_key, read_signing_key
from tests.hashcheck_core.test_files import KINDS, put
from tests.support import Site, done, run

ADD = ("--category", "baseline", "--source", "police", "--reason", "tonight")


def test_private_keys_that_others_can_read_are_refused_with_the_command_that_mends_it(new_site: Site) -> None:
    keys = new_site.root / "keys"
    for name, read in (("builder.pem", read_signing_key), ("builder.ids", read_id_key)):
        read(keys / name)
        for mode in (0o640, 0o604, 0o620):
            (keys / name).chmod(mode)
            with pytest.raises(ConfigError) as caught:
                read(keys / name)
            assert caught.value.next_step == f"Run: chmod go-rwx {keys / name}"


@pytest.mark.parametrize("name", ["builder.pem", "builder.ids"])
def test_nothing_is_built_or_signed_with_such_a_key(new_site: Site, name: str) -> None:
    key = new_site.root / "keys" / name
    key.chmod(0o644)
    build = ("build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots)
    refused = run("index_builder", *build)
    assert (refused.returncode, f"chmod go-rwx {key}" in refused.stderr) == (2, True)
    assert not list(new_site.snapshots.glob("0*"))
    os.system(refused.stderr.partition("Run: ")[2])
    done("index_builder", *build)


def test_a_hash_is_read_from_standard_input_and_never_from_the_command_line(new_site: Site) -> None:
    new_site.publish(new_site.build())
    where = ("--store", new_site.snapshots, *new_site.signing)
    secret = "5a" * 16
    refused = run("index_builder", "add", "md5", secret, *ADD, *where)
    assert (refused.returncode, "standard input" in refused.stderr, secret in refused.stderr) == (
        2,
        True,
        False,
    )
    assert not (new_site.snapshots / "overlay").exists()
    done("index_builder", "add", "md5", "-", *ADD, *where, stdin=secret + "\n")
    assert secret.encode() in (new_site.snapshots / "overlay").read_bytes()


@pytest.mark.parametrize("kind", ["a named pipe", "a directory"])
def test_a_feed_that_is_no_file_is_not_waited_for(new_site: Site, kind: str) -> None:
    assert kind in KINDS
    new_site.feed.unlink()
    put(kind, new_site.feed)
    refused = run(
        "index_builder", "build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots
    )
    assert (refused.returncode, f"{new_site.feed.name} is {kind}" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["keys/builder.pem", "feeds.toml"])
def test_keys_and_config_that_are_no_files_are_not_waited_for(new_site: Site, name: str) -> None:
    path: Path = new_site.root / name
    path.unlink()
    os.mkfifo(path)
    refused = run(
        "index_builder", "build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots
    )
    assert (refused.returncode, f"{path.name} is a named pipe" in refused.stderr) == (2, True)
    with pytest.raises(NotAFileError):
        read_signing_key(path)
