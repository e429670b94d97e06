"""kill -9 at any moment: what was answered as a match is on record, and what is on record is whole."""

import json
import os
import random
import threading
import time

import httpx
import pytest

from hashcheck_service.evidence.verify import verify
from tests.support import Site, pdq, serving

KILLS = int(os.environ.get("HASHCHECK_KILLS", "4"))


@pytest.mark.long
def test_every_hit_that_was_answered_is_on_record_after_kills(
    new_site: Site, listed: dict[str, dict[str, str]]
) -> None:
    new_site.publish(new_site.build())
    key = new_site.add_key()
    answered: list[str] = []
    value = listed["coffee.png"]["pdq"]
    for turn in range(KILLS):
        with serving(new_site, key=key) as server:

            def ask(server: object = server, turn: int = turn) -> None:
                with server.new_client() as client:  # type: ignore[attr-defined]
                    for number in range(10**6):
                        ref = f"{turn}-{threading.get_ident()}-{number}"
                        body = {"items": [{"ref": ref, "hashes": [pdq(value)]}]}
                        try:
                            answer = client.post("/v1/check", json=body)
                        except httpx.TransportError:
                            return
                        if answer.status_code == 200:  # a busy machine may refuse some
                            answered.append(answer.json()["results"][0]["hit_id"])

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(random.uniform(0.05, 1.0))
            for pid in server.workers():
                os.kill(pid, 9)
            server.process.kill()
            for thread in threads:
                thread.join()
    lines = [
        line
        for file in (new_site.root / "hits").glob("hits-*")
        for line in file.read_bytes().splitlines(True)
    ]
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    recorded = {hit["hit_id"] for line in whole if line["kind"] == "hits" for hit in line["hits"]}
    assert answered
    assert set(answered) <= recorded
    files = verify(new_site.root / "hits", new_site.root / "state" / "hits")
    assert not any(file.faults for file in files)
    assert {file.state for file in files} == {"unclosed"}
