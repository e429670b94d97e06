"""What is served is what was verified, whoever writes to the disk and whichever process dies."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support import Server, Site, done, eventually, run, serving

pytestmark = pytest.mark.system
Listed = dict[str, dict[str, str]]


def sync_of(server: Server) -> int:
    lines = [json.loads(line) for line in server.log if '"sync_started"' in line]
    return int(lines[-1]["pid"])


def memories(pid: int) -> list[Path]:
    found = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        if "memfd:hashcheck" in str(file.readlink()):
            found.append(file)
    return found


def verdict(server: Server, value: str) -> str:
    with server.new_client() as client:
        body = {"items": [{"ref": "r", "hashes": [{"type": "md5", "value": value}]}]}
        answer = client.post("/v1/check", json=body)
    return str(answer.json()["results"][0]["verdict"]) if answer.status_code == 200 else answer.json()["code"]


@pytest.fixture
def value(listed: Listed) -> str:
    return listed["coffee.png"]["md5"]


def test_a_list_in_sealed_memory_outlives_its_files_its_maker_and_its_workers(
    new_site: Site, value: str
) -> None:
    new_site.publish(new_site.build())
    with serving(new_site, AWS_SECRET_ACCESS_KEY="for sync alone") as server:
        assert verdict(server, value) == "match"
        [worker], sync = server.workers(), sync_of(server)
        for pid, told in ((worker, False), (sync, True)):
            assert (b"AWS_" in Path(f"/proc/{pid}/environ").read_bytes()) == told
        memory = memories(worker)[0]
        inode = memory.stat().st_ino
        with memory.open("r+b", buffering=0) as opened, pytest.raises(PermissionError):
            opened.write(b"x")
        for file in (new_site.root / "state" / "snapshots").glob("*/*.bin"):
            file.chmod(0o600)
            file.write_bytes(b"")
        assert verdict(server, value) == "match"

        os.kill(sync, signal.SIGKILL)
        died = json.loads(server.wait_for_log('.*"sync_died".*')[0])
        assert (died["level"], died["signal"]) == ("error", "SIGKILL")
        server.wait_for_log('"sync_ready"', 2)
        os.kill(worker, signal.SIGKILL)
        server.wait_for_log('"worker_ready"', 2)
        eventually(lambda: verdict(server, value) == "match", "the new worker's answer")
        assert {one.stat().st_ino for one in memories(server.workers()[0])} == {inode}
        assert len([line for line in server.log if '"list_sealed"' in line]) == 1

        entry = server.check({"type": "md5", "value": value})["matches"][0]["entry"]
        where = ("--store", new_site.snapshots, *new_site.signing)
        done("index_builder", "retract", entry, "--reason", "a coffee cup", *where)
        eventually(lambda: verdict(server, value) == "no_match", "the retraction")

        second = run("hashcheck_service", "serve", "--config", new_site.root / "service.toml", "--port", "0")
        assert second.returncode == 2
        assert "Another service uses the state directory" in second.stderr


def test_a_mapped_file_that_is_cut_costs_the_worker_and_no_answer(new_site: Site, value: str) -> None:
    new_site.write_settings('served_memory = "mapped"\n')
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        assert verdict(server, value) == "match"
        [worker] = server.workers()
        assert memories(worker) == []
        for file in (new_site.root / "state" / "snapshots").glob("*/md5-*.bin"):
            file.chmod(0o600)
            os.truncate(file, 0)
        with pytest.raises(Exception):  # noqa: B017, PT011 - the connection ends, in whichever way the client tells it
            verdict(server, value)
        died = json.loads(server.wait_for_log('.*"worker_died".*')[0])
        assert (died["signal"], died["cause"]) == ("SIGBUS", "a mapped file was cut or its disk failed")
        eventually(lambda: verdict(server, value) == "match", "the list fetched anew", 60)
        text = server.client.get("/metrics").text
        assert 'hashcheck_list_incidents_total{found_by="hashing"} 1.0' in text
        assert 'hashcheck_process_deaths_total{cause="SIGBUS",process="worker"} 1.0' in text


def test_a_copy_that_is_gone_at_the_start_is_fetched_before_anything_is_answered(
    new_site: Site, value: str
) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        assert verdict(server, value) == "match"
    shutil.rmtree(next((new_site.root / "state" / "snapshots").glob("0*")))
    with serving(new_site) as server:
        assert verdict(server, value) == "match"
