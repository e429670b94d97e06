"""The system under test as its users meet it: the programs as processes, the service over a socket."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from examples.feed import write_feed
from hashcheck_core.snapshot.files import write_atomically
from hashcheck_core.snapshot.pointer import POINTER_FORMAT, POINTER_NAME, Pointer, decode_pointer
from hashcheck_core.snapshot.signed import SignedDocument, new_document
from hashcheck_core.snapshot.signing import load_private
from hashcheck_service.admission.key_file import CHECKING, KeyScope, new_key, read_keys, write_keys

START_SECONDS = 60.0
PROGRAM_SECONDS = 900.0  # a benchmark builds ten million rows by the same door


def run(
    program: str, *arguments: str | Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `index_builder` or `hashcheck_service` as a process, with `stdin` on its standard input."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", f"{program}.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=PROGRAM_SECONDS,
        env={**os.environ, "COLUMNS": "200", **environment},
        check=False,
    )


def done(program: str, *arguments: str | Path, stdin: str = "", **environment: str) -> str:
    """Run a program that must succeed; its standard output."""
    result = run(program, *arguments, stdin=stdin, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that its owner alone may read, as a secret must be."""
    path.touch(0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@dataclass
class Site:
    """A folder with keys, a feed, a config and snapshots, and the settings of a service that serves them."""

    root: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def public_key(self) -> Path:
        return self.root / "keys" / "builder.pub"

    @property
    def trusted_keys(self) -> Path:
        return self.root / "keys" / "builder.json"

    @property
    def feed(self) -> Path:
        return self.root / "hotline.csv"

    def write_config(self, *, expires_after: str = "7d", more: str = "") -> Path:
        path = self.root / "feeds.toml"
        path.write_text(
            f'[snapshot]\nexpires_after = "{expires_after}"\nsigning_key = "keys/builder.pem"\n'
            '[[feed]]\nname = "example-hotline"\nformat = "csv"\npath = "hotline.csv"\n'
            f'categories = {{A = "baseline", B = "national"}}\n{more}'
        )
        return path

    def build(self, **environment: str) -> Path:
        """Build the next snapshot; its directory."""
        out = done(
            "index_builder", "build", "--config", self.root / "feeds.toml", "--out", self.snapshots, "--json",
            **environment,
        )  # fmt: skip
        return Path(json.loads(out)["directory"])

    def publish(self, snapshot: Path, **environment: str) -> None:
        done("index_builder", "publish", snapshot, *self.signing, **environment)

    @property
    def signing(self) -> tuple[str | Path, ...]:
        """The options of whoever publishes."""
        return ("--trusted-keys", self.trusted_keys, "--key", self.root / "keys" / "builder.pem")

    def published(self) -> Path:
        """The directory of the snapshot that the store has in force."""
        document = SignedDocument.read((self.snapshots / POINTER_NAME).read_bytes(), "the pointer")
        return self.snapshots / decode_pointer(document.payload).snapshot

    def point_at(self, snapshot: Path, sequence: int, **changes: Any) -> None:
        """Put a well-signed pointer in place that names `snapshot`, whatever state that is in."""
        manifest = snapshot / "manifest.json"
        digest = hashlib.sha256(manifest.read_bytes() if manifest.exists() else b"").hexdigest()
        now = datetime.now(UTC)
        pointer = Pointer(
            POINTER_FORMAT, sequence, int(snapshot.name[:8]), digest, 0, now, now + timedelta(days=7)
        )
        pointer = msgspec.structs.replace(pointer, **changes)
        document = new_document(pointer, [load_private((self.root / "keys" / "builder.pem").read_bytes())])
        write_atomically(self.snapshots / POINTER_NAME, document.encode())

    def write_settings(self, more: str = "") -> Path:
        path = self.root / "service.toml"
        path.write_text(
            'snapshots = "snapshots"\ntrusted_keys = "keys/builder.json"\nstate = "state"\napi_keys = "keys.json"\n'
            f'hit_log = "hits"\nhit_log_slow_seconds = 60\npoll_seconds = 0.1\n{more}'
        )
        return path

    def add_key(
        self, name: str = "acme", scopes: Iterable[KeyScope] = (*CHECKING, KeyScope.METRICS), **more: Any
    ) -> str:
        """What `hashcheck-service keys add` does, without the second and a half that a program takes to start."""
        file = self.root / "keys.json"
        key, stored = new_key(name, datetime.now(UTC), scopes=scopes, **more)
        write_keys(file, [*(read_keys(file) if file.exists() else []), stored])
        return key

    def hits(self, prefix: str = "hits") -> list[dict[str, Any]]:
        """Every hit of the hit log, or with `test-hits` of that of the reserved test hashes, each with what it shares
        with others of its record."""
        files = sorted((self.root / "hits").glob(f"{prefix}-*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [{**line, **hit} for line in lines if line["kind"] == "hits" for hit in line["hits"]]


def make_site(root: Path) -> Site:
    """A site with keys and the example feed; nothing is built yet."""
    site = Site(root)
    done("index_builder", "keygen", root / "keys" / "builder")
    write_feed(site.feed)
    site.write_config()
    site.write_settings()
    return site


class Server:
    """A running `hashcheck-service serve` and a client for it. `log` is what it wrote to standard error."""

    def __init__(self, process: "subprocess.Popen[str]", key: str) -> None:
        self.process = process
        self.key = key
        self.log: list[str] = []
        self._new_line = threading.Condition()
        self._stopped = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        line = self.wait_for_log(r'"url": "http://127\.0\.0\.1:(\d+)", "event": "listening"')
        self.url = f"http://127.0.0.1:{line[1]}"
        self.client = self.new_client()

    def new_client(self, transport: httpx.BaseTransport | None = None) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=30,
            trust_env=False,
            transport=transport,
        )

    def wait_for_log(self, pattern: str, count: int = 1) -> "re.Match[str]":
        """Wait until `count` lines match; the last of them."""
        deadline = time.monotonic() + START_SECONDS
        with self._new_line:
            while True:
                found = [m for line in self.log if (m := re.search(pattern, line))]
                if len(found) >= count:
                    return found[-1]
                going_on = self._reader.is_alive() and time.monotonic() < deadline
                assert going_on, "\n".join(["no such line:", pattern, *self.log])
                self._new_line.wait(0.2)

    def workers(self) -> list[int]:
        """The process ids of the workers that live."""
        started = re.findall(r'"pid": (\d+).*"event": "worker_started"', "\n".join(self.log))
        return [int(pid) for pid in started if Path("/proc", pid).exists()]

    def check(self, *hashes: Mapping[str, Any], ref: str = "r") -> dict[str, Any]:
        """Check one item; its result."""
        answer = self.client.post("/v1/check", json={"items": [{"ref": ref, "hashes": list(hashes)}]})
        assert answer.status_code == 200, answer.text
        [result] = answer.json()["results"]
        assert isinstance(result, dict)
        return result

    def media(self, data: bytes, kind: str = "image/png", **query: str) -> dict[str, Any]:
        answer = self.client.post(
            "/v1/check/media", content=data, headers={"Content-Type": kind}, params=query
        )
        assert answer.status_code == 200, answer.text
        [result] = answer.json()["results"]
        assert isinstance(result, dict)
        return result

    def stop_reading(self) -> None:
        """Read no more of the log, as a log shipper does that has stopped. For the rest of the test."""
        self._stopped = True

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if self._stopped:
                return
            with self._new_line:
                self.log.append(line.rstrip("\n"))
                self._new_line.notify_all()


@contextmanager
def serving(
    site: Site,
    *arguments: str,
    key: str = "",
    cwd: Path | None = None,
    python: str | Path = sys.executable,
    prefix: Sequence[str] = (),
    **environment: str,
) -> Iterator[Server]:
    """The service of a site, stopped at the end. `python` runs it, in the folder `cwd`, by the command `prefix` if
    there is one."""
    key = key or site.add_key()
    process = subprocess.Popen(
        [
            *prefix,
            *(str(python), "-W", "error", "-m", "hashcheck_service.cli", "serve"),
            *("--config", str(site.root / "service.toml"), "--port", "0"),
            *(() if "--ready-fails-seconds" in arguments else ("--ready-fails-seconds", "0")),
            *arguments,
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    try:
        server = Server(process, key)
        workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        server.wait_for_log('"worker_ready"', workers)
        eventually(lambda: listening(server.url), "the socket listening", START_SECONDS)
        with server.client:
            yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def listening(url: str) -> bool:
    """Whether a connection is taken: the programs log their address when it is bound, a moment before."""
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
    except ConnectionRefusedError:
        return False
    return True


def eventually(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.02)


def pdq(value: str, quality: int = 100) -> dict[str, Any]:
    return {"type": "pdq", "value": value, "quality": quality}


def hashes_of(rows: Iterable[tuple[str, ...]], name: str) -> dict[str, str]:
    """The hashes of one photograph of a feed, by type."""
    return {row[1]: row[2] for row in rows if row[0] == name}
