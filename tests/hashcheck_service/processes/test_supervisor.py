"""The processes of a service as an operator meets them: signals, kills, exit codes."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.support import Server, Site, eventually, serving

pytestmark = pytest.mark.system
_open: list[socket.socket] = []
BODY = json.dumps({"items": [{"ref": "r", "hashes": [{"type": "md5", "value": "ab" * 16}]}]}).encode()


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    """What `connect` has opened, closed with the test."""
    yield
    while _open:
        _open.pop().close()


@pytest.fixture(scope="module")
def published(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A published site; each service that serves it has a state directory of its own."""
    root = tmp_path_factory.mktemp("published")
    shutil.copytree(template, root, dirs_exist_ok=True)
    site = Site(root)
    site.publish(site.build())
    return site


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def connect(server: Server) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", port_of(server)))
    raw.settimeout(60)
    _open.append(raw)
    return raw


def head(server: Server, length: int = len(BODY), more: bytes = b"") -> bytes:
    return (
        b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b"
        b"Authorization: Bearer %b\r\n\r\n" % (length, more, server.key.encode())
    )


def held_request(server: Server) -> socket.socket:
    """A connection with a request whose body is still to come, and is waited for."""
    raw = connect(server)
    raw.sendall(head(server, more=b"Expect: 100-continue\r\n"))
    assert raw.recv(65536).startswith(b"HTTP/1.1 100 ")
    return raw


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listens(server: Server) -> bool:
    try:
        connect(server).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_supervisor_holds_nothing_that_reads_a_list_or_a_request(published: Site) -> None:
    with serving(published) as server:
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
        for library in (
            "numpy",
            "numba",
            "llvmlite",
            "faiss",
            "pydantic",
            "uvloop",
            "cryptography",
        ):
            assert library not in mapped
        [worker] = server.workers()
        soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        assert soft == hard


def test_a_stop_is_seen_by_the_balancer_first_and_refuses_nobody_who_was_there(published: Site) -> None:
    with serving(published, "--ready-fails-seconds", "2", "--drain-seconds", "20") as server:
        held = held_request(server)
        server.process.terminate()
        eventually(lambda: server.client.get("/readyz").status_code == 503, "the balancer seeing it")
        assert server.client.get("/readyz").json()["code"] == "draining"
        answer = server.client.post("/v1/check", content=BODY, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.headers.get("Connection")) == (200, None)
        eventually(lambda: not listens(server), "new connections refused")
        held.sendall(BODY)
        assert held.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(20) == 0


def test_connections_that_wait_to_be_taken_are_answered_when_the_listener_closes(published: Site) -> None:
    with serving(published) as server:
        [worker] = server.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = [connect(server) for _ in range(50)]
        for raw in waiting:
            raw.sendall(head(server) + BODY)
        server.process.terminate()
        server.wait_for_log('"stopping"')
        os.kill(worker, signal.SIGCONT)
        for raw in waiting:
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0


def test_a_stop_ends_in_its_time_whatever_is_still_in_hand(published: Site) -> None:
    with serving(published, "--drain-seconds", "4") as server:
        held_request(server)
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 4 + 10  # the rest is for a busy machine


def test_a_second_signal_ends_all_at_once(published: Site) -> None:
    with serving(published, "--drain-seconds", "3600") as server:
        held_request(server)
        [worker] = server.workers()
        server.process.terminate()
        server.wait_for_log('"stopping"')
        server.process.terminate()
        assert server.process.wait(20) == 128 + signal.SIGTERM
        assert not alive(worker)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_when_the_supervisor_is_killed_the_workers_answer_what_they_have_and_end(
    published: Site, workers: str
) -> None:
    with serving(published, "--workers", workers, "--drain-seconds", "60") as server:
        held = held_request(server)
        pids = server.workers()
        server.process.kill()
        server.wait_for_log("supervisor_gone", int(workers))
        eventually(lambda: not listens(server), "the port free")
        held.sendall(BODY)
        assert held.recv(65536).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: not any(map(alive, pids)), "the workers gone")
        with socket.create_server(("127.0.0.1", port_of(server))):
            pass


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_is_killed_is_replaced_and_the_log_and_metrics_say_why(
    published: Site, workers: str
) -> None:
    with serving(published, "--workers", workers) as server:
        assert server.client.post("/v1/check/md5", content="ab" * 16).status_code == 200
        before = server.workers()
        counted = r'hashcheck_request_seconds_count{route="/v1/check/md5",status="200"} '
        eventually(lambda: counted + "1.0" in server.client.get("/metrics").text, "the count reported")
        os.kill(before[0], signal.SIGKILL)
        died = json.loads(server.wait_for_log('.*"worker_died".*')[0])
        assert (died["pid"], died["signal"], died["level"]) == (before[0], "SIGKILL", "error")
        assert "memory" in died["cause"]
        server.wait_for_log('"worker_ready"', int(workers) + 1)
        eventually(lambda: listens(server), "it listening again")
        with server.new_client() as client:
            metrics = client.get("/metrics").text
        assert 'hashcheck_process_deaths_total{cause="SIGKILL",process="worker"} 1.0' in metrics
        assert f'hashcheck_workers{{state="serving"}} {workers}.0' in metrics
        assert counted + "1.0" in metrics  # what the dead one had reported stays counted


def test_hangup_replaces_the_workers_under_load_without_a_failed_request(published: Site) -> None:
    failed: list[str] = []
    answered: Counter[int] = Counter()
    stop = Event()
    with serving(published, "--workers", "2") as server:

        def load() -> None:
            while not stop.is_set():
                with server.new_client() as client:
                    for _ in range(5):
                        try:
                            answer = client.post(
                                "/v1/check", content=BODY, headers={"Content-Type": "application/json"}
                            )
                            answered[answer.status_code] += 1
                        except Exception as error:  # whatever it is, the request was not answered
                            failed.append(repr(error))

        before = set(server.workers())
        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_log('"workers_restarted"')
            eventually(lambda: not before & set(server.workers()), "the old ones gone", 60)
            stop.set()
            for one in loads:
                one.result()
        assert len(server.workers()) == 2
    assert failed == []
    assert set(answered) == {200}


def test_hangup_with_settings_that_cannot_be_read_leaves_the_workers_as_they_are(published: Site) -> None:
    settings = published.root / "service.toml"
    good = settings.read_text()
    with serving(published) as server:
        before = server.workers()
        settings.write_text(good + "no_such_key = 1\n")
        try:
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_log('"workers_restart_failed"')
        finally:
            settings.write_text(good)
        assert any("no_such_key" in line for line in server.log)
        assert server.workers() == before
        assert server.client.get("/readyz").status_code == 200


def test_a_log_pipe_that_stands_still_holds_up_neither_answers_nor_the_stop(published: Site) -> None:
    with serving(published, "--drain-seconds", "10") as server:
        assert server.process.stderr is not None
        server.stop_reading()
        full = os.open(f"/proc/{server.process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        for size in (4096, 1):
            try:
                while True:
                    os.write(full, b"\n" * size)
            except BlockingIOError:
                pass
        os.close(full)
        server.process.send_signal(signal.SIGHUP)  # which has much to say
        old = set(server.workers())
        eventually(lambda: server.client.get("/readyz").status_code == 200, "an answer")
        assert old
        server.process.terminate()
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("closed", ["2", "0 1 2"])
def test_closed_standard_descriptors_do_not_end_up_as_sockets(published: Site, closed: str) -> None:
    """Where 2 is closed, the next socket would be 2, and log lines would be sent to whoever is at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [
        sys.executable,
        "-m",
        "hashcheck_service.cli",
        "serve",
        "--config",
        published.root / "service.toml",
    ]
    close = " ".join(f"{number}>&-" if number != "0" else "0<&-" for number in closed.split())
    line = f'exec "$@" --port {port} --ready-fails-seconds 0 {close}'
    published.add_key("other")
    process = subprocess.Popen(["bash", "-c", line, "bash", *map(str, arguments)])
    try:
        eventually(lambda: _answers(port), "an answer", 60)
        opened = {str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
        assert not any("socket" in target for target in opened)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            return re.match(rb"HTTP/1.1 200 ", raw.recv(4096)) is not None
    except ConnectionRefusedError:
        return False


@pytest.mark.long
def test_a_worker_that_hangs_is_replaced_within_seconds(published: Site) -> None:
    with serving(published) as server:
        [hung] = server.workers()
        os.kill(hung, signal.SIGSTOP)
        died = json.loads(server.wait_for_log('.*"worker_died".*')[0])
        assert died["cause"].startswith("hung: it is stopped by a signal")
        server.wait_for_log('"worker_ready"', 2)
