"""The text endpoints, as the known clients of the Dutch HashCheckService call them."""

import httpx
import pytest

from benchmarks.sites import codes_of, write_list
from hashcheck_core.reserved import TEST_HASHES
from tests.hashcheck_service.test_check import assert_problem
from tests.support import Server, Site, serving

TYPES = ("md5", "sha1", "sha256")
RESERVED = {h.type.name: h.hex() for h in TEST_HASHES}


@pytest.fixture
def server(asked_both_ways: Server) -> Server:
    return asked_both_ways


def ask(server: Server, path: str, body: str) -> httpx.Response:
    """As curl in PHP does it: Basic, and a form's content type whatever the body is."""
    return server.client.post(
        path,
        content=body,
        auth=("acme", server.key),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )


@pytest.mark.parametrize("name", TYPES)
def test_a_bare_hash_is_answered_true_or_false(
    server: Server, listed: dict[str, dict[str, str]], name: str
) -> None:
    value = listed["coffee.png"][name]
    stranger = value[::-1]
    for body, expected in ((value, "true"), (value.upper(), "true"), (stranger, "false")):
        answer = ask(server, f"/v1/check/{name}", body)
        assert (answer.status_code, answer.text) == (200, expected)
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["Hashcheck-Snapshot"]
    assert ask(server, f"/v1/check/{name}", RESERVED[name]).text == "true"


@pytest.mark.parametrize("name", TYPES)
def test_the_test_twin_knows_the_reserved_hashes_alone(
    server: Server, listed: dict[str, dict[str, str]], name: str
) -> None:
    assert ask(server, f"/v1/test/check/{name}", RESERVED[name]).text == "true"
    assert ask(server, f"/v1/test/check/{name}", listed["coffee.png"][name]).text == "false"


def test_a_list_that_has_no_table_of_a_type_says_so_and_calls_no_hash_malformed(new_site: Site) -> None:
    new_site.point_at(write_list(new_site, codes_of(100), version=1), 1)
    with serving(new_site) as server:
        for path in ("/v1/check/md5", "/v1/test/check/md5"):
            assert_problem(ask(server, path, "ab" * 16), 503, "type_not_listed")


@pytest.mark.parametrize(
    "body", ["", "abc", "g" * 32, "a" * 31, "a" * 33, " " + "a" * 32, "a" * 32 + "\n", "\xff" * 32]
)
def test_what_is_no_hash_is_never_answered_false(server: Server, body: str) -> None:
    assert_problem(ask(server, "/v1/check/md5", body), 400, "malformed_hash")
    assert_problem(ask(server, "/v1/test/check/md5", body), 400, "malformed_hash")
    assert_problem(ask(server, "/v1/check/md5", "a" * 2000), 413, "body_too_large")


def test_the_user_must_be_the_tenant(server: Server) -> None:
    for user, password in (("other", server.key), ("", server.key), ("acme", "wrong"), ("acme", "")):
        answer = httpx.post(
            server.url + "/v1/check/md5", content="a" * 32, auth=(user, password), trust_env=False
        )
        assert_problem(answer, 401, "unauthorized")
    assert server.client.post("/v1/check/md5", content="ab" * 16).text == "false"


def test_basic_is_for_the_text_endpoints_only(server: Server) -> None:
    answer = httpx.get(server.url + "/v1/snapshot", auth=("acme", server.key), trust_env=False)
    assert_problem(answer, 401, "unauthorized")
