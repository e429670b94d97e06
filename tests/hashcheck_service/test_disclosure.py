"""What each door tells to whom: docs/disclosure.md is to be true."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hashcheck_service.admission.key_file import CHECKING, KeyScope
from tests.hashcheck_service.test_check import ITEM, assert_problem
from tests.one_piece import OnePiece
from tests.support import Server, Site, eventually

CHECK = {"items": [ITEM]}
Headers = dict[str, str]


@pytest.fixture(scope="module")
def keys(site: Site, server: Server) -> dict[str, Headers]:
    """What a stranger, a tenant and a scraper send."""
    made = {
        "tenant": site.add_key("tenant", CHECKING),
        "scraper": site.add_key("scraper", [KeyScope.METRICS]),
    }
    headers = {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}

    def known(name: str) -> bool:
        return httpx.get(f"{server.url}/v1/snapshot", headers=headers[name], trust_env=False).is_success

    eventually(lambda: all(map(known, headers)), "the keys taken up")
    return {**headers, "stranger": {}, "guesser": {"Authorization": "Bearer hck_" + "x" * 43}}


@pytest.fixture(params=["in one piece", "in parts"])
def doors(server: Server, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    transport = OnePiece() if request.param == "in one piece" else None
    with httpx.Client(base_url=server.url, transport=transport, trust_env=False) as client:
        yield client


def names(value: Any) -> set[str]:
    """Every key of every object in an answer."""
    if isinstance(value, dict):
        return set(value).union(*map(names, value.values()))
    return set().union(*map(names, value)) if isinstance(value, list) else set()


def test_a_load_balancer_learns_that_it_is_ready_and_no_more(
    doors: httpx.Client, keys: dict[str, Headers]
) -> None:
    for who in ("stranger", "guesser", "tenant"):
        answer = doors.get("/readyz", headers=keys[who])
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        assert "Hashcheck-Snapshot" not in answer.headers
    assert {"snapshot", "age_seconds", "refused"} <= set(doors.get("/readyz", headers=keys["scraper"]).json())


def test_a_tenant_learns_what_it_needs_of_the_list_and_the_operator_the_rest(
    doors: httpx.Client, keys: dict[str, Headers]
) -> None:
    told = doors.get("/v1/snapshot", headers=keys["tenant"]).json()
    assert names(told) == {
        *("request_id", "snapshot", "id", "version", "built_at", "expires_at", "overlay"),
        *("age_seconds", "overlay_age_seconds", "types", "type", "bits", "radius"),
    }
    more = doors.get("/v1/snapshot", headers=keys["scraper"]).json()
    assert names(more) - names(told) >= {"listed", "engine", "categories", "entries", "feeds", "delivered_at"}
    assert_problem(doors.get("/metrics", headers=keys["tenant"]), 403, "forbidden")
    assert_problem(doors.get("/v1/admin/snapshots", headers=keys["scraper"]), 403, "forbidden")
    assert_problem(doors.post("/v1/check", json=CHECK, headers=keys["scraper"]), 403, "forbidden")


def test_who_has_no_key_learns_nothing_of_the_list_and_a_guess_looks_like_none(
    doors: httpx.Client, keys: dict[str, Headers]
) -> None:
    for method, path in (
        ("GET", "/livez"), ("GET", "/nowhere"), ("PUT", "/v1/check"), ("GET", "/v1/snapshot"), ("GET", "/metrics"),
        ("POST", "/v1/check"), ("POST", "/v1/check/md5"), ("POST", "/v1/check/media"), ("POST", "/v1/check/stream"),
        ("GET", "/v1/admin/snapshots"), ("GET", "/openapi.yaml"),
    ):  # fmt: skip
        answers = [doors.request(method, path, headers=keys[who]) for who in ("stranger", "guesser")]
        for answer in answers:
            assert set(answer.headers) <= {
                *(
                    "content-type",
                    "content-length",
                    "date",
                    "hashcheck-request-id",
                    "www-authenticate",
                    "allow",
                ),
                *("connection", "transfer-encoding", "cache-control"),
            }, path
        first, second = (re.sub(r'"request_id":"\w+"', "", answer.text) for answer in answers)
        assert first == second
        assert answers[0].status_code == answers[1].status_code


def test_metrics_name_no_tenant_but_in_alarms_of_probing(
    server: Server, doors: httpx.Client, keys: dict[str, Headers]
) -> None:
    assert doors.post("/v1/check", json=CHECK, headers=keys["tenant"]).status_code == 200
    lines = server.client.get("/metrics").text.splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    assert "tenant" not in text
    assert "scraper" not in text
    assert "acme" not in text
