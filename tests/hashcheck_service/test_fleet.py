"""A machine under an operator's hands: retractions in seconds, workers told together, going back by signature."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hashcheck_core.snapshot.pointer import OVERLAY_NAME
from tests.hashcheck_service.test_check import assert_problem
from tests.support import Server, Site, done, eventually, pdq, serving

Listed = dict[str, dict[str, str]]
SECONDS = 5.0  # the contract's promise for a retraction


def from_every_worker(server: Server, path: str, method: str = "GET", **more: Any) -> list[Any]:
    """Twenty answers, each on a connection of its own, so that every worker gives some."""

    def one(_: int) -> Any:
        with server.new_client() as client:
            answer = client.request(method, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(20)))


def admin(server: Server, site: Site) -> dict[str, str]:
    key = done("hashcheck_service", "keys", "add", "ops", "--admin", "--file", site.root / "keys.json")
    headers = {"Authorization": f"Bearer {key.strip()}"}
    eventually(
        lambda: {a.status_code for a in _asks(server, headers)} == {200}, "every worker knowing the key"
    )
    return headers


def _asks(server: Server, headers: dict[str, str]) -> list[Any]:
    answers = []
    for _ in range(8):
        with server.new_client() as client:
            answers.append(client.get("/v1/admin/snapshots", headers=headers))
    return answers


def test_a_retraction_is_applied_by_every_worker_within_five_seconds(
    new_site: Site, listed: Listed, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the settings as they are by default: polled each second."""
    new_site.publish(new_site.build())
    settings = new_site.write_settings()
    settings.write_text(settings.read_text().replace("poll_seconds = 0.1\n", ""))
    where = ("--store", new_site.snapshots, *new_site.signing)
    value = listed["coffee.png"]["pdq"]
    body = {"items": [{"ref": "r", "hashes": [pdq(value)]}]}
    with serving(new_site, "--workers", "2") as server:
        [match] = server.check(pdq(value))["matches"]
        done("index_builder", "retract", match["entry"], "--reason", "a coffee cup", *where)
        published = (new_site.snapshots / OVERLAY_NAME).stat().st_mtime
        server.wait_for_log("overlay_in_force", 2)
        seconds = time.time() - published
        with capsys.disabled():
            sys.stdout.write(
                f"\nretraction: in force on every worker {seconds:.2f} s after it was published\n"
            )
        record_property("retraction_seconds", seconds)
        assert seconds < SECONDS
        for answer in from_every_worker(server, "/v1/check", "POST", json=body):
            assert answer["results"][0]["verdict"] == "no_match"
            assert answer["snapshot"]["overlay"] == 1
        done("index_builder", "reinstate", match["entry"], *where)
        server.wait_for_log("overlay_in_force", 4)
        for answer in from_every_worker(server, "/v1/check", "POST", json=body):
            assert answer["results"][0]["verdict"] == "match"
        new = "5a" * 16
        done(
            "index_builder", "add", "md5", "-", "--category", "baseline", "--source", "police", "--reason",
            "tonight", *where, stdin=new,
        )  # fmt: skip
        server.wait_for_log("overlay_in_force", 6)
        [match] = server.check({"type": "md5", "value": new})["matches"]
        assert match["sources"] == ["police"]
        assert server.client.post("/v1/check/md5", content=new).text == "true"
        assert "hashcheck_overlay_sequence 3.0" in server.client.get("/metrics").text


def test_a_signed_roll_back_is_followed_and_an_admin_can_only_stay_or_go_on(new_site: Site) -> None:
    first, second, third = (new_site.build() for _ in range(3))
    new_site.publish(first)
    new_site.publish(second)
    with serving(new_site, "--workers", "2") as server:
        plain = server.client.get("/v1/admin/snapshots")
        assert_problem(plain, 403, "forbidden")
        assert_problem(server.client.post("/v1/admin/snapshots/2/activate"), 403, "forbidden")
        headers = admin(server, new_site)

        def activate(version: object, **body: Any) -> Any:
            return server.client.post(
                f"/v1/admin/snapshots/{version}/activate", headers=headers, json=body or None
            )

        told = server.client.get("/v1/admin/snapshots", headers=headers).json()
        assert (told["newest"]["version"], told["newest"]["sequence"], told["pinned"]) == (2, 2, None)
        assert {worker["version"] for worker in told["workers"]} == {2}
        assert len(told["workers"]) == 2
        for version in (1, 3, 99, "x"):
            assert_problem(activate(version), 409, "not_signed")

        held = activate(2, pin=True).json()
        assert (held["complete"], held["pinned"]["version"]) == (True, 2)
        new_site.publish(third)
        eventually(
            lambda: (
                server.client.get("/v1/admin/snapshots", headers=headers).json()["newest"]["version"] == 3
            ),
            "the third fetched",
        )
        assert {a["snapshot"]["version"] for a in from_every_worker(server, "/v1/snapshot")} == {2}
        assert activate(2, pin=True).json()["complete"]
        gone_on = activate(3).json()
        assert (gone_on["complete"], gone_on["pinned"]) == (True, None)
        assert {worker["version"] for worker in gone_on["workers"]} == {3}
        assert {a["snapshot"]["version"] for a in from_every_worker(server, "/v1/snapshot")} == {3}
        assert_problem(activate(2), 409, "not_signed")

        done("index_builder", "rollback", "1", "--store", new_site.snapshots, *new_site.signing)
        server.wait_for_log(f"snapshot_in_force.*{first.name}|{first.name}.*snapshot_in_force", 2)
        assert {a["snapshot"]["version"] for a in from_every_worker(server, "/v1/snapshot")} == {1}
        local = server.client.get("/v1/admin/snapshots", headers=headers).json()["snapshots"]
        assert [one["version"] for one in local if one["in_force"]] == [1]
        assert_problem(
            server.client.post("/v1/admin/snapshots/1/activate", headers=headers, content=b"{"),
            422,
            "invalid_request",
        )


def test_a_list_past_its_time_is_served_where_that_was_chosen_and_every_answer_says_so(
    new_site: Site, listed: Listed
) -> None:
    new_site.write_config(expires_after="1m")
    new_site.write_settings("serve_stale = true\n")
    with serving(new_site) as server:
        epoch = str(int(time.time()) - 50)
        new_site.publish(new_site.build(SOURCE_DATE_EPOCH=epoch), SOURCE_DATE_EPOCH=epoch)
        server.wait_for_log("snapshot_in_force")
        value = listed["coffee.png"]["pdq"]
        eventually(lambda: server.check(pdq(value))["reasons"] == ["stale_snapshot"], "expiry")
        assert server.check(pdq(value))["verdict"] == "match"
        stranger = server.check(pdq("5a" * 32))
        assert (stranger["verdict"], stranger["reasons"]) == ("unknown", ["stale_snapshot"])
        assert_problem(server.client.post("/v1/check/md5", content="ab" * 16), 503, "stale_snapshot")
        ready = server.client.get("/readyz").json()
        assert ready["status"] == "ready"
    with serving(new_site) as server:  # a restart changes nothing of that
        assert server.check(pdq("5a" * 32))["reasons"] == ["stale_snapshot"]


def test_an_encrypted_store_is_decrypted_on_the_serving_host_only(new_site: Site, listed: Listed) -> None:
    store = new_site.root / "sealed"
    mine = done("index_builder", "identity", new_site.root / "publisher.age").strip()
    host = done("index_builder", "identity", new_site.root / "host.age").strip()
    sealing = (
        *("--recipient", mine, "--recipient", host, "--identity", new_site.root / "publisher.age"),
        *("--store", store, *new_site.signing),
    )
    snapshot = new_site.build()
    done("index_builder", "publish", snapshot, *sealing)
    assert {file.suffix for file in (store / snapshot.name).iterdir()} == {".age"}
    codes = (snapshot / "pdq-codes.bin").read_bytes()
    assert all(codes[:32] not in file.read_bytes() for file in store.rglob("*") if file.is_file())
    settings = new_site.write_settings('identity = "host.age"\n')
    settings.write_text(settings.read_text().replace('"snapshots"', '"sealed"'))
    value = listed["coffee.png"]["pdq"]
    with serving(new_site) as server:
        [match] = server.check(pdq(value))["matches"]
        done("index_builder", "retract", match["entry"], "--reason", "x", *sealing)
        server.wait_for_log("overlay_in_force")
        assert server.check(pdq(value))["verdict"] == "no_match"
        copy = new_site.root / "state" / "snapshots" / snapshot.name / "pdq-codes.bin"
        assert copy.read_bytes() == codes
        assert copy.stat().st_mode & 0o077 == 0o040
        assert (new_site.root / "state").stat().st_mode & 0o077 == 0
    done("hashcheck_service", "check-config", "--config", settings)
