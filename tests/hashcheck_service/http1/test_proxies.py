"""Through real proxies: no body becomes a request, no caller gets another's answer, and refusals are seen."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.proxies.clients import all_right, asked_by_curl, asked_by_java
from tests.proxies.framing import try_all
from tests.proxies.proxies import PROXIES, missing, proxied
from tests.support import Server

pytestmark = pytest.mark.long
LARGE = bytes(13_000_000)


@pytest.fixture(scope="module", params=["direct", *PROXIES])
def port(
    server: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Where callers reach the service, through a proxy or not."""
    assert not missing(), "run scripts/setup-system"
    folder = tmp_path_factory.mktemp("proxy") / "own"
    with proxied(request.param, int(server.url.rpartition(":")[2]), folder) as port:
        yield port


def test_no_attack_on_framing_gets_an_answer_too_many_or_leads_another_caller_astray(
    server: Server, port: int, listed: dict[str, dict[str, str]]
) -> None:
    outcome = try_all(port, server.key, listed["coffee.png"]["md5"])
    assert (outcome.extra, outcome.wrong) == (0, 0), outcome.notes


def test_clients_that_ask_for_an_upgrade_get_their_answers(
    server: Server, port: int, listed: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    for ask in (asked_by_java, asked_by_curl):
        answers = ask(port, server.key, listed["coffee.png"]["md5"], tmp_path)
        assert all_right(answers), answers


def test_a_refusal_is_seen_while_a_large_body_is_sent(server: Server, port: int) -> None:
    valid = {"Authorization": f"Bearer {server.key}"}
    for status, path, kind in (
        (415, "/v1/check/media", "video/mp4"),
        (404, "/v1/media/", "image/png"),
        (413, "/v1/check", "application/json"),
        (405, "/livez", "image/png"),
    ):
        url, headers = f"http://127.0.0.1:{port}{path}", {**valid, "Content-Type": kind}
        answer = httpx.post(url, content=LARGE, headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == status
