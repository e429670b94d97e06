"""StopNCII's FetchHashes: pages by token from a time on. Wire format as python-threatexchange's client has it.

A page that stays damaged can be gone past: by the newest record that can be read of it, or ten minutes on.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from index_builder.feeds.fetching.client import Ask, Client, PageError
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.fetching.poller import Plan, Poller, Step, decoded, newest

_PAGE_ROWS: Final = 800
_BEGINNING: Final = 10  # what the source's own examples begin with; it takes 0 for "not given"
_TOKEN_GOOD_FOR: Final = timedelta(hours=1)  # the source says only: not for long
STRIDE: Final = 600  # seconds to go on by where nothing of a page can be read


class _Head(msgspec.Struct):
    hasMoreRecords: bool  # noqa: N815
    nextPageToken: str | int | None = None  # noqa: N815
    nextSetTimestamp: int | None = None  # noqa: N815


class _Cursor(msgspec.Struct, frozen=True):
    start: int
    token: str = ""


class StopNciiPoller(Poller):
    def sign_in(self, client: Client, credentials: Credentials) -> dict[str, str]:
        return {
            "x-functions-key": credentials["function_key"],
            "Ocp-Apim-Subscription-Key": credentials["subscription_key"],
        }

    def begin(self, checkpoint: str, now: datetime) -> Plan:
        start = int(checkpoint) if checkpoint else _BEGINNING
        return Plan(_encode(_Cursor(start)), {"from": str(start)})

    def ask(self, cursor: str) -> Ask:
        at = msgspec.json.decode(cursor, type=_Cursor)
        params = {"startTimestamp": str(at.start), "pageSize": str(_PAGE_ROWS)}
        return Ask("/FetchHashes", {**params, "nextPageToken": at.token} if at.token else params)

    def read(self, page: Path, cursor: str, now: datetime) -> Step:
        at = msgspec.json.decode(cursor, type=_Cursor)
        head = decoded(page, _Head)
        checkpoint = ""
        if head.nextSetTimestamp is not None:
            checkpoint = str(max(at.start, min(head.nextSetTimestamp, int(now.timestamp()))))
        if not head.hasMoreRecords:
            return Step(None, checkpoint)
        if not head.nextPageToken:
            raise PageError("it says that there is more, and not where")
        return Step(_encode(_Cursor(at.start, str(head.nextPageToken))), checkpoint)

    def resume(self, cursor: str, checkpoint: str, at: datetime, now: datetime) -> Step | None:
        begun = msgspec.json.decode(cursor, type=_Cursor)
        if not begun.token or now - at < _TOKEN_GOOD_FOR:
            return None
        return Step(_encode(_Cursor(int(checkpoint or begun.start))))

    def past(self, page: Path, cursor: str, checkpoint: str) -> Step:
        at = msgspec.json.decode(cursor, type=_Cursor)
        known = max(at.start, int(checkpoint or 0))
        found = newest(page, self.feed)
        seconds = 0 if found is None else found[0] // 1_000_000
        start = seconds if seconds > known else known + STRIDE
        return Step(_encode(_Cursor(start)), str(start))


def _encode(cursor: _Cursor) -> str:
    return msgspec.json.encode(cursor).decode()
