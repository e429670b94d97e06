"""A log that nobody reads holds up nobody."""

import json
import os
import threading

from hashcheck_service.processes.log_lines import LogLines, line_of


def test_lines_wait_up_to_a_bound_then_are_dropped_counted_and_told() -> None:
    read, write = os.pipe()
    lines = LogLines(write, max_waiting_bytes=100_000)
    line = line_of("info", "x", filler="y" * 900)
    for _ in range(1000):  # a pipe takes 64 KiB, then whoever writes to it waits
        lines.write(line)
    assert 0 < lines.dropped < 1000
    kept = 1000 - lines.dropped
    found: list[bytes] = []

    def reading() -> None:
        with os.fdopen(read, "rb") as file:
            found.extend(file)

    reader = threading.Thread(target=reading)
    reader.start()
    lines.flush(20)
    os.close(write)
    reader.join()
    events = [json.loads(line) for line in found]
    assert [event["event"] for event in events].count("x") == kept
    assert sum(event["lines"] for event in events if event["event"] == "log_lines_dropped") == lines.dropped


def test_a_reader_that_has_ended_and_a_descriptor_that_is_closed_cost_only_lines() -> None:
    read, write = os.pipe()
    os.close(read)
    lines = LogLines(write)
    lines.write(b"x\n")
    lines.flush(20)
    assert lines.dropped == 1
    os.close(write)
    lines.write(b"x\n")
    lines.flush(20)
    assert lines.dropped == 2
