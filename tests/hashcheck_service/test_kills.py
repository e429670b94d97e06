"""kill -9 of everything at any moment: what is served, and what lies on disk, is one whole, verified snapshot.

TEST_KILLS sets how often each is killed; the few by default keep the suite short.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx

from hashcheck_core.errors import HashcheckError
from hashcheck_core.snapshot.keys import Role, first_keys
from hashcheck_core.snapshot.opener import open_snapshot
from tests.support import Server, Site, eventually, pdq, run, serving

KILLS = int(os.environ.get("TEST_KILLS", "4"))
Listed = dict[str, dict[str, str]]
ODD_EVEN = "id,type,value,quality,category\nx,pdq," + "5a" * 32 + ",,A\n"


def prepare(site: Site, versions: int) -> list[Path]:
    """Odd versions list the photographs, even ones do not: an answer must fit the snapshot it names."""
    with_them = site.feed.read_text()
    built = []
    for version in range(1, versions + 1):
        site.feed.write_text(with_them if version % 2 else ODD_EVEN)
        built.append(site.build())
    return built


class Watcher:
    """Asks without end and holds every answer against the snapshot it names. No answer is no fault here: what
    serves is being killed."""

    def __init__(self, server: Server, value: str) -> None:
        self.wrong: list[str] = []
        self.served: Counter[int] = Counter()
        self._stop = threading.Event()
        self._body = {"items": [{"ref": "r", "hashes": [pdq(value)]}]}
        self._server = server
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._server.new_client() as client:
                    answer = client.post("/v1/check", json=self._body)
            except httpx.TransportError:
                continue
            if answer.status_code == 503 and answer.json()["code"] == "no_snapshot":
                continue
            if answer.status_code != 200:
                self.wrong.append(answer.text)
                continue
            content = answer.json()
            version, verdict = content["snapshot"]["version"], content["results"][0]["verdict"]
            if verdict != ("match" if version % 2 else "no_match"):
                self.wrong.append(f"{version}: {verdict}")
            self.served[version] += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_workers_killed_while_snapshots_are_swapped(new_site: Site, listed: Listed) -> None:
    built = prepare(new_site, KILLS + 1)
    new_site.publish(built[0])
    chance = random.Random(1)
    with serving(new_site, "--workers", "2") as server:
        watcher = Watcher(server, listed["coffee.png"]["pdq"])
        for sequence, snapshot in enumerate(built[1:], 2):
            new_site.point_at(snapshot, sequence)
            time.sleep(chance.uniform(0, 0.4))  # the point of the kill, not a wait for anything
            os.kill(chance.choice(server.workers()), signal.SIGKILL)
            server.wait_for_log('"worker_ready"', 1 + sequence)
        version = int(built[-1].name[:8])
        eventually(lambda: watcher.served[version] > 5, "the last version serving")
        watcher.stop()
    assert not watcher.wrong


def test_the_service_killed_while_it_fetches_and_swaps(new_site: Site, listed: Listed) -> None:
    built = prepare(new_site, KILLS + 1)
    new_site.publish(built[0])
    chance = random.Random(2)
    key = new_site.add_key()
    for sequence, snapshot in enumerate(built[1:], 2):
        with serving(new_site, key=key) as server:
            watcher = Watcher(server, listed["coffee.png"]["pdq"])
            new_site.point_at(snapshot, sequence)
            time.sleep(chance.uniform(0, 0.4))
            server.process.kill()
            server.process.wait()
            watcher.stop()
        assert not watcher.wrong
        assert_whole(new_site, new_site.root / "state" / "snapshots")
    with serving(new_site, key=key) as server:
        eventually(
            lambda: server.client.get("/v1/snapshot").json()["snapshot"]["id"] == built[-1].name,
            "the last one",
        )


def test_the_builder_killed_while_it_builds_and_publishes(new_site: Site, tmp_path: Path) -> None:
    new_site.publish(new_site.build())
    store = tmp_path / "store"
    chance = random.Random(3)
    build = ["build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots]
    for _ in range(KILLS):
        killed_at_random(chance, *build)
        assert_whole(new_site, new_site.snapshots)
        newest = max(new_site.snapshots.glob("0*"))
        killed_at_random(chance, "publish", newest, *new_site.signing, "--store", store)
        if (store / "current").exists():
            result = run(
                "hashcheck_service", "check-config", "--config", settings_for(new_site, store), "--json"
            )
            assert result.returncode == 0, result.stderr
            assert json.loads(result.stdout)["snapshot"][:8] <= newest.name[:8]
    for directory in new_site.snapshots.glob(".building-*"):
        shutil.rmtree(directory)
    newest = new_site.build()
    assert run("index_builder", "publish", newest, *new_site.signing, "--store", store).returncode == 0
    assert_whole(new_site, store)


def settings_for(site: Site, store: Path) -> Path:
    if not (site.root / "keys.json").exists():
        site.add_key()
    path = site.root / "other.toml"
    path.write_text((site.root / "service.toml").read_text().replace('"snapshots"', f'"{store}"'))
    return path


def killed_at_random(chance: random.Random, *arguments: object) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "index_builder.cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(chance.uniform(0.3, 1.5))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def assert_whole(site: Site, home: Path) -> None:
    """Every snapshot that bears its name is whole and as signed; what a publisher was still bringing has no
    manifest yet."""
    now = datetime.now(UTC)
    trusted = first_keys(site.trusted_keys.read_bytes()).of(Role.SNAPSHOT, now)
    for directory in home.glob("0*"):
        if not (directory / "manifest.json").exists():
            continue
        try:
            open_snapshot(directory, trusted, now=now)
        except HashcheckError as error:
            raise AssertionError(f"{directory.name}: {error}") from error
