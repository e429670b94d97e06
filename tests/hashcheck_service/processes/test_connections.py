"""Idle connections cannot use up a worker: who has a key is answered, and lists and retractions arrive."""

import re
import socket
from contextlib import ExitStack

import pytest

from hashcheck_service.processes.connections import RESERVE, Connections
from tests.hashcheck_service.processes.test_supervisor import BODY, head
from tests.support import Server, Site, done, eventually, pdq, serving

LIMIT = 256


class Transport:
    """Remembers that it was closed, as the event loop would tell its connection a turn later."""

    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def test_the_oldest_that_showed_no_key_make_room_and_nobody_else() -> None:
    connections = Connections(4)
    transports = [Transport() for _ in range(4)]
    for number, transport in enumerate(transports):
        assert connections.has_room(0, number)
        connections.opened(number, transport, float(number))
    connections.showed_key(0)
    assert not connections.has_room(0, 3.5)  # there is room when those that are closed have gone
    assert [one.closed for one in transports] == [False, True, True, False]
    for number in (1, 2):
        connections.lost(number)
    assert connections.has_room(1, 4.0)
    assert not connections.has_room(2, 3.6)
    assert connections.closed == 2
    assert not transports[3].closed  # too young


@pytest.mark.system
def test_idle_connections_beyond_the_limit_stop_neither_answers_nor_retractions(
    new_site: Site, listed: dict[str, dict[str, str]]
) -> None:
    new_site.publish(new_site.build())
    value = pdq(listed["coffee.png"]["pdq"])
    limited = ("prlimit", f"--nofile={LIMIT}:{LIMIT}")
    with serving(new_site, prefix=limited) as server, ExitStack() as stack:
        [match] = server.check(value)["matches"]  # this connection shows a key, and is then the oldest
        kept = stack.enter_context(connected(server))
        kept.sendall(head(server) + BODY)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(2 * LIMIT):
            stack.enter_context(connected(server))
        eventually(lambda: "connections_full" in "\n".join(server.log), "the limit reached", 30)
        for _ in range(20):
            with server.new_client() as client:
                answer = client.post("/v1/check", content=BODY, headers={"Content-Type": "application/json"})
            assert answer.status_code == 200
        done(
            "index_builder", "retract", match["entry"], "--reason", "x", "--store", new_site.snapshots,
            *new_site.signing,
        )  # fmt: skip
        eventually(lambda: server.check(value)["verdict"] == "no_match", "the retraction", 30)
        kept.sendall(head(server) + BODY)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        text = server.client.get("/metrics").text
        [held] = re.findall(r'hashcheck_connections\{process="worker-0"\} (\d+)', text)
        assert 0 < int(held) <= LIMIT - RESERVE
        assert re.search(r"hashcheck_connections_closed_total [1-9]", text)
        assert f"hashcheck_process_max_descriptors {LIMIT}.0" in text
        [opened] = re.findall(r'open_descriptors\{process="worker-0"\} (\d+)', text)
        assert int(held) < int(opened) < LIMIT


def connected(server: Server) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    raw.settimeout(60)
    return raw
