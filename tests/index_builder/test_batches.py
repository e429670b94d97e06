"""Sealed batches: what is changed is seen, what is missing is missed, and a build reads them without any network."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hashcheck_core.errors import ConfigError, FeedError, TransportError
from hashcheck_core.snapshot.signing import generate_pair
from index_builder.config.feed import FeedConfig
from index_builder.feeds.batches import seal as seals
from tests.index_builder.fetching import ENVIRONMENT, POLLED, Desk, feed_toml
from tests.index_builder.sources import (
    PASSWORD,
    SECRETS,
    TOKEN,
    Answer,
    Entry,
    Sources,
    forms_of,
    sources,
)
from tests.specimens.feeds import md5
from tests.support import Site, done, run, write_private

OFFLINE = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event}: this build has no network")
sys.addaudithook(refuse)
from index_builder.cli import main
main()
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Sources]:
    with sources() as server:
        yield server


@pytest.fixture
def server(running: Sources, monkeypatch: pytest.MonkeyPatch) -> Sources:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    running.reset()
    running.put(*(Entry(n) for n in range(5)))
    return running


@pytest.fixture
def desk(server: Sources, tmp_path: Path) -> Desk:
    """Three batches of one feed: five entries, then one more each."""
    desk = Desk(server, "threatexchange", tmp_path)
    desk.fetch()
    for number in (5, 6):
        server.clock += timedelta(hours=1)
        server.put(Entry(number, server.clock))
        desk.fetch()
    assert desk.listed() == {md5(n) for n in range(7)}
    return desk


def spoil(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.chmod(0o640)
    path.write_bytes(change(path.read_bytes()))


def flipped(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


@pytest.mark.parametrize(
    "page", [flipped, lambda data: data[:-1], lambda data: data + b" ", lambda data: b""]
)
def test_a_page_that_is_not_as_sealed_is_refused(desk: Desk, page: Callable[[bytes], bytes]) -> None:
    batch = desk.folder.in_force()[1]
    spoil(batch.path / "p00000001", page)
    desk.folder.state.unlink()
    with pytest.raises(FeedError, match=f"Batch {batch.id} is damaged: its page p00000001") as caught:
        desk.read()
    assert "from a backup" in caught.value.next_step
    assert "--full" in caught.value.next_step


def test_a_page_of_a_file_that_is_not_as_sealed_is_refused(server: Sources, tmp_path: Path) -> None:
    server.files["/lists/hotline.csv"] = f"id,type,value,quality,category\ne,md5,{md5(1)},,A\n".encode()
    desk = Desk(server, "csv", tmp_path)
    desk.fetch()
    [batch] = desk.folder.in_force()
    spoil(batch.path / "p00000001", flipped)
    with pytest.raises(FeedError, match=f"Batch {batch.id} is damaged"):
        desk.read()


def test_a_page_or_seal_that_is_gone_is_missed(desk: Desk) -> None:
    batch = desk.folder.in_force()[0]
    (batch.path / "p00000001").unlink()
    desk.folder.state.unlink()
    with pytest.raises(FeedError, match="page p00000001 is missing"):
        desk.read()
    (batch.path / "seal.json").unlink()
    with pytest.raises(FeedError, match=f"Batch {batch.id} is damaged"):
        desk.read()


@pytest.mark.parametrize(
    "by", [flipped, lambda data: data.replace(b'"rows": 5', b'"rows": 4'), lambda data: b"{}"]
)
def test_a_seal_that_was_changed_is_refused(desk: Desk, by: Callable[[bytes], bytes]) -> None:
    batch = desk.folder.in_force()[0]
    spoil(batch.path / "seal.json", by)
    with pytest.raises(FeedError, match=f"Batch {batch.id} is damaged: its seal"):
        desk.read()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_seal_but_the_one_that_was_made_passes(data: st.DataObject) -> None:
    page = seals.Page("p00000001", 3, "0" * 64, 1)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    whole = seals.Seal(
        seals.SEAL_FORMAT, "f", "tat", "https://host", 3, "", True, {"after": ""}, "1,2", moment, moment, 1, 3,
        [page], seals.digest_of([page]), "hashcheck",
    )  # fmt: skip
    encoded = seals.encode(whole)
    name = seals.batch_name(3, encoded)
    assert seals.decode(name, encoded) == whole
    changed = bytearray(encoded)
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    assume(changed != encoded)
    with pytest.raises(FeedError, match=f"Batch {name} is damaged"):
        seals.decode(name, bytes(changed))
    with suppress(FeedError):  # under a name of its own it may be a seal, and if so of another batch
        seals.decode(seals.batch_name(3, bytes(changed)), bytes(changed))


def test_a_batch_that_is_gone_is_missed_wherever_it_was(desk: Desk) -> None:
    first, second, third = (batch.path for batch in desk.folder.in_force())
    away = desk.root / "away"
    second.rename(away)
    with pytest.raises(
        FeedError, match=f"the batch before {third.name} is not there, which is {second.name}"
    ):
        desk.read()
    away.rename(second)
    first.rename(away)
    with pytest.raises(FeedError, match=f"the batch before {second.name} is not there"):
        desk.read()
    away.rename(first)
    third.rename(away)  # the chain does not end too early: but the state knows
    with pytest.raises(FeedError, match=f"batch {third.name} was taken in before") as caught:
        desk.read()
    assert "state.sqlite" in caught.value.next_step
    desk.folder.state.unlink()
    assert desk.listed() == {md5(n) for n in range(6)}


def test_a_full_fetch_mends_what_is_missing_or_damaged(desk: Desk) -> None:
    first, second, third = (batch.path for batch in desk.folder.in_force())
    shutil.rmtree(second)
    desk.fetch(full=True)
    assert desk.listed() == {md5(n) for n in range(7)}
    spoil(desk.folder.in_force()[-1].path / "seal.json", flipped)
    with pytest.raises(FeedError, match="move it away"):
        desk.fetch(full=True)
    shutil.rmtree(desk.folder.path / desk.folder.names()[-1])
    desk.fetch(full=True)
    assert desk.listed() == {md5(n) for n in range(7)}
    assert first.exists()
    assert third.exists()


def test_batches_that_a_full_one_has_replaced_are_removed_where_that_is_asked_for(desk: Desk) -> None:
    desk.fetch(keep_superseded=0)
    assert len(desk.folder.names()) == 4  # the first is the full one: they are all in force
    desk.fetch(full=True)
    assert len(desk.folder.names()) == 5
    desk.fetch(keep_superseded=1)
    assert [int(name[:8]) for name in desk.folder.names()] == [4, 5, 6]
    assert [batch.seal.full for batch in desk.folder.in_force()] == [True, False]
    assert desk.listed() == {md5(n) for n in range(7)}


@pytest.mark.parametrize("keep", [3, 5])
def test_as_many_replaced_batches_stay_as_were_asked_for(server: Sources, tmp_path: Path, keep: int) -> None:
    desk = Desk(server, "threatexchange", tmp_path)
    made: list[str] = []
    for _ in range(keep + 3):  # fewer than `keep` are replaced, as many, and more
        desk.fetch(full=True, keep_superseded=keep)
        made.append(desk.folder.names()[-1])
        assert desk.folder.names() == made[-keep - 1 :]


def test_a_state_that_cannot_be_used_says_what_to_do(desk: Desk) -> None:
    desk.folder.state.write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(TransportError, match="the file may be removed"):
        desk.read()
    for left in desk.folder.path.glob("state.sqlite*"):
        left.unlink()
    assert desk.listed() == {md5(n) for n in range(7)}


def test_a_batch_of_another_feed_is_refused(desk: Desk) -> None:
    shutil.copytree(desk.folder.path, desk.root / "other")
    desk.more = {"name": "other"}
    with pytest.raises(FeedError, match="is of feed 'source'"):
        desk.read()


def test_what_lies_beside_the_batches_is_none(desk: Desk) -> None:
    (desk.folder.path / "lost+found").mkdir()
    (desk.folder.path / "00000009-notabatch").mkdir()
    assert desk.listed() == {md5(n) for n in range(7)}


def test_batches_count_only_when_signed_where_the_config_asks_for_it(server: Sources, tmp_path: Path) -> None:
    for name in ("fetcher", "stranger"):
        private, public = generate_pair()
        write_private(tmp_path / f"{name}.pem", private)
        (tmp_path / f"{name}.pub").write_bytes(public)
    ours = {"signing_key": tmp_path / "fetcher.pem", "trusted_keys": [tmp_path / "fetcher.pub"]}
    desk = Desk(server, "tat", tmp_path, batches=ours)
    desk.fetch()
    assert desk.listed() == {md5(n) for n in range(5)}
    with pytest.raises(ConfigError, match="would not count"):
        Desk(server, "tat", tmp_path, batches={**ours, "signing_key": tmp_path / "stranger.pem"}).fetch()
    # A stranger can make a whole batch, and not one that is signed.
    forged = Desk(server, "tat", tmp_path / "forged", batches={"signing_key": tmp_path / "stranger.pem"})
    server.put(Entry(66))
    forged.fetch()
    shutil.rmtree(desk.folder.path)
    shutil.copytree(forged.folder.path, desk.folder.path)
    with pytest.raises(FeedError, match="not signed by a key of"):
        desk.read()
    (desk.folder.path / desk.folder.names()[0] / "seal.sig").unlink()
    with pytest.raises(FeedError, match="is damaged"):
        desk.read()


# The state


def rows_of(path: Path) -> list[object]:
    with sqlite3.connect(path) as db:
        tables = [
            db.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for name in ("entry", "batch", "reject")
        ]
    db.close()
    return [tables]


@pytest.mark.parametrize("kind", POLLED)
def test_a_state_thrown_away_is_made_again_as_it_was(kind: str, server: Sources, tmp_path: Path) -> None:
    desk = Desk(server, kind, tmp_path)
    for round_ in range(4):
        server.put(Entry(round_, server.clock, deleted=bool(round_ % 2)), Entry(round_ + 7, server.clock))
        server.clock += timedelta(minutes=30)
        desk.fetch()
        desk.read()
    kept, records = rows_of(desk.folder.state), desk.records
    desk.folder.state.unlink()
    desk.read()
    assert rows_of(desk.folder.state) == kept
    assert desk.records == records
    desk.read(fresh_state=True)
    assert desk.records == records


def test_only_new_batches_are_read(desk: Desk) -> None:
    for batch in desk.folder.in_force():
        shutil.rmtree(batch.path / "pages", ignore_errors=True)
        for page in batch.seal.pages:
            (batch.path / page.name).unlink()  # what is in the state is not asked for again
    assert desk.listed() == {md5(n) for n in range(7)}
    desk.server.clock += timedelta(hours=1)
    desk.server.put(Entry(7, desk.server.clock))
    desk.fetch()
    assert desk.listed() == {md5(n) for n in range(8)}


def test_a_state_follows_the_config(server: Sources, tmp_path: Path) -> None:
    desk = Desk(server, "stopncii", tmp_path)
    desk.fetch()
    desk.read()
    assert {record.category for record in desk.records} == {"baseline"}
    desk.more = {"category": "national"}
    desk.read()
    assert {record.category for record in desk.records} == {"national"}


# A build


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_no_secret(written: dict[str, bytes]) -> None:
    for secret in SECRETS:
        for form in forms_of(secret):
            assert [name for name, data in written.items() if form in data] == []


def site_with(site: Site, server: Sources, *kinds: str) -> Path:
    """The site's config with a feed of each kind, named after it; the folder of the batches."""
    feeds = ""
    for kind in kinds:
        keys = Desk(server, kind, site.root).feed_keys
        feeds += feed_toml({**keys, "name": kind})
    site.write_config(more=feeds)
    return site.root / "batches"


def build_offline(site: Site, batches: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    arguments = ("--config", site.root / "feeds.toml", "--out", site.snapshots, "--batches", batches)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE, "build", *map(str, arguments), "--json", *more],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1772500000"},
    )


def epoch(server: Sources) -> str:
    return str(int(server.clock.timestamp()))


def test_a_build_reads_batches_without_a_network_and_names_them(new_site: Site, server: Sources) -> None:
    server.files["/lists/hotline.csv"] = f"id,type,value,quality,category\ne,md5,{md5(77)},,A\n".encode()
    batches = site_with(new_site, server, *POLLED, "csv")
    arguments = ("fetch", "--config", new_site.root / "feeds.toml", "--batches", batches)
    told = json.loads(done("index_builder", *arguments, "--json", SOURCE_DATE_EPOCH=epoch(server)))
    assert {feed["feed"]: feed["rows"] for feed in told["feeds"]} == {**dict.fromkeys(POLLED, 5), "csv": 1}
    assert told["errors"] == []
    assert_no_secret({"told": json.dumps(told).encode(), **files(batches)})
    made = build_offline(new_site, batches)
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    manifest = json.loads((Path(report["directory"]) / "manifest.json").read_text())
    names = {feed["name"]: feed["batch"] for feed in manifest["feeds"]}
    for feed in told["feeds"]:
        assert names[feed["feed"]] == feed["batches"][-1]
    again = build_offline(new_site, batches, "--version", "1", "--fresh-state")
    assert (
        json.loads(again.stdout)["snapshot"] == report["snapshot"]
    )  # with the state and without, the same bytes
    spoil(batches / "tat" / names["tat"] / "seal.json", flipped)
    refused = build_offline(new_site, batches)
    assert refused.returncode == 1
    assert f"Batch {names['tat']} is damaged" in refused.stderr
    assert "index-builder fetch --full" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_one_source_that_fails_stops_no_other_and_no_secret_is_told(new_site: Site, server: Sources) -> None:
    batches = site_with(new_site, server, *POLLED)
    arguments = ("--config", new_site.root / "feeds.toml", "--batches", batches)
    server.fail(99, Answer(b"", 401), "FetchHashes")
    # Answers that repeat what they were asked with, credentials and all, and are no page.
    server.fail(99, Answer(b"denied: " + b" ".join(forms_of(TOKEN))), "threat_updates")
    server.fail(99, Answer(b"denied: " + b" ".join(forms_of(PASSWORD))), "/hashsharing")
    config = new_site.root / "feeds.toml"
    config.write_text(config.read_text().replace("[feed.fetch]", "[feed.fetch]\nattempts = 1"))
    result = run("index_builder", "fetch", *arguments, SOURCE_DATE_EPOCH=epoch(server))
    assert result.returncode == 1  # bad data, of one
    lines = [line for line in result.stderr.splitlines() if line.startswith("index-builder: ")]
    assert [line.split(": ")[1] for line in lines] == ["ncmec", "stopncii", "threatexchange"]
    assert "answers 401" in lines[1]
    assert len(list((batches / "tat").glob("0*"))) == 1
    assert "tat" in result.stdout
    for kind in ("ncmec", "threatexchange"):
        [kept] = (batches / kind / "damaged").iterdir()
        assert kept.read_bytes().startswith(b"denied: REDACTED")
    assert_no_secret({"printed": (result.stdout + result.stderr).encode(), **files(new_site.root)})
    server.faults.clear()
    result = run("index_builder", "fetch", *arguments, "stopncii", SOURCE_DATE_EPOCH=epoch(server))
    assert result.returncode == 0, result.stderr
    result = run("index_builder", "fetch", *arguments, "example-hotline", SOURCE_DATE_EPOCH=epoch(server))
    assert result.returncode == 2
    assert "Those that are: ncmec, stopncii, tat, threatexchange" in result.stderr


def test_a_build_says_where_batches_are_missing(new_site: Site, server: Sources) -> None:
    site_with(new_site, server, "tat")
    result = run(
        "index_builder", "build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots
    )
    assert result.returncode == 2
    assert "--batches" in result.stderr


# The config


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": PASSWORD}, "never written here"),
        ({"password": None}, "needs `fetch.user` and `fetch.password`"),
        ({"token": "env:T_TOKEN"}, "no other credential"),
        ({"url": "http://hashsharing.example/x"}, "only https"),
        ({"url": f"https://me:{PASSWORD.split()[0]}@host/"}, "credentials have keys of their own"),
        ({"url": "https://host/list?sig=abc"}, "credentials have keys of their own"),
        ({"url": "ftp://host/list"}, "https://host/path"),
        ({"url": "https://[::1/x"}, "no address"),
        ({"url": None}, "needs `fetch.url`"),
        ({"url": None, "path": "pages"}, "saved pages are its `path`"),
        ({"privacy_group": "1"}, "`fetch.privacy_group` is for"),
        ({"pages": 3}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_and_not_quoted(
    change: dict[str, object], says: str, server: Sources, tmp_path: Path
) -> None:
    keys = Desk(server, "ncmec", tmp_path).feed_keys
    fetch = {name: value for name, value in {**keys["fetch"], **change}.items() if value is not None}
    with pytest.raises(ValidationError, match=re.escape(says)):
        FeedConfig.model_validate({**keys, "fetch": fetch})
    with pytest.raises(ValidationError, match="and not both"):
        FeedConfig.model_validate({**keys, "path": "x"})


def test_a_credential_comes_from_a_file_too_and_is_told_when_it_is_not_there(
    server: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    write_private(secret, f"{PASSWORD}\n")
    desk = Desk(server, "ncmec", tmp_path, limits={"password": f"file:{secret}"})
    desk.fetch()
    secret.write_text("brief")
    with pytest.raises(ConfigError, match="fewer than 8 characters") as caught:
        desk.fetch()
    assert "brief" not in str(caught.value)
    secret.write_text("")
    with pytest.raises(ConfigError, match="holds no `password`"):
        desk.fetch()
    monkeypatch.delenv("T_USER")
    with pytest.raises(ConfigError, match="environment variable T_USER holds no `user`"):
        desk.fetch()
