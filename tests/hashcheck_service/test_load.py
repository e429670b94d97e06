"""The service under more than it can take, under callers that do not speak, and at a stop: nobody is left hanging."""

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from hashcheck_service.admission.load import Load
from tests.support import Server, Site, eventually, serving

BODY = json.dumps({"items": [{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]}).encode()
_LENGTH = re.compile(rb"content-length: (\d+)")


@pytest.fixture
def published(new_site: Site) -> Site:
    new_site.publish(new_site.build())
    return new_site


def connect(server: Server) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    raw.settimeout(20)
    return raw


def check(server: Server, path: str = "/v1/check", body: bytes = BODY, more: str = "") -> bytes:
    """The bytes of a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Authorization: Bearer {server.key}\r\n\r\n".encode() + body


def answer_of(raw: socket.socket) -> tuple[int, bytes, bytes]:
    """Status, head and body; status 0 where the connection ended before."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = raw.recv(65536)
        if not more:
            return 0, data, b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    assert length is not None, head
    while len(body) < int(length[1]):
        body += raw.recv(65536)
    return int(head[9:12]), head, body


def test_what_comes_all_at_once_is_answered_or_refused_at_once_each_with_its_own_answer(
    published: Site,
) -> None:
    published.write_settings("[limits]\nturn_seconds = 0.000001\n")
    with serving(published) as server:
        connections = [connect(server) for _ in range(60)]
        for raw in connections:  # so that each has been accepted
            raw.sendall(check(server))
            assert answer_of(raw)[0] == 200
        paths = {"/v1/check": BODY, "/v1/check/md5": b"ab" * 16, "/v1/test/check/sha1": b"ab" * 20}
        os.kill(server.workers()[0], signal.SIGSTOP)  # what comes meanwhile waits for it together
        health = connect(server)
        for number, raw in enumerate(connections):
            path, body = list(paths.items())[number % 3]
            raw.sendall(check(server, path, body))
        health.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        os.kill(server.workers()[0], signal.SIGCONT)
        answers = [answer_of(raw) for raw in connections]
        assert answer_of(health)[0] == 200
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 503}
        ids = set()
        for status, head, body in answers:
            if status == 503:
                problem = json.loads(body)
                assert (problem["code"], problem["status"]) == ("overloaded", 503)
                assert problem["request_id"].encode() in head
                assert b"\r\nretry-after: 1\r\n" in head
                assert b"hashcheck-snapshot" not in head  # it was checked against none
                ids.add(problem["request_id"])
        assert len(ids) == statuses[503]
        health.close()
        for raw in connections:  # each connection can be used again
            raw.sendall(check(server))
            assert answer_of(raw)[0] == 200
            raw.close()
        refused = f"hashcheck_refused_unread_total {statuses[503]}.0"
        eventually(lambda: refused in server.client.get("/metrics").text, "the refusals counted")


@pytest.mark.parametrize(
    "parts",
    [
        (check, 1),
        (check, 40),
        (check, 400),
        (lambda server: check(server, more="Connection: close\r\n"), 0),
        (lambda server: check(server) + check(server), 0),
    ],
    ids=["first byte", "in the head", "in the body", "closing", "two at once"],
)
def test_requests_in_parts_or_of_another_kind_are_answered_under_load_too(
    published: Site, parts: tuple[object, int]
) -> None:
    make, cut = parts
    published.write_settings("[limits]\nturn_seconds = 0.000001\n")
    with serving(published) as server:
        assert callable(make)
        data = make(server)
        cut = min(cut, len(data) - 5)
        others = [connect(server) for _ in range(10)]
        for other in others:
            other.sendall(check(server))
            assert answer_of(other)[0] == 200
        with connect(server) as raw:
            raw.sendall(data[:cut])
            os.kill(server.workers()[0], signal.SIGSTOP)
            for other in others:
                other.sendall(check(server))
            raw.sendall(data[cut:])
            os.kill(server.workers()[0], signal.SIGCONT)
            status, _, body = answer_of(raw)
            assert (status, b"no_match" in body) in ((200, True), (503, False))
        for other in others:
            assert answer_of(other)[0] in (200, 503)
            other.close()


def test_a_round_over_the_connections_ends_though_the_event_loop_has_not_come_to_an_end_of_its_own() -> None:
    async def met() -> list[bool]:
        load = Load(0.0)
        one_turn = [load.admits("t", 10, float(now)) for now in range(21)]
        await asyncio.sleep(0)
        return [*one_turn, load.admits("t", 10, 21.0)]

    one_round = [*[True] * 8, False, False]  # a handful is answered, however long it takes
    assert asyncio.run(met()) == [*one_round, *one_round, True, True]


def test_batches_that_would_wait_too_long_for_a_thread_are_refused(published: Site) -> None:
    """Expected time alone decides: with next to none allowed, no two such batches are in hand together."""
    published.write_settings("[limits]\nwait_seconds = 0.000001\n")
    items = [
        {"ref": "r", "hashes": [{"type": "md5", "value": f"{i:032x}"} for i in range(n * 16, n * 16 + 16)]}
        for n in range(1, 700)
    ]
    with serving(published) as server, ThreadPoolExecutor(8) as pool:
        clients = [server.new_client() for _ in range(8)]
        stop = time.monotonic() + 20
        seen: Counter[int] = Counter()
        while seen[503] == 0 and time.monotonic() < stop:
            asked = [pool.submit(client.post, "/v1/check", json={"items": items}) for client in clients]
            seen.update(one.result().status_code for one in asked)
        assert set(seen) == {200, 503}
        for client in clients:
            client.close()


def test_a_connection_that_sends_no_whole_head_is_closed_and_one_that_pauses_between_requests_is_not(
    published: Site,
) -> None:
    published.write_settings("[limits]\nhead_seconds = 0.5\n")
    with serving(published) as server:
        silent, trickling, speaking = connect(server), connect(server), connect(server)
        speaking.sendall(check(server))
        assert answer_of(speaking)[0] == 200
        trickling.sendall(b"POST /v1/check HT")
        assert answer_of(trickling)[0] == 408
        for raw in (silent, trickling):
            assert raw.recv(1) == b""
            raw.close()
        speaking.sendall(check(server))
        assert answer_of(speaking)[0] == 200
        speaking.close()


@pytest.mark.parametrize("field", [b"X: %s\r\n" % (b"a" * 1000), b"a" * 1000], ids=["many", "endless"])
def test_a_head_that_does_not_end_is_cut_off(published: Site, field: bytes) -> None:
    published.write_settings("[limits]\nmax_head_bytes = 20000\n")
    with serving(published) as server, connect(server) as raw:
        raw.sendall(b"POST /v1/check HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                raw.sendall(field)
            pytest.fail("it took a head of a hundred megabytes")
        assert server.client.get("/livez").status_code == 200
    with serving(published) as server, connect(server) as raw:
        raw.sendall(b"POST /v1/check HTTP/1.1\r\nX: " + b"a" * 15_000)
        raw.sendall(b"\r\n" + check(server).partition(b"\r\n")[2])
        assert answer_of(raw)[0] == 200


def test_who_does_not_read_his_answers_is_cut_off(published: Site) -> None:
    published.write_settings("[limits]\nhead_seconds = 0.5\n")
    with serving(published) as server, connect(server) as raw:
        port = f":{raw.getsockname()[1]:04X}"

        def established() -> bool:
            """Whether the service has its end of the connection still, as the system sees it: its table is read in
            parts and may miss a row while others come and go, but not five times."""
            tables = (Path("/proc/net/tcp").read_text() for _ in range(5))
            rows = (line.split() for table in tables for line in table.splitlines())
            return any(row[2].endswith(port) and row[3] == "01" for row in rows)

        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        eventually(established, "the connection taken")
        raw.setblocking(False)
        full, left = 0, b""
        while full < 3:  # until the service takes no more either
            left = left or check(server)
            try:
                left = left[raw.send(left) :]
                full = 0
            except BlockingIOError:
                full += select.select([], [raw], [], 0.2)[1] == []
            except ConnectionError:
                break
        eventually(lambda: not established(), "the connection let go")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_under_load_drops_no_request(published: Site, workers: str) -> None:
    lost: list[str] = []
    answered: Counter[int] = Counter()
    going, closed = Event(), Counter[bool]()

    with serving(published, "--workers", workers) as server:

        def caller() -> None:
            with connect(server) as raw:
                while True:
                    raw.sendall(check(server))
                    status, head, _ = answer_of(raw)
                    answered[status] += 1
                    if answered.total() > 200:
                        going.set()
                    if status != 200:
                        lost.append(repr((status, head)))
                        return
                    if b"connection: close" in head.lower():
                        closed[True] += 1
                        return

        with ThreadPoolExecutor(8) as pool:
            callers = [pool.submit(caller) for _ in range(8)]
            assert going.wait(30)
            ready = server.new_client()
            assert ready.get("/readyz").status_code == 200
            server.process.terminate()
            for one in callers:
                one.result(30)
            ready.close()
        assert server.process.wait(30) in (0, -signal.SIGTERM)
    assert not lost
    assert closed[True] == 8
    assert set(answered) == {200}
