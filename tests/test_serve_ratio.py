"""The short serving benchmark, held to a ratio and never to a time: gross losses show, a busy machine does not."""

import json
import subprocess
import sys


def test_a_check_costs_no_multiple_of_the_bare_server_and_the_engine() -> None:
    """The goals are 0.8 for singles and 0.9 for batches, and docs/performance.md says what is reached; on a busy
    machine and a list this small a quarter was seen."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "serve", "--short", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = json.loads(done.stdout)["lists"][0]["rows"]
    assert {(row["form"], row["batch"]) for row in rows} == {
        (form, batch) for form in ("json", "msgpack") for batch in (1, 256)
    }
    assert not any(row["failed"] for row in rows)
    singles = [row["goal_ratio"] for row in rows if row["batch"] == 1]
    assert max(singles) >= 0.15, rows
