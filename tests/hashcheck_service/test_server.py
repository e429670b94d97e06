"""The service as a process under an operator's hands: no snapshot, stale, bad, swapped, several workers."""

import errno
import json
import os
import re
import select
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hashcheck_core.reserved import TEST_HASHES
from tests.hashcheck_service.test_check import assert_problem
from tests.support import Server, Site, done, eventually, pdq, run, serving

Listed = dict[str, dict[str, str]]
ITEM = {"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}
STRANGER = {"items": [ITEM]}
PICTURE = Path(__file__).parents[2] / "examples" / "test-picture.png"
CHECKS = (("POST", "/v1/check"), ("POST", "/v1/check/md5"), ("GET", "/v1/snapshot"))


def ask(server: Server, method: str, path: str) -> httpx.Response:
    if path == "/v1/check":
        return server.client.post(path, json=STRANGER)
    return server.client.request(method, path, content="ab" * 16 if method == "POST" else None)


def test_with_no_snapshot_it_lives_is_not_ready_and_never_says_no_match(new_site: Site) -> None:
    with serving(new_site) as server:
        assert server.client.get("/livez").json() == {"status": "ok"}
        for method, path in (*CHECKS, ("GET", "/readyz")):
            answer = ask(server, method, path)
            assert_problem(answer, 503, "no_snapshot")
            assert int(answer.headers["Retry-After"]) >= 1
            assert "Hashcheck-Snapshot" not in answer.headers
        media = server.client.post("/v1/check/media", content=b"x", headers={"Content-Type": "image/png"})
        assert_problem(media, 503, "no_snapshot")
        server.wait_for_log('"snapshot_refused"')
        metrics = server.client.get("/metrics").text
        assert 'hashcheck_snapshot_refusals_total{code="unreachable"} 1.0' in metrics
        assert not re.search(r"^hashcheck_snapshot_age_seconds", metrics, re.M)
        new_site.publish(new_site.build())
        eventually(lambda: server.client.get("/readyz").status_code == 200, "ready after the first publish")
        eventually(
            lambda: re.search(
                r"^hashcheck_snapshot_age_seconds \d", server.client.get("/metrics").text, re.M
            ),
            "its age",
        )
        assert ask(server, "POST", "/v1/check").json()["results"][0]["verdict"] == "no_match"


def test_past_its_expiry_a_snapshot_is_not_served(new_site: Site) -> None:
    new_site.write_config(expires_after="1m")
    with serving(new_site) as server:
        # Built by its own clock so long ago that it is good for a few seconds more, enough to be seen serving.
        epoch = str(int(time.time()) - 48)
        new_site.publish(new_site.build(SOURCE_DATE_EPOCH=epoch), SOURCE_DATE_EPOCH=epoch)
        server.wait_for_log("snapshot_in_force")
        assert ask(server, "POST", "/v1/check").status_code == 200
        eventually(lambda: server.client.get("/readyz").status_code == 503, "expiry")
        for method, path in (*CHECKS, ("GET", "/readyz")):
            assert_problem(ask(server, method, path), 503, "snapshot_expired")
        new_site.write_config()
        new_site.publish(new_site.build())
        eventually(lambda: server.client.get("/readyz").status_code == 200, "a fresh one in force")


def test_a_bad_snapshot_is_refused_and_the_old_one_goes_on_serving(new_site: Site) -> None:
    good = new_site.build()
    new_site.publish(good)
    bad, unsigned, gone = new_site.build(), new_site.build(), new_site.snapshots / ("00000009-" + "0" * 16)
    spoil(bad / "pdq-codes.bin")
    spoil(unsigned / "manifest.sig")
    with serving(new_site) as server:
        for sequence, (snapshot, code) in enumerate(
            (
                (bad, "bad_snapshot_digest"),
                (unsigned, "bad_snapshot_signature"),
                (gone, "unreachable"),
            ),
            2,
        ):
            new_site.point_at(snapshot, sequence)
            server.wait_for_log(rf"snapshot_refused.*{code}|{code}.*snapshot_refused")
            eventually(lambda c=code: server.client.get("/readyz").json()["refused"] == c, code)  # type: ignore[misc]
            ready = server.client.get("/readyz").json()
            assert ready["detail"]
            assert ready["snapshot"]["id"] == good.name
            assert ask(server, "POST", "/v1/check").headers["Hashcheck-Snapshot"] == good.name
        newest = new_site.build()
        new_site.point_at(newest, 5)
        server.wait_for_log("snapshot_in_force", 2)
        eventually(lambda: server.client.get("/readyz").json()["refused"] is None, "refusal forgotten")
        new_site.point_at(good, 4)
        server.wait_for_log("snapshot_rollback")
        assert ask(server, "POST", "/v1/check").headers["Hashcheck-Snapshot"] == newest.name


def spoil(file: Path) -> None:
    """Turn one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o640)
    file.write_bytes(data)


def test_two_workers_share_a_port_follow_the_pointer_and_add_up_their_metrics(
    new_site: Site, listed: Listed
) -> None:
    first = new_site.build()
    new_site.publish(first)
    with serving(new_site, "--workers", "2") as server:
        asked = 0

        def answers() -> Counter[str]:
            nonlocal asked
            seen: Counter[str] = Counter()
            for _ in range(20):  # a new connection each, so that both workers get some
                with server.new_client() as client:
                    answer = client.post("/v1/check", json=STRANGER)
                assert answer.status_code == 200
                seen[answer.headers["Hashcheck-Snapshot"]] += 1
                asked += 1
            return seen

        assert set(answers()) == {first.name}
        second = new_site.build()
        new_site.publish(second)
        server.wait_for_log(f"snapshot_in_force.*{second.name}|{second.name}.*snapshot_in_force", 2)
        assert set(answers()) == {second.name}
        assert server.check(pdq(listed["coffee.png"]["pdq"]))["verdict"] == "match"
        counted = f'hashcheck_checks_total{{verdict="no_match"}} {asked}.0'
        eventually(lambda: counted in server.client.get("/metrics").text, "both workers' counts put in")
        metrics = server.client.get("/metrics").text
        assert "hashcheck_snapshot_version 2.0" in metrics
        assert len(new_site.hits()) == 1


def test_a_worker_that_dies_is_replaced_and_the_rest_go_on(new_site: Site) -> None:
    new_site.publish(new_site.build())
    with serving(new_site, "--workers", "2") as server:
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for_log('"worker_ready"', 3)
        for _ in range(10):
            with server.new_client() as client:
                assert client.post("/v1/check", json=STRANGER).status_code == 200


def test_through_swaps_under_load_no_request_fails_and_each_is_true_to_its_snapshot(
    new_site: Site, listed: Listed
) -> None:
    """Odd versions list the photographs, even ones do not: an answer must fit the snapshot it names."""
    with_them = new_site.feed.read_text()
    without = "id,type,value,quality,category\nx,pdq," + "5a" * 32 + ",,A\n"
    built = []
    for version in range(1, 9):
        new_site.feed.write_text(with_them if version % 2 else without)
        built.append(new_site.build())
    new_site.publish(built[0])
    body = {"items": [{"ref": "r", "hashes": [pdq(listed["coffee.png"]["pdq"])]}]}
    wrong: list[str] = []
    served: Counter[int] = Counter()
    stop = threading.Event()
    with serving(new_site, HASHCHECK_LIMITS__TURN_SECONDS="60") as server:

        def load() -> None:
            with server.new_client() as client:
                while not stop.is_set():
                    answer = client.post("/v1/check", json=body)
                    if answer.status_code != 200:
                        wrong.append(answer.text)
                        continue
                    content = answer.json()
                    version, verdict = content["snapshot"]["version"], content["results"][0]["verdict"]
                    served[version] += 1
                    if answer.headers["Hashcheck-Snapshot"] != content["snapshot"]["id"]:
                        wrong.append("header and body differ")
                    if verdict != ("match" if version % 2 else "no_match"):
                        wrong.append(f"{version}: {verdict}")

        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            for number, snapshot in enumerate(built[1:], 2):
                new_site.publish(snapshot)
                server.wait_for_log("snapshot_in_force", number)
                eventually(lambda n=number: served[n] > 20, f"version {number} serving")  # type: ignore[misc]
            stop.set()
            for done_load in loads:
                done_load.result()
    assert not wrong
    assert set(served) == set(range(1, 9))


def test_every_hit_is_on_disk_before_it_is_answered_and_holds_no_hash(new_site: Site, listed: Listed) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        value = listed["coffee.png"]["pdq"]
        for number in range(20):
            result = server.check(pdq(value), ref=f"{number}")
            last = new_site.hits()[-1]
            assert last["hit_id"] == result["hit_id"]
            assert last["match_ids"] == [match["match_id"] for match in result["matches"]]
        server.process.kill()
        server.process.wait()
    hits = new_site.hits()
    assert len({hit["hit_id"] for hit in hits}) == 20
    assert set(hits[0]) == {
        "kind", "at", "tenant", "snapshot", "action", "matches", "hits", "hit_id", "request_id", "match_ids", "chain",
    }  # fmt: skip
    assert set(hits[0]["matches"][0]) == {"entry", "category", "sources", "type", "distance"}
    assert hits[0]["tenant"] == "acme"
    assert value not in json.dumps(hits)
    assert all(file.stat().st_mode & 0o007 == 0 for file in (new_site.root / "hits").iterdir())


def test_hits_of_many_callers_at_once_are_all_recorded_and_files_rotate(
    new_site: Site, listed: Listed
) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings("hit_log_file_bytes = 4000\n")
    with serving(new_site) as server, ThreadPoolExecutor(8) as pool:
        value = listed["coffee.png"]["pdq"]
        hits = list(pool.map(lambda number: server.check(pdq(value), ref=f"{number}")["hit_id"], range(64)))
    files = sorted((new_site.root / "hits").glob("hits-*.jsonl"))
    assert len(files) > 2
    assert all(file.stat().st_size < 4000 + 64 * 400 for file in files)
    assert sorted(hits) == sorted(hit["hit_id"] for hit in new_site.hits())
    done("hashcheck_service", "hits", "verify", new_site.root / "hits", "--state", new_site.root / "state")


def test_the_same_question_is_one_hit_on_every_worker_and_after_a_restart(
    new_site: Site, listed: Listed
) -> None:
    new_site.publish(new_site.build())
    coffee, other = pdq(listed["coffee.png"]["pdq"]), pdq(listed["astronaut.png"]["pdq"])
    key = new_site.add_key()
    with serving(new_site, "--workers", "2", key=key) as server:
        results = []
        for _ in range(20):  # a new connection each, so that both workers get some
            with server.new_client() as client:
                body = {"items": [{"ref": "upload-1", "hashes": [coffee]}]}
                results += client.post("/v1/check", json=body).json()["results"]
        first = results[0]
        assert all(result == first for result in results)
        assert len(new_site.hits()) <= 2  # once for each worker
        assert server.check(coffee, ref="upload-2")["hit_id"] != first["hit_id"]
        assert server.check(other, ref="upload-1")["hit_id"] != first["hit_id"]
        without_ref = {server.check(coffee, ref="")["hit_id"] for _ in range(3)}
        assert len(without_ref) == 3
        second = new_site.add_key("second")
        headers = {"Authorization": f"Bearer {second}"}
        eventually(lambda: server.client.get("/v1/snapshot", headers=headers).status_code == 200, "new key")
        asked = server.client.post("/v1/check", json=body, headers=headers).json()["results"]
        assert asked[0]["hit_id"] != first["hit_id"]
        assert 'hashcheck_hit_repeats_total{log="hits"} ' in server.client.get("/metrics").text
    assert (new_site.root / "state" / "hit-id.key").stat().st_mode & 0o777 == 0o600
    with serving(new_site, key=key) as server:
        assert server.check(coffee, ref="upload-1") == first
    (new_site.root / "state" / "hit-id.key").chmod(0o644)
    refused = run("hashcheck_service", "serve", "--config", new_site.root / "service.toml", "--port", "0")
    assert refused.returncode != 0
    assert "hit-id.key may be read or written by others" in refused.stderr


def test_test_hashes_are_recorded_apart_and_push_no_evidence_out(new_site: Site, listed: Listed) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        evidence = server.check(pdq(listed["coffee.png"]["pdq"]))
        reserved = [{"type": h.type.name, "value": h.hex()} for h in TEST_HASHES]
        asked = [server.check(*reserved, ref=f"{number}")["hit_id"] for number in range(5)]
        assert [hit["hit_id"] for hit in new_site.hits()] == [evidence["hit_id"]]
        tests = new_site.hits("test-hits")
        assert [hit["hit_id"] for hit in tests] == asked
        assert {match["category"] for hit in tests for match in hit["matches"]} == {"test"}


def test_a_hit_that_cannot_be_recorded_is_not_answered(new_site: Site, listed: Listed) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        hits = new_site.root / "hits"
        assert server.check(pdq(listed["coffee.png"]["pdq"]), ref="first")["verdict"] == "match"
        shutil.rmtree(hits)
        hits.touch()  # in the place of the directory: it cannot even be made anew
        item = {"items": [{"ref": "r", "hashes": [pdq(listed["coffee.png"]["pdq"])]}]}
        assert_problem(server.client.post("/v1/check", json=item), 503, "hit_log_not_writable")
        assert_problem(server.client.get("/readyz"), 503, "hit_log_not_writable")
        # What a match cannot get, a no-match does not get either: it would let listed files through.
        assert_problem(ask(server, "POST", "/v1/check"), 503, "hit_log_not_writable")
        event = json.loads(server.wait_for_log("hit_log_not_writable").string)
        assert event["errno"] == errno.ENOTDIR
        hits.unlink()
        hits.mkdir()
        eventually(lambda: server.client.get("/readyz").status_code == 200, "ready without another hit")
        assert server.client.post("/v1/check", json=item).status_code == 200
        code = 'hashcheck_hit_log_failures_total{code="hit_log_not_writable",log="hits"} 1.0'
        assert code in server.client.get("/metrics").text


def test_a_hit_log_that_is_removed_is_written_anew_with_an_alarm(new_site: Site, listed: Listed) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        first = server.check(pdq(listed["coffee.png"]["pdq"]), ref="first")
        shutil.rmtree(new_site.root / "hits")
        second = server.check(pdq(listed["coffee.png"]["pdq"]), ref="second")
        assert [hit["hit_id"] for hit in new_site.hits()] == [first["hit_id"], second["hit_id"]]
        event = json.loads(server.wait_for_log("hit_log_disturbed").string)
        assert event["what"] == "removed"
        counted = 'hashcheck_hit_log_disturbed_total{log="hits",what="removed"} 1.0'
        assert counted in server.client.get("/metrics").text


def test_logs_hold_no_hash_no_name_no_address_and_no_line_for_what_was_not_found(
    new_site: Site, listed: Listed
) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        ref, name = "uploader-7f3a", "holiday-picture.jpg"
        value = listed["coffee.png"]["pdq"]
        before = len(server.log)
        server.check(pdq(value), ref=ref)
        server.check(pdq("5a" * 32), ref=ref)
        server.client.post("/v1/check", content=b'{"items": ' + value.encode(), headers={"User-Agent": name})
        server.client.post(f"/v1/check/{name}?q={value}", content=value)
        server.client.post("/v1/check/media", content=value.encode(), headers={"Content-Type": "image/png"})
        assert server.log[before:] == []
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
            raw.sendall(f"GARBAGE {value} {name}\r\n\r\n".encode())
            raw.recv(4096)
        text = "\n".join([*server.log, *map(json.dumps, new_site.hits())])
    for secret in (value, value[:16], "5a5a5a5a", ref, name, server.key, '"127.0.0.1:'):
        assert secret not in text
    assert all(json.loads(line)["level"] for line in server.log)


def test_keys_added_and_removed_take_effect_without_a_restart(new_site: Site) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        new = new_site.add_key("second")
        headers = {"Authorization": f"Bearer {new}"}
        eventually(lambda: server.client.get("/v1/snapshot", headers=headers).status_code == 200, "new key")
        stored = json.loads((new_site.root / "keys.json").read_text())["keys"]
        assert new not in json.dumps(stored)
        assert (new_site.root / "keys.json").stat().st_mode & 0o777 == 0o600
        [second] = [key for key in stored if key["name"] == "second"]
        done("hashcheck_service", "keys", "remove", second["id"], "--file", new_site.root / "keys.json")
        eventually(lambda: server.client.get("/v1/snapshot", headers=headers).status_code == 401, "key gone")
        (new_site.root / "keys.json").write_text("not keys")
        server.wait_for_log("keys_refused")
        assert server.client.get("/v1/snapshot").status_code == 200


def test_a_key_file_that_cannot_be_read_for_a_while_is_taken_up_when_it_can(new_site: Site) -> None:
    """The same file, never written again, is refused for what lies in its way and then read."""
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        keys, aside = new_site.root / "keys.json", new_site.root / "aside.json"
        keys.rename(aside)
        server.wait_for_log("keys_refused")
        aside.rename(keys)
        new = new_site.add_key("second")
        headers = {"Authorization": f"Bearer {new}"}
        eventually(lambda: server.client.get("/v1/snapshot", headers=headers).status_code == 200, "new key")
        assert len([line for line in server.log if "keys_refused" in line]) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_leaves_nothing_in_the_temporary_folder(new_site: Site, workers: str, tmp_path: Path) -> None:
    new_site.publish(new_site.build())
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving(new_site, "--workers", workers, TMPDIR=str(temporary)):
        assert not list(temporary.iterdir())
    assert list(temporary.iterdir()) == []


def test_a_key_file_keeps_its_owner_its_mode_and_its_link(new_site: Site) -> None:
    file, link = new_site.root / "real.json", new_site.root / "keys.json"
    done("hashcheck_service", "keys", "add", "acme", "--file", file)
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    before = file.stat()
    link.symlink_to(file)
    new_site.add_key("second")
    after = file.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert after.st_ino != before.st_ino
    assert link.is_symlink()


def test_a_body_that_never_ends_is_cut_off(new_site: Site) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings("[limits]\nbody_seconds = 0.5\n")
    with serving(new_site) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(
                b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
                b"Authorization: Bearer " + server.key.encode() + b"\r\n\r\n{"
            )
            raw.settimeout(10)
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout" in answer
        assert ask(server, "POST", "/v1/check").status_code == 200


def held_bodies(server: Server, key: str, path: str, count: int, sent: bytes = b"{") -> list[socket.socket]:
    """Connections that have sent the head of a request, and the beginning of its body."""
    held = []
    for _ in range(count):
        raw = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        raw.settimeout(20)
        kind = {"/v1/check/media": "image/png", "/v1/check/stream": "application/x-ndjson"}
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\nAuthorization: Bearer {key}\r\n"
        head += f"Content-Type: {kind.get(path, 'application/json')}\r\n\r\n"
        raw.sendall(head.encode() + sent)
        held.append(raw)
    return held


@pytest.mark.parametrize("path", ["/v1/check", "/v1/check/media", "/v1/check/stream", "/v1/check/md5"])
def test_bodies_that_never_come_take_nothing_from_another_tenant(
    new_site: Site, listed: Listed, path: str
) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings(
        "[limits]\nmax_checks_in_hand = 2\nmax_pictures_in_hand = 1\nmax_pictures_waiting = 1\n"
        "max_streams_in_hand = 2\n"
    )
    hostile = new_site.add_key("hostile")
    with serving(new_site) as server:
        held = held_bodies(server, hostile, path, 60)
        assert server.check(pdq(listed["coffee.png"]["pdq"]))["verdict"] == "match"
        assert server.check(pdq("5a" * 32))["verdict"] == "no_match"
        picture = PICTURE.read_bytes()
        assert server.media(picture)["verdict"] == "match"
        line = {"Content-Type": "application/x-ndjson"}
        stream = server.client.post("/v1/check/stream", content=json.dumps(ITEM), headers=line)
        assert stream.json()["result"]["verdict"] == "no_match"
        for raw in held:
            raw.close()


def test_bodies_in_hand_take_so_many_bytes_and_one_tenant_half_of_them(new_site: Site) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings("[limits]\nmax_bytes_in_hand = 1000000\n")
    hostile = new_site.add_key("hostile")
    with serving(new_site) as server:
        held = held_bodies(server, hostile, "/v1/check", 6, bytes(200_000))
        refused, _, _ = select.select(held, [], [], 20)
        assert refused[0].recv(65536).startswith(b"HTTP/1.1 503 ")
        large = {"items": [{"ref": "r" * 200, "hashes": ITEM["hashes"]}] * 600}
        assert server.client.post("/v1/check", json=large).status_code == 200
        for raw in held:
            raw.close()


def test_pictures_that_wait_have_slots_of_their_own(new_site: Site) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings(
        "[limits]\nmax_checks_in_hand = 1\nmax_pictures_in_hand = 1\nmax_pictures_waiting = 1\n"
    )
    picture = PICTURE.read_bytes()
    with serving(new_site) as server, ThreadPoolExecutor(6) as pool:
        clients = [server.new_client() for _ in range(6)]
        seen: Counter[int] = Counter()
        deadline = time.monotonic() + 30
        while seen[503] == 0 and time.monotonic() < deadline:
            kind = {"Content-Type": "image/png"}
            answers = [pool.submit(c.post, "/v1/check/media", content=picture, headers=kind) for c in clients]
            assert ask(server, "POST", "/v1/check").status_code == 200
            seen.update(one.result().status_code for one in answers)
        assert set(seen) == {200, 503}
        assert server.media(picture)["verdict"] == "match"
        for client in clients:
            client.close()


def test_a_stop_answers_what_is_in_hand(new_site: Site) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        port = int(server.url.rpartition(":")[2])
        body = json.dumps(STRANGER).encode()
        with socket.create_connection(("127.0.0.1", port)) as raw:
            head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
            head += b"Expect: 100-continue\r\n"
            raw.sendall(head + b"Authorization: Bearer " + server.key.encode() + b"\r\n\r\n")
            assert raw.recv(65536).startswith(b"HTTP/1.1 100 ")  # sent when the handler asks for the body
            raw.sendall(body[:10])
            server.process.terminate()
            server.wait_for_log('"stopping"')
            raw.sendall(body[10:])
            answer = raw.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(20) == 0


def test_check_config_says_what_would_be_served(site: Site) -> None:
    site.add_key("someone")
    out = json.loads(
        done("hashcheck_service", "check-config", "--config", site.root / "service.toml", "--json")
    )
    assert out["types"]["pdq"] == 4
    assert "someone" in out["tenants"]
    assert "pdq" in done("hashcheck_service", "check-config", "--config", site.root / "service.toml")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ('trusted_keys = "keys/builder.pub"', "keys file cannot be read"),
        ('trusted_keys = []', "trusted_keys"),
        ('snapshots = "gopher://x"', "gopher"),
        ('snapshot = "x"', "snapshot: "),
        ("[policy]\nradius = {pdq = -1}", "policy.radius.pdq"),
        ("poll_seconds = inf", "poll_seconds"),
        ("[limits]\nbody_seconds = 1e300", "limits.body_seconds"),
        ('snapshots = "a\\u0000b"', "NUL"),
        ("[policy]\nradius = {md5 = 3}", "radius 3 of md5 is above 0"),
        ("[policy]\nradius = {pdq = 65}", "radius 65 of pdq is above 64"),
        ("[policy]\nradius = {phash = 17}", "radius 17 of phash is above 16"),
        ('[policy]\ncategories = ["everything"]', "policy.categories"),
        ("[limits]\nmax_items = 0", "limits.max_items"),
        ("= 3", "is not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_one_clear_line(new_site: Site, setting: str, says: str) -> None:
    new_site.add_key()
    path = new_site.root / "service.toml"
    lines = path.read_text().splitlines()
    key = setting.partition(" ")[0]
    path.write_text("\n".join([*(line for line in lines if line.split()[0] != key), setting]) + "\n")
    for command in ("check-config", "serve"):
        result = run("hashcheck_service", command, "--config", path)
        assert result.returncode == 2
        last = result.stderr.strip().splitlines()[-1]
        assert says in last
        assert "Traceback" not in result.stderr


def test_check_config_refuses_a_radius_for_a_type_that_is_nowhere(new_site: Site) -> None:
    new_site.publish(new_site.build())
    new_site.add_key()
    config = new_site.write_settings("[policy]\nradius = {pqd = 24}\n")
    result = run("hashcheck_service", "check-config", "--config", config)
    assert (result.returncode, "'pqd'" in result.stderr) == (2, True)
    new_site.write_settings("[policy]\nradius = {pdq = 24, md5 = 0}\n")
    done("hashcheck_service", "check-config", "--config", config)


def test_settings_keys_and_feeds_may_be_links_as_orchestrators_mount_them(new_site: Site) -> None:
    new_site.add_key()
    data = new_site.root / "..2026_data"
    data.mkdir()
    for name in (
        "service.toml",
        "feeds.toml",
        "hotline.csv",
        "keys.json",
        "keys/builder.json",
        "keys/builder.pem",
    ):
        file = new_site.root / name
        file.rename(data / file.name)
        file.symlink_to(data / file.name)
    new_site.publish(new_site.build())
    done("hashcheck_service", "check-config", "--config", new_site.root / "service.toml")
    pointer = new_site.snapshots / "current"
    pointer.rename(data / "current")
    pointer.symlink_to(data / "current")
    result = run("hashcheck_service", "check-config", "--config", new_site.root / "service.toml")
    assert (result.returncode, "current" in result.stderr) == (2, True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_keeps_it_from_starting_is_one_clear_line(new_site: Site, workers: str) -> None:
    new_site.add_key()
    config = new_site.root / "service.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases: list[tuple[list[str], dict[str, str], str]] = [
            (["--port", port], {}, f"port {port}"),
            ([], {"HASHCHECK_HIT_LOG": str(config / "hits")}, str(config)),
            ([], {"HASHCHECK_HIT_LOG": "/proc/hits"}, "/proc"),
            ([], {"HASHCHECK_POLICY__CATEGORIES": "baseline"}, "JSON"),
            ([], {"HASHCHECK_STATE": "/proc/state"}, "/proc"),
        ]
        for arguments, environment, says in cases:
            result = run(
                "hashcheck_service",
                "serve",
                "--config",
                config,
                "--workers",
                workers,
                *arguments,
                **environment,
            )
            assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
            assert says in result.stderr


def test_check_config_tries_the_hit_log_and_leaves_nothing_behind(site: Site) -> None:
    site.add_key("someone")
    folders = [
        folder for folder in site.root.iterdir() if folder.name != "state"
    ]  # a service is at work there

    def found() -> list[Path]:
        return sorted([*folders, *(path for folder in folders for path in folder.rglob("*"))])

    before = found()
    config = site.root / "service.toml"
    done("hashcheck_service", "check-config", "--config", config)
    assert found() == before
    result = run("hashcheck_service", "check-config", "--config", config, HASHCHECK_HIT_LOG="/proc/hits")
    assert (result.returncode, "/proc" in result.stderr) == (2, True)


def test_the_environment_stands_above_the_file(site: Site) -> None:
    site.add_key("someone")
    result = run(
        "hashcheck_service",
        "check-config",
        "--config",
        site.root / "service.toml",
        HASHCHECK_TRUSTED_KEYS="nowhere",
    )
    assert (result.returncode, "nowhere could not be read" in result.stderr) == (2, True)
