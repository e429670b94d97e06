"""The sources that feeds are fetched from, simulated over a real socket and edited while they run.

Each speaks its wire format as the public clients know it. All hashes are digests of made-up words. What a source does
wrong is put into `faults`: each is asked before an answer is given, and may give another one.
"""

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, quote_plus, urlencode, urlsplit
from xml.sax.saxutils import escape

from tests.specimens.feeds import NCMEC_NS, md5

USER, PASSWORD = "someone", "correct horse/battery+staple"
FUNCTION_KEY, SUBSCRIPTION_KEY = "function-key-0001", "subscription-key-0002"
TOKEN = "123456789|an-app-secret_0003"
SECRETS = (PASSWORD, FUNCTION_KEY, SUBSCRIPTION_KEY, TOKEN)
GROUP = "4711"
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """The newest word on one entry: it is listed under `code`, or deleted."""

    number: int
    at: datetime = START
    code: str = "A"
    deleted: bool = False

    @property
    def seconds(self) -> int:
        return int(self.at.timestamp())


@dataclass
class Answer:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/octet-stream"
    cut: bool = False  # half of the body, and the connection is gone


Fault = Callable[[str], Answer | None]


class Sources(http.server.ThreadingHTTPServer):
    """`entries` is what every source has to tell; `clock` what time it is there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reset()

    def reset(self) -> None:
        """As if it had just been started: with nothing to tell, and nothing wrong."""
        self.entries: dict[int, Entry] = {}
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.tokens: list[str] = []
        self.clock = START + timedelta(days=1)
        self.page_rows = 3
        self.stutters = False  # the rows of its first page come twice
        self.replays = False  # its first page comes, whatever is asked for
        self.lets_future_through = False
        self.claims: Callable[[float], int] | None = (
            None  # how much a range of so many seconds is said to hold
        )
        self.spoil: Callable[[str, bytes], bytes] = lambda path, body: body

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""

    def put(self, *entries: Entry) -> None:
        self.entries.update({entry.number: entry for entry in entries})

    def fail(self, times: int, answer: Answer, where: str = "") -> None:
        """Give `answer` to the next requests for an address with `where` in it."""
        left = [times]

        def fault(path: str) -> Answer | None:
            if where not in path or not left[0]:
                return None
            left[0] -= 1
            return answer

        self.faults.append(fault)

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        self.asked.append(target)
        for fault in self.faults:
            instead = fault(target)
            if instead is not None:
                return instead
        answer = self._honest(method, target, headers, body)
        if "token-auth" not in target:
            answer.body = self.spoil(target, answer.body)
        return answer

    def _honest(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if self.replays:
            for name in ("start", "nextPageToken", "after"):
                query.pop(name, None)
        if parts.path == "/hashsharing/v2/entries":
            return _allowed(headers, basic(), lambda: self._ncmec(query))
        if parts.path == "/v1/FetchHashes":
            if (headers["x-functions-key"], headers["Ocp-Apim-Subscription-Key"]) != (
                FUNCTION_KEY,
                SUBSCRIPTION_KEY,
            ):
                return Answer(b"", 401)
            return self._stopncii(query)
        if parts.path == "/token-auth/tcap/" and method == "POST":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if (form["username"], form["password"]) != (USER, PASSWORD):
                return Answer(b"", 403)
            self.tokens.append(f"json-web-token-{len(self.tokens)}")
            return Answer(json.dumps({"token": self.tokens[-1], "user": {}}).encode())
        if parts.path == "/api/hash-list/v2/all":
            return _allowed(headers, f"Bearer {self.tokens[-1]}", lambda: self._tat(query))
        if parts.path == f"/v9.0/{GROUP}/threat_updates/":
            return _allowed(headers, f"Bearer {TOKEN}", lambda: self._threatexchange(query))
        if parts.path in self.files:
            return Answer(self.files[parts.path])
        return Answer(b"", 404)

    def _ncmec(self, query: dict[str, str]) -> Answer:
        start, end = (datetime.fromisoformat(query[name]) for name in ("from", "to"))
        found = [e for e in self.entries.values() if start <= e.at <= end]
        found.sort(key=lambda e: md5(e.number))  # in no order of time
        found = self._stuttered(found)
        first = int(query.get("start", "1")) - 1
        after = first + self.page_rows
        paging = ""
        if after < len(found):
            total = self.claims((end - start).total_seconds()) if self.claims else len(found)
            way = {**query, "start": after + 1, "size": self.page_rows, "max": total}
            paging = f"<next>/v2/entries?{escape(urlencode(way))}</next>"
        page = "".join(map(_ncmec_entry, found[first:after]))
        return Answer(
            f'<?xml version="1.0" encoding="UTF-8"?><queryResult xmlns="{NCMEC_NS}">'
            f'<images count="1" maxTimestamp="{self.clock:%Y-%m-%dT%H:%M:%SZ}">{page}</images>'
            f"<paging>{paging}</paging></queryResult>".encode()
        )

    def _stuttered(self, found: list[Entry]) -> list[Entry]:
        return [*found[: self.page_rows], *found] if self.stutters else found

    def _since(self, seconds: float) -> list[Entry]:
        last = datetime.max.replace(tzinfo=UTC) if self.lets_future_through else self.clock
        found = [e for e in self.entries.values() if e.seconds >= seconds and e.at <= last]
        return sorted(found, key=lambda e: (e.seconds, e.number))

    def _stopncii(self, query: dict[str, str]) -> Answer:
        found = self._stuttered(self._since(int(query["startTimestamp"])))
        first = int(query.get("nextPageToken", "0"))
        after = first + self.page_rows
        page = found[first:after]
        records = [
            {
                "lastModtimestamp": e.seconds,
                "signalType": "VideoMD5",
                "hashValue": md5(e.number),
                "hashStatus": "Active",
                "caseNumbers": {"1": "Withdrawn" if e.deleted else "Active"},
            }
            for e in page
        ]
        more = after < len(found)
        head = {
            "nextPageToken": str(after) if more else "",
            "nextSetTimestamp": page[-1].seconds if page else int(query["startTimestamp"]),
            "hasMoreRecords": more,
        }
        return Answer(json.dumps({"count": len(records), "hashRecords": records, **head}).encode())

    def _tat(self, query: dict[str, str]) -> Answer:
        at, _, number = query.get("after", "").partition(",")
        found = [e for e in self._since(0) if not at or (e.seconds, e.number) > (float(at), int(number))]
        page = found[: self.page_rows]
        results = [
            {
                "id": e.number,
                "hash_digest": md5(e.number),
                "algorithm": "MD5",
                "ideology": e.code,
                "file_type": "jpg",
                "deleted": e.deleted,
                "updated_on": e.seconds + 0.25,
            }
            for e in page
        ]
        checkpoint = f"{page[-1].seconds}.0,{page[-1].number}" if page else query.get("after", "")
        more = f"{self.url}/elsewhere" if len(found) > len(page) else None
        head = {"count": len(found), "next": more, "previous": None, "checkpoint": checkpoint}
        return Answer(json.dumps({**head, "results": results}).encode())

    def _threatexchange(self, query: dict[str, str]) -> Answer:
        found = self._stuttered(self._since(int(query.get("start_time", "0"))))
        first = int(query.get("after", "0"))
        after = first + self.page_rows
        data = [
            {
                "id": str(e.number),
                "indicator": md5(e.number),
                "type": "HASH_MD5",
                "last_updated": e.seconds,
                "should_delete": e.deleted,
                **({} if e.deleted else {"descriptors": {"data": [_descriptor(e)]}}),
            }
            for e in found[first:after]
        ]
        paging: dict[str, object] = {"cursors": {"after": str(after)}}
        if after < len(found):
            way = urlencode({**query, "access_token": TOKEN, "after": after})
            paging["next"] = f"https://graph.example.org/v9.0/{GROUP}/threat_updates/?{way}"
        return Answer(json.dumps({"data": data, "paging": paging}).encode())


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Sources
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for the client to say that it has the head

    def do_GET(self) -> None:
        self._do("GET", b"")

    def do_POST(self) -> None:
        self._do("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def _do(self, method: str, body: bytes) -> None:
        answer = self.server.answer(method, self.path, self.headers, body)
        self.send_response_only(answer.status)
        self.send_header("Date", format_datetime(self.server.clock, usegmt=True))
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
        self.close_connection = answer.cut

    def log_message(self, *_: object) -> None:
        pass


def _ncmec_entry(e: Entry) -> str:
    head = f'<member id="42">Name</member><timestamp>{e.at:%Y-%m-%dT%H:%M:%SZ}</timestamp><id>image{e.number}</id>'
    if e.deleted:
        return f"<deletedImage>{head}</deletedImage>"
    prints = f"<fingerprints><md5>{md5(e.number)}</md5></fingerprints>"
    return f"<image>{head}<classification>{e.code}</classification>{prints}</image>"


def _descriptor(e: Entry) -> dict[str, object]:
    return {"id": "d", "owner": {"id": "o"}, "status": "MALICIOUS", "tags": [e.code]}


def basic() -> str:
    return f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


def _allowed(headers: Any, expected: str, answer: Callable[[], Answer]) -> Answer:
    return answer() if headers["Authorization"] == expected else Answer(b"", 401)


def forms_of(secret: str) -> list[bytes]:
    """A secret as it is, as an address has it, and the password as Basic has it with the user."""
    basic = [base64.b64encode(f"{USER}:{secret}".encode())] if secret == PASSWORD else []
    return [secret.encode(), quote(secret, safe="").encode(), quote_plus(secret).encode(), *basic]


@contextmanager
def sources() -> Iterator[Sources]:
    server = Sources()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
