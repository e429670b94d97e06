"""A tenant that feels its way along the edge of a listed hash, against a running service."""

import json
import random
import re
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from hashcheck_core.reserved import TEST_HASHES
from tests.support import Server, Site, pdq, serving

BITS = 256
Listed = dict[str, dict[str, str]]


@pytest.fixture
def coffee(listed: Listed) -> dict[str, str]:
    return listed["coffee.png"]


@pytest.fixture
def published(new_site: Site) -> Site:
    new_site.publish(new_site.build())
    return new_site


def flipped(value: str, *bits: int) -> str:
    number = int(value, 16)
    for bit in bits:
        number ^= 1 << bit
    return f"{number:064x}"


def questions(value: str) -> list[str]:
    """A hash 31 bits from `value`, and its neighbours by one bit."""
    rng = random.Random(1)
    inside = flipped(value, *rng.sample(range(BITS), 31))
    return [inside, *(flipped(inside, bit) for bit in rng.sample(range(BITS), BITS))]


def alarms(server: Server, tenant: str = "acme") -> int:
    text = server.client.get("/metrics").text
    found = re.search(rf'^hashcheck_probing_suspected_total{{tenant="{tenant}"}} ([\d.]+)$', text, re.M)
    return int(float(found[1])) if found else 0


def ask(client: httpx.Client, *values: str) -> list[str]:
    items = [{"ref": "r", "hashes": [pdq(value)]} for value in values]
    return [result["verdict"] for result in client.post("/v1/check", json={"items": items}).json()["results"]]


def test_it_is_told_once_with_tenant_and_entry_whichever_way_is_asked(
    published: Site, coffee: dict[str, str]
) -> None:
    probes = questions(coffee["pdq"])
    with serving(published) as server:
        entry = server.check({"type": "md5", "value": coffee["md5"]})["matches"][0]["entry"]
        ways = [
            lambda value: server.client.post(
                "/v1/check", json={"items": [{"ref": "", "hashes": [pdq(value)]}]}
            ),
            lambda value: server.client.post(
                "/v1/check",
                content=msgspec.msgpack.encode(
                    {"items": [{"ref": "", "hashes": [{"type": "pdq", "value": bytes.fromhex(value)}]}]}
                ),
                headers={"Content-Type": "application/msgpack"},
            ),
            lambda value: server.client.post(
                "/v1/check/stream",
                content=json.dumps({"ref": "", "hashes": [pdq(value)]}) + "\n",
                headers={"Content-Type": "application/x-ndjson"},
            ),
        ]
        for number, probe in enumerate(probes):
            assert ways[number % 3](probe).status_code == 200
            if alarms(server):
                break
        assert number < 30
        assert set(ask(server.client, *probes)) == {"match", "no_match"}  # it is an alarm, no more
        assert alarms(server) == 1
        [line] = [json.loads(line) for line in server.log if '"probing_suspected"' in line]
    assert (line["tenant"], line["entry"], line["hash_type"], line["enforced"]) == (
        "acme",
        entry,
        "pdq",
        False,
    )
    assert not any(probe in line for line in server.log for probe in probes)


def test_questions_over_two_workers_are_counted_together_and_over_a_restart(
    published: Site, coffee: dict[str, str]
) -> None:
    probes = iter(questions(coffee["pdq"]))
    asked = 0
    key = published.add_key()
    for _ in range(4):  # each start asks too little to be noticed for itself
        with serving(published, "--workers", "2", key=key) as server:
            for _ in range(7):
                with server.new_client() as client:  # a connection of its own: any worker may take it
                    ask(client, next(probes))
                asked += 1
            if alarms(server):
                break
    assert 7 < asked < 30
    assert sum('"probing_suspected"' in line for line in server.log) == 1


def test_enforced_it_ends_the_answers_near_what_was_asked(published: Site, coffee: dict[str, str]) -> None:
    published.write_settings('[policy]\nprobing = "enforce"\n')
    other = published.add_key("other")
    probes = questions(coffee["pdq"])
    with serving(published) as server:
        assert server.check(pdq(coffee["pdq"]))["verdict"] == "match"
        answers = ask(server.client, *probes)
        assert alarms(server) == 1
        assert "no_match" not in answers
        assert 1 < answers.count("match") < 30
        assert ask(server.client, *probes) == answers
        result = server.check(pdq(probes[-1]))
        assert (result["verdict"], result["action"]) == ("unknown", "review")
        assert (result["reasons"], result["matches"]) == (["probing_suspected"], [])
        # Exact matches, what matched before, other entries and other tenants are answered as ever.
        result = server.check({"type": "md5", "value": coffee["md5"]}, pdq(probes[-1]))
        assert (result["verdict"], result["action"]) == ("match", "block")
        assert (result["reasons"], [match["type"] for match in result["matches"]]) == (
            ["probing_suspected"],
            ["md5"],
        )
        assert server.check(pdq(coffee["pdq"]))["verdict"] == "match"
        assert server.check(pdq("3c" * 32))["verdict"] == "no_match"
        server.client.headers["Authorization"] = f"Bearer {other}"
        inside = flipped(coffee["pdq"], 1, 2, 3)
        assert ask(server.client, inside) == ["match"]
        assert 'hashcheck_hashes_total{type="any",verdict="unknown"}' in server.client.get("/metrics").text


def test_who_tries_the_radius_on_a_test_hash_raises_no_alarm(server: Server) -> None:
    [reserved] = [reserved.hex() for reserved in TEST_HASHES if reserved.type.name == "pdq"]
    ask(server.client, *questions(reserved))
    assert alarms(server) == 0


@pytest.fixture
def entries_only(published: Site) -> Iterator[Server]:
    published.write_settings('[policy]\nnear_matches = "entry"\n')
    with serving(published) as server:
        yield server


def test_of_near_matches_the_entry_alone_may_be_shown(
    entries_only: Server, published: Site, coffee: dict[str, str], listed: Listed
) -> None:
    near = [{"type": name, "value": coffee[name]} for name in ("pdq", "phash")]
    [match] = entries_only.check(*near)["matches"]
    assert set(match) == {"match_id", "entry", "category", "sources"}
    [exact] = entries_only.check({"type": "sha1", "value": coffee["sha1"]}, *near)["matches"]
    assert (exact["type"], exact["entry"]) == ("sha1", match["entry"])
    both = entries_only.check(*near, {"type": "md5", "value": listed["astronaut.png"]["md5"]})["matches"]
    assert [one.get("type") for one in both] == ["md5", None]
    # The hit log has all of it.
    found = {one["type"] for hit in published.hits() for one in hit["matches"]}
    assert found == {"pdq", "phash", "sha1", "md5"}
    assert match["match_id"] in {name for hit in published.hits() for name in hit["match_ids"]}
