"""POST /v1/check against a running service: verdicts, and an answer for every kind of bad input."""

from typing import Any

import httpx
import pytest

from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES
from tests.support import Server, Site, pdq, serving

Listed = dict[str, dict[str, str]]


@pytest.fixture
def server(asked_both_ways: Server) -> Server:
    return asked_both_ways


def flipped(value: str, bits: int) -> str:
    """A hash at exactly `bits` bits from `value`: every sixth bit turned."""
    number = int(value, 16)
    for place in range(bits):
        number ^= 1 << (place * 6)
    return f"{number:0{len(value)}x}"


def post(server: Server, **body: Any) -> httpx.Response:
    return server.client.post("/v1/check", json=body)


def test_a_listed_hash_matches_at_the_radius_and_not_one_bit_beyond(server: Server, listed: Listed) -> None:
    value = listed["coffee.png"]["pdq"]
    for bits in (0, 1, 30, 31):
        result = server.check(pdq(flipped(value, bits)))
        assert (result["verdict"], result["action"], result["reasons"]) == ("match", "block", [])
        [match] = result["matches"]
        assert (match["type"], match["category"], match["sources"]) == (
            "pdq",
            "baseline",
            ["example-hotline"],
        )
        assert "distance" not in match
    assert server.check(pdq(flipped(value, 32)))["verdict"] == "no_match"


def test_every_type_matches_in_either_case_and_names_the_same_entry(server: Server, listed: Listed) -> None:
    entries = set()
    for name, value in listed["astronaut.png"].items():
        for text in (value, value.upper()):
            [match] = server.check({"type": name, "value": text})["matches"]
            assert match["type"] == name
            entries.add(match["entry"])
    assert len(entries) == 1


def test_a_category_not_in_force_is_no_match(server: Server, listed: Listed) -> None:
    assert server.check(pdq(listed["chelsea.png"]["pdq"]))["verdict"] == "no_match"


def test_reserved_hashes_match_for_everyone(server: Server) -> None:
    for reserved in TEST_HASHES:
        [match] = server.check({"type": reserved.type.name, "value": reserved.hex()})["matches"]
        assert (match["category"], match["entry"]) == ("test", TEST_ENTRY_ID.hex())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "photodna", "value": "00"}, "unsupported_type"),
        ({"type": "", "value": ""}, "unsupported_type"),
        ({"type": "md5", "value": "abc"}, "malformed_hash"),
        ({"type": "md5", "value": "22e22862a33559570f5d13f6a43482ff\n"}, "malformed_hash"),
        ({"type": "md5", "value": " 22e22862a33559570f5d13f6a43482ff"}, "malformed_hash"),
        ({"type": "md5", "value": "g" * 32}, "malformed_hash"),
        ({"type": "md5", "value": "\u0661" * 32}, "malformed_hash"),
        ({"type": "pdq", "value": "ab" * 32, "quality": 49}, "low_quality"),
        ({"type": "pdq", "value": "00" * 32, "quality": 100}, "degenerate"),
        ({"type": "pdq", "value": "ff" * 32}, "degenerate"),
        ({"type": "phash", "value": "0000000000000001"}, "degenerate"),
    ],
)
def test_a_hash_that_cannot_be_checked_is_unknown_with_its_reason(
    server: Server, given: dict[str, Any], reason: str
) -> None:
    result = server.check(given)
    assert (result["verdict"], result["action"], result["reasons"]) == ("unknown", "review", [reason])


def test_one_bad_hash_makes_an_item_unknown_but_never_hides_a_match(server: Server, listed: Listed) -> None:
    good, bad = {"type": "md5", "value": "ab" * 16}, {"type": "sha1", "value": "short"}
    assert server.check(good)["verdict"] == "no_match"
    assert server.check(good, bad)["verdict"] == "unknown"
    result = server.check(bad, pdq(listed["coffee.png"]["pdq"]))
    assert (result["verdict"], result["reasons"]) == ("match", ["malformed_hash"])


def test_a_thousand_items_come_back_in_order_with_their_refs(server: Server, listed: Listed) -> None:
    items = [
        {
            "ref": f"upload-{i}",
            "hashes": [pdq(listed["coffee.png"]["pdq"] if i % 97 == 0 else f"{i:064x}"[::-1])],
        }
        for i in range(1000)
    ]
    answer = post(server, items=items)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["ref"] for r in results] == [i["ref"] for i in items]
    assert [i for i, r in enumerate(results) if r["verdict"] == "match"] == list(range(0, 1000, 97))


def test_every_answer_says_what_it_was_checked_against(server: Server) -> None:
    for answer in (
        post(server, items=[{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]),
        server.client.get("/v1/snapshot"),
    ):
        body = answer.json()
        assert body["snapshot"]["id"] == answer.headers["Hashcheck-Snapshot"]
        assert body["request_id"] == answer.headers["Hashcheck-Request-Id"]
        assert {"version", "built_at", "expires_at"} <= set(body["snapshot"])


ITEM = {"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"not json", 400, "malformed_json"),
        (b'{"items": [', 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"[" * 100_000, 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        ({"items": []}, 422, "invalid_request"),
        ({"items": [ITEM] * 1001}, 422, "invalid_request"),
        ({"items": [ITEM], "more": 1}, 422, "invalid_request"),
        ({"items": [{**ITEM, "hashes": []}]}, 422, "invalid_request"),
        ({"items": [{**ITEM, "hashes": ITEM["hashes"] * 17}]}, 422, "invalid_request"),  # type: ignore[operator]
        ({"items": [{**ITEM, "ref": 1}]}, 422, "invalid_request"),
        ({"items": [{**ITEM, "ref": "x" * 257}]}, 422, "invalid_request"),
        ({"items": [{"ref": "r", "hashes": [{"type": "md5", "value": 7}]}]}, 422, "invalid_request"),
        (
            {"items": [{"ref": "r", "hashes": [{"type": "pdq", "value": "", "qualty": 1}]}]},
            422,
            "invalid_request",
        ),
        (
            {"items": [{"ref": "r", "hashes": [{"type": "pdq", "value": "", "quality": 101}]}]},
            422,
            "invalid_request",
        ),
        (
            {"items": [{"ref": "r", "hashes": [{"type": "pdq", "value": "", "quality": 2.5}]}]},
            422,
            "invalid_request",
        ),
        (b'{"items":"' + b"x" * 1_100_000 + b'"}', 413, "body_too_large"),
    ],
    ids=str,
)
def test_bad_requests_have_a_problem_each(server: Server, body: Any, status: int, code: str) -> None:
    if isinstance(body, bytes):
        answer = server.client.post("/v1/check", content=body, headers={"Content-Type": "application/json"})
    else:
        answer = server.client.post("/v1/check", json=body)
    assert_problem(answer, status, code)


def test_no_problem_repeats_a_field_it_does_not_know(server: Server) -> None:
    name = "a" * 8 + "` - at `$.holiday-picture"
    for body in ({name: 1, "items": [ITEM]}, {"items": [{**ITEM, name: 1}]}):
        answer = server.client.post("/v1/check", json=body)
        assert_problem(answer, 422, "invalid_request")
        assert "holiday" not in answer.text
        assert "aaaaaaaa" not in answer.text


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["Hashcheck-Request-Id"]
    assert problem["detail"]


def test_another_content_type_is_refused(server: Server) -> None:
    answer = server.client.post("/v1/check", content=b"<x/>", headers={"Content-Type": "application/xml"})
    assert_problem(answer, 415, "unsupported_media_type")


def test_framework_errors_have_the_same_shape(server: Server) -> None:
    assert_problem(server.client.get("/nowhere"), 404, "not_found")
    answer = server.client.get("/v1/check")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert_problem(server.client.post("/v1/check/md4", content="x"), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/v1/check", "/v1/check/media", "/v1/check/md5", "/v1/snapshot", "/metrics"]
)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer", "Basic YWNtZTp3cm9uZw==", "Bearer \xff", "x" * 2000]
)
def test_without_a_valid_key_nothing_is_told(server: Server, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    method = "GET" if path in ("/v1/snapshot", "/metrics") else "POST"
    answer = httpx.request(method, server.url + path, headers=headers, content=b"", trust_env=False)  # type: ignore[arg-type]
    assert_problem(answer, 401, "unauthorized")
    assert "WWW-Authenticate" in answer.headers


def test_a_type_the_list_does_not_hold_is_unknown_unless_another_was_checked(new_site: Site) -> None:
    lines = new_site.feed.read_text().splitlines()
    new_site.feed.write_text("\n".join(line for line in lines if ",sha256," not in line))
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        sha256, md5 = {"type": "sha256", "value": "ab" * 32}, {"type": "md5", "value": "ab" * 16}
        assert server.check(sha256)["reasons"] == ["type_not_listed"]
        assert server.check(sha256)["verdict"] == "unknown"
        assert server.check(sha256, md5)["verdict"] == "no_match"
        text = server.client.post("/v1/check/sha256", content="ab" * 32)
        assert_problem(text, 503, "type_not_listed")


def test_the_policy_sets_radius_categories_actions_and_distance(new_site: Site, listed: Listed) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings(
        'metrics_without_key = true\n[policy]\ncategories = ["baseline", "national"]\nshow_distance = true\n'
        'unknown_action = "allow"\n[policy.radius]\npdq = 40\n[policy.match_actions]\nnational = "review"\n'
    )
    with serving(new_site) as server:
        result = server.check(pdq(flipped(listed["chelsea.png"]["pdq"], 36)))
        assert (result["verdict"], result["action"]) == ("match", "review")
        assert [m["distance"] for m in result["matches"]] == [36]
        assert server.check(pdq(flipped(listed["coffee.png"]["pdq"], 40)))["action"] == "block"
        assert server.check(pdq(flipped(listed["coffee.png"]["pdq"], 41)))["verdict"] == "no_match"
        assert server.check(pdq("00" * 32))["action"] == "allow"
        assert httpx.get(server.url + "/metrics", trust_env=False).status_code == 200


def test_an_item_with_more_matches_than_the_policy_shows_says_so(new_site: Site) -> None:
    rows = [f"{i},md5,{'ab' * 16},,A" for i in range(30)]
    new_site.feed.write_text("\n".join(["id,type,value,quality,category", *rows]))
    new_site.publish(new_site.build())
    with serving(new_site) as server:
        result = server.check({"type": "md5", "value": "ab" * 16})
        assert len({m["entry"] for m in result["matches"]}) == 20
        assert result["more_matches"] is True


def test_the_action_is_that_of_the_severest_match_though_it_is_not_shown(new_site: Site) -> None:
    value, near = "5a" * 32, flipped("5a" * 32, 9)
    rows = [f"a{i},pdq,{value},,A" for i in range(40)] + [f"b,pdq,{near},,B"]
    new_site.feed.write_text("\n".join(["id,type,value,quality,category", *rows]))
    new_site.publish(new_site.build())
    new_site.write_settings(
        '[policy]\ncategories = ["baseline", "national"]\nmax_matches = 2\n'
        '[policy.match_actions]\nbaseline = "allow"\nnational = "block"\n'
    )
    with serving(new_site) as server:
        result = server.check(pdq(value))
        assert [m["category"] for m in result["matches"]] == ["baseline"] * 2
        assert (result["action"], result["more_matches"]) == ("block", True)


def test_over_quota_is_429_with_when_to_come_back(new_site: Site) -> None:
    new_site.publish(new_site.build())
    new_site.write_settings("[limits]\nhashes_per_minute = 10\n")
    other = new_site.add_key("other")
    with serving(new_site) as server:
        item = {"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}] * 9}
        assert_problem(post(server, items=[item, item]), 422, "larger_than_quota")
        answers = [post(server, items=[item]) for _ in range(3)]
        limited = [a for a in answers if a.status_code == 429]
        assert limited
        assert_problem(limited[0], 429, "over_quota")
        assert 1 <= int(limited[0].headers["Retry-After"]) <= 61
        one = [{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]
        assert post(server, items=one).status_code == 200  # the refused did not spend what was left
        headers = {"Authorization": f"Bearer {other}"}
        assert server.client.post("/v1/check", json={"items": [item]}, headers=headers).status_code == 200


@pytest.mark.parametrize("more", [("Authorization", "Bearer nobody"), ("authorization", "Basic eDp5")])
def test_of_two_keys_none_counts(server: Server, more: tuple[str, str]) -> None:
    for path in ("/v1/check", "/v1/check/md5", "/v1/check/media", "/v1/snapshot"):
        method = "GET" if path == "/v1/snapshot" else "POST"
        for keys in ([more], [more, ("Authorization", f"Bearer {server.key}")]):
            client_headers = [("Content-Type", "image/png")] if path.endswith("media") else []
            request = httpx.Request(method, server.url + path, headers=[*client_headers, *keys], content=b"x")
            assert_problem(server.client.send(request), 401, "unauthorized")
