"""API keys: what each may be used for, from where, until when; and a key file that somebody meddles with."""

import hashlib
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcheck_core.errors import ConfigError
from hashcheck_service.admission.api_keys import ApiKeys, KeyFault, KeyRefusedError
from hashcheck_service.admission.key_file import (
    CHECKING,
    KeyScope,
    StoredKey,
    first_without_key,
    new_key,
    read_keys,
    write_keys,
)
from tests.hashcheck_service.test_check import assert_problem
from tests.hashcheck_service.test_stream import KIND, RESERVED, STRANGER, line, opened, receive, send
from tests.one_piece import OnePiece
from tests.support import Site, done, eventually, run, serving

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
ITEM = {"items": [{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def ask(client: httpx.Client, scope: KeyScope, headers: dict[str, str]) -> httpx.Response:
    """A request that needs `scope`."""
    if scope is KeyScope.CHECK:
        return client.post("/v1/check", json=ITEM, headers=headers)
    if scope is KeyScope.MEDIA:
        return client.post("/v1/check/media", content=b"x", headers={**headers, "Content-Type": "image/png"})
    if scope is KeyScope.STREAM:
        return client.post("/v1/check/stream", content=line(STRANGER), headers={**headers, **KIND})
    return client.get("/metrics" if scope is KeyScope.METRICS else "/v1/admin/snapshots", headers=headers)


def refusal(keys: ApiKeys, header: bytes, needs: KeyScope | None = None, **more: Any) -> str:
    """Why a header is refused; the empty word where it is not."""
    try:
        keys.admit(header, more.pop("client", None), needs, more.pop("clock", lambda: NOW), **more)
    except KeyRefusedError as error:
        return error.fault
    return ""


def test_every_scope_opens_its_own_doors_and_no_other(new_site: Site) -> None:
    new_site.publish(new_site.build())
    keys = {scope: new_site.add_key(scope, [scope]) for scope in KeyScope}
    with serving(new_site) as server, server.new_client(OnePiece()) as whole:
        for scope, key in keys.items():
            allowed = {scope, KeyScope.METRICS} if scope is KeyScope.ADMIN else {scope}
            for needed in KeyScope:
                for client in (server.client, whole):
                    answer = ask(client, needed, bearer(key))
                    if needed in allowed:
                        assert answer.status_code == 200, (scope, needed, answer.text)
                    else:
                        assert_problem(answer, 403, "forbidden")
                        assert f"no {needed} scope" in answer.json()["detail"]
            text = server.client.post("/v1/check/md5", content="ab" * 16, headers=bearer(key))
            assert text.status_code == (200 if scope is KeyScope.CHECK else 403)
            basic = server.client.post("/v1/check/md5", content="ab" * 16, auth=(scope, key))
            assert basic.status_code == (200 if scope is KeyScope.CHECK else 403)
            assert server.client.get("/v1/snapshot", headers=bearer(key)).status_code == 200


def test_a_file_without_scopes_means_what_it_meant(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"hck_old").hexdigest()
    old = {"name": "acme", "id": digest[:8], "sha256": digest, "created_at": "2026-01-01T00:00:00Z"}
    file = tmp_path / "keys.json"
    for admin in (False, True):
        file.write_text(json.dumps({"keys": [{**old, "admin": admin}]}))
        keys = ApiKeys.of(read_keys(file))
        may = {scope for scope in KeyScope if not refusal(keys, b"Bearer hck_old", scope)}
        assert may == {*CHECKING, KeyScope.METRICS, *([KeyScope.ADMIN] if admin else [])}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scopes": ["everything"]}, "everything"),
        ({"networks": ["10.0.0.1/8"]}, "host bits"),
        ({"networks": ["somewhere"]}, "no network"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2026-01-01T00:00:00"}, "not as it was written"),
        ({"not_before": "2030-01-01T00:00:00Z"}, "not_before"),
        ({"sha256": "abcd"}, "not as it was written"),
        ({"sha256": "x" * 64}, "not as it was written"),
    ],
)
def test_a_key_that_is_not_understood_is_refused_with_its_file(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    """A restriction that is passed over would let in who is to stay out."""
    _, stored = new_key("acme", NOW)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [{**msgspec.to_builtins(stored), **change}]}))
    with pytest.raises(ConfigError, match=says):
        read_keys(file)


def test_one_key_twice_is_refused(tmp_path: Path) -> None:
    _, stored = new_key("acme", NOW)
    write_keys(tmp_path / "keys.json", [stored, stored])
    with pytest.raises(ConfigError, match="twice"):
        read_keys(tmp_path / "keys.json")


def test_a_key_ends_at_its_time() -> None:
    key, stored = new_key("acme", NOW, expires_at=NOW + timedelta(days=1))
    keys, header = ApiKeys.of([stored]), f"Bearer {key}".encode()
    assert refusal(keys, header, KeyScope.CHECK, clock=lambda: NOW + timedelta(hours=23)) == ""
    assert refusal(keys, header, KeyScope.CHECK, clock=lambda: NOW + timedelta(days=1)) == KeyFault.EXPIRED


# An IPv6 address that stands for one of IPv4 is taken as that one.
addresses = st.one_of(
    st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda a: getattr(a, "ipv4_mapped", None) is None)
)


@given(addresses, addresses, st.integers(0, 128))
def test_a_network_admits_the_addresses_in_it_and_no_other(address: Any, other: Any, bits: int) -> None:
    network = ip_network((address, min(bits, address.max_prefixlen)), strict=False)
    key, stored = new_key("acme", NOW, networks=[str(network)])
    keys, header = ApiKeys.of([stored]), f"Bearer {key}".encode()
    for peer in (address, other):
        inside = peer in network
        assert refusal(keys, header, client=(str(peer), 1)) == ("" if inside else KeyFault.WRONG_NETWORK)
        if peer.version == 4:  # as a socket for both versions names it
            mapped = refusal(keys, header, client=(f"::ffff:{peer}", 1))
            assert mapped == ("" if inside else KeyFault.WRONG_NETWORK)
    assert refusal(keys, header, client=None) == KeyFault.WRONG_NETWORK


@given(st.binary(max_size=80))
def test_no_header_but_that_of_a_key_gets_in(header: bytes) -> None:
    key, stored = new_key("acme", NOW)
    keys = ApiKeys.of([stored])
    for given_ in (header, b"Bearer " + header, key.encode() + header, b"Bearer " + key.encode()[:-1]):
        for basic in (False, True):
            assert refusal(keys, given_, basic=basic) == KeyFault.UNKNOWN
    for good in (f"Bearer {key}", f"bearer  {key}", f"BEARER {key} "):
        assert refusal(keys, good.encode()) == ""


def test_wrong_keys_get_stable_codes_and_the_log_names_known_ones_once(new_site: Site) -> None:
    new_site.publish(new_site.build())
    past = datetime.now(UTC) - timedelta(minutes=1)
    expired = new_site.add_key("gone", expires_at=past)
    elsewhere = new_site.add_key("away", networks=["192.0.2.0/24"])
    here = new_site.add_key("home", networks=["127.0.0.0/8", "::1/128"])
    with serving(new_site) as server, server.new_client(OnePiece()) as whole:
        for client in (server.client, whole):
            assert ask(client, KeyScope.CHECK, bearer(here)).status_code == 200
            for key, status, code in (
                ("hck_" + "x" * 43, 401, "unauthorized"),
                (expired, 401, "key_expired"),
                (elsewhere, 403, "network_not_allowed"),
            ):
                for scope in (KeyScope.CHECK, KeyScope.MEDIA, KeyScope.STREAM, KeyScope.METRICS):
                    answer = ask(client, scope, bearer(key))
                    assert_problem(answer, status, code)
                    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
                    assert "Hashcheck-Snapshot" not in answer.headers
        # No header is believed.
        headers = {**bearer(elsewhere), "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        assert_problem(ask(server.client, KeyScope.CHECK, headers), 403, "network_not_allowed")
        metrics = server.client.get("/metrics").text
        assert 'hashcheck_keys_refused_total{code="unauthorized"} 8.0' in metrics
        assert 'hashcheck_keys_refused_total{code="key_expired"} 8.0' in metrics
        assert 'hashcheck_keys_refused_total{code="network_not_allowed"} 9.0' in metrics
        told = [json.loads(entry) for entry in server.log if '"key_refused"' in entry]
        assert sorted((entry["code"], entry["tenant"]) for entry in told) == [
            ("key_expired", "gone"),
            ("network_not_allowed", "away"),
        ]
        ids = {
            key["name"]: key["id"] for key in json.loads((new_site.root / "keys.json").read_text())["keys"]
        }
        assert {entry["key"] for entry in told} == {ids["gone"], ids["away"]}


def test_a_key_ends_on_a_connection_that_stays_open_too(new_site: Site) -> None:
    """What was found for its head is remembered, but not its time."""
    new_site.publish(new_site.build())
    with serving(new_site) as server, server.new_client(OnePiece()) as whole:
        brief = new_site.add_key("brief", expires_at=datetime.now(UTC) + timedelta(seconds=3))
        server.wait_for_log("keys_reloaded")
        eventually(
            lambda: ask(whole, KeyScope.CHECK, bearer(brief)).json().get("code") == "key_expired", "its end"
        )


def test_a_key_that_is_taken_away_ends_a_stream_under_way(new_site: Site) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server, opened(server) as raw:
        send(raw, line(RESERVED) + b"\n")
        assert b'"match"' in receive(raw, b'"line":1,')
        write_keys(new_site.root / "keys.json", [])
        server.wait_for_log("keys_reloaded")
        send(raw, line(STRANGER) + b"\n")
        last = receive(raw, b"0\r\n\r\n")
        assert b'"unauthorized"' in last
        assert b"no_match" not in last


def test_ids_that_came_went_and_changed_are_logged(new_site: Site) -> None:
    new_site.publish(new_site.build())
    file = new_site.root / "keys.json"
    with serving(new_site) as server:
        [first] = read_keys(file)
        new_site.add_key("second")
        server.wait_for_log("keys_reloaded")
        second = read_keys(file)[1]
        narrower = msgspec.structs.replace(second, networks=("192.0.2.0/24",))
        write_keys(file, [narrower])
        server.wait_for_log("keys_reloaded", 2)
        told = [json.loads(entry) for entry in server.log if '"keys_reloaded"' in entry]
        assert [(entry["added"], entry["removed"], entry["changed"]) for entry in told] == [
            ([second.id], [], []),
            ([], [first.id], [second.id]),
        ]


def _make_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


MEDDLING: dict[str, Callable[[Path], object]] = {
    "deleted": lambda file: file.unlink(),
    "emptied": lambda file: file.write_bytes(b""),
    "writable by its group": lambda file: file.chmod(0o660),
    "writable by others": lambda file: file.chmod(0o602),
    "spoilt": lambda file: file.write_text("not keys"),
    "a directory": _make_directory,
}


@pytest.mark.parametrize("meddling", MEDDLING)
def test_a_key_file_that_is_meddled_with_is_not_served_from_for_long(new_site: Site, meddling: str) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings("keys_grace_seconds = 0.5\n")
    file = new_site.root / "keys.json"
    with serving(new_site) as server:
        server.wait_for_log("snapshot_in_force")
        good = file.read_bytes()
        MEDDLING[meddling](file)
        server.wait_for_log('"keys_refused"')
        server.wait_for_log('"keys_dropped"')
        for scope in (KeyScope.CHECK, KeyScope.MEDIA, KeyScope.STREAM, KeyScope.METRICS):
            assert_problem(ask(server.client, scope, bearer(server.key)), 503, "keys_unavailable")
        assert_problem(httpx.post(server.url + "/v1/check", trust_env=False), 401, "unauthorized")
        assert_problem(server.client.get("/readyz"), 503, "keys_unavailable")
        assert server.client.get("/livez").status_code == 200
        if file.is_dir():
            file.rmdir()
        file.write_bytes(good)
        file.chmod(0o600)
        server.wait_for_log('"keys_reloaded"')
        assert ask(server.client, KeyScope.CHECK, bearer(server.key)).status_code == 200
        assert server.client.get("/readyz").status_code == 200
        assert len([entry for entry in server.log if '"keys_refused"' in entry]) == 1


def test_the_metric_of_keys_that_end_is_a_time_with_several_workers_too(new_site: Site) -> None:
    new_site.publish(new_site.build())
    ends = datetime(2031, 1, 1, tzinfo=UTC)
    new_site.add_key("brief", expires_at=ends)
    with serving(new_site, "--workers", "2") as server:

        def told() -> bool:
            text = server.client.get("/metrics").text
            [value] = re.findall(r"^hashcheck_keys_expire_timestamp_seconds (.*)$", text, re.M)
            return float(value) == ends.timestamp()

        eventually(told, "the end of the key")


def test_for_a_while_the_keys_read_before_stay_and_an_alarm_is_up(new_site: Site) -> None:
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        (new_site.root / "keys.json").chmod(0o666)
        told = json.loads(server.wait_for_log('.*"keys_refused".*')[0])
        assert "chmod go-w" in told["message"]
        assert told["kept_seconds"] == 900
        assert ask(server.client, KeyScope.CHECK, bearer(server.key)).status_code == 200
        ready = server.client.get("/readyz").json()
        assert (ready["status"], ready["keys_refused"]) == ("ready", "bad_config")

        def alarm() -> bool:
            text = server.client.get("/metrics").text
            return "hashcheck_key_file_refused_seconds 0.0" not in text

        eventually(alarm, "the alarm")
        (new_site.root / "keys.json").chmod(0o600)
        eventually(lambda: not alarm(), "the alarm over")
        assert server.client.get("/readyz").json()["keys_refused"] is None


@pytest.mark.parametrize("meddling", [kind for kind in MEDDLING if kind != "deleted"])
def test_no_start_with_a_key_file_that_cannot_be_trusted(new_site: Site, meddling: str) -> None:
    new_site.add_key()
    MEDDLING[meddling](new_site.root / "keys.json")
    result = run("hashcheck_service", "serve", "--config", new_site.root / "service.toml")
    assert (result.returncode, "keys.json" in result.stderr) == (2, True)
    assert ("chmod go-w" in result.stderr) == meddling.startswith("writable")


def keys(site: Site, *arguments: str) -> str:
    return done("hashcheck_service", "keys", *arguments, "--file", site.root / "keys.json")


def test_the_program_makes_lists_rotates_and_removes_keys(new_site: Site) -> None:
    plain = keys(new_site, "add", "acme").strip()
    narrow = keys(
        new_site, "add", "acme", "--scope", "check", "--scope", "metrics", "--expires", "90d",
        "--network", "10.0.0.0/8", "--network", "2001:db8::/32",
    ).strip()  # fmt: skip
    listed = json.loads(keys(new_site, "list", "--json"))["keys"]
    assert [key["scopes"] for key in listed] == [["check", "media", "stream"], ["check", "metrics"]]
    assert listed[1]["networks"] == ["10.0.0.0/8", "2001:db8::/32"]
    lifetime = datetime.fromisoformat(listed[1]["expires_at"]) - datetime.fromisoformat(
        listed[1]["created_at"]
    )
    assert (listed[0]["expires_at"], lifetime) == (None, timedelta(days=90))

    successor = keys(new_site, "rotate", listed[1]["id"], "--overlap", "2d").strip()
    assert len({plain, narrow, successor}) == 3
    old, new = json.loads(keys(new_site, "list", "--json"))["keys"][1:]
    assert {name: new[name] for name in ("tenant", "scopes", "networks")} == {
        name: old[name] for name in ("tenant", "scopes", "networks")
    }
    made = datetime.fromisoformat(new["created_at"])
    assert datetime.fromisoformat(old["expires_at"]) == made + timedelta(days=2)
    assert datetime.fromisoformat(new["expires_at"]) == made + timedelta(days=90)

    keys(new_site, "remove", listed[0]["id"])
    assert [key["id"] for key in json.loads(keys(new_site, "list", "--json"))["keys"]] == [
        old["id"],
        new["id"],
    ]
    text = keys(new_site, "list")
    assert "10.0.0.0/8" in text
    file = new_site.root / "keys.json"
    ended = msgspec.structs.replace(read_keys(file)[0], expires_at=datetime.now(UTC) - timedelta(days=1))
    write_keys(file, [ended])
    assert "(expired)" in keys(new_site, "list")
    assert json.loads(keys(new_site, "list", "--json"))["keys"][0]["expired"] is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "acme", "--network", "10.0.0.1/8"), "host bits"),
        (("add", "acme", "--network", "nowhere"), "no network"),
        (("add", "acme", "--scope", "all"), "stream"),
        (("add", "acme", "--expires", "soon"), "30m, 12h, 7d"),
        (("add", "a b"), "no tenant name"),
        (("rotate", "00000000"), "no key"),
        (("remove", "00000000"), "no key"),
    ],
)
def test_a_mistake_with_keys_is_told_and_changes_nothing(
    new_site: Site, arguments: tuple[str, ...], says: str
) -> None:
    new_site.add_key()
    before = (new_site.root / "keys.json").read_bytes()
    result = run("hashcheck_service", "keys", *arguments, "--file", new_site.root / "keys.json")
    assert (result.returncode, says in " ".join(result.stderr.split())) == (2, True), result.stderr
    assert (new_site.root / "keys.json").read_bytes() == before


def test_of_many_who_add_keys_at_once_none_is_lost(new_site: Site) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda n: keys(new_site, "add", f"tenant-{n}"), range(8)))
    assert len(made) == 8
    assert {key.name for key in read_keys(new_site.root / "keys.json")} == {f"tenant-{n}" for n in range(8)}


def stored(name: str, days: int | None) -> StoredKey:
    return new_key(name, NOW, expires_at=None if days is None else NOW + timedelta(days=days))[1]


@pytest.mark.parametrize(
    ("ends", "days"),
    [
        ([], None),
        ([("a", None)], None),
        ([("a", 3)], 3),
        ([("a", 3), ("a", 90)], 90),  # rotated: the successor counts
        ([("a", 3), ("a", None)], None),
        ([("a", 30), ("b", 7), ("c", None)], 7),
        ([("a", -1), ("b", 7)], 7),  # one that has ended already tells nothing new
    ],
)
def test_the_metric_tells_when_the_first_tenant_is_left_without_a_key(
    ends: list[tuple[str, int | None]], days: int | None
) -> None:
    found = first_without_key([stored(*end) for end in ends], NOW)
    assert found == (None if days is None else NOW + timedelta(days=days))
