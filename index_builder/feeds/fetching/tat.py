"""Tech Against Terrorism's hash list v2: pages after a checkpoint, for who has signed in.

Wire format as python-threatexchange's client has it: `next` only says that there is more; the way on is the
`checkpoint`, the time and id of the last row.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from index_builder.feeds.fetching.client import Ask, Client, DeniedError, PageError
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.fetching.poller import Plan, Poller, Step, decoded, newest


class _Head(msgspec.Struct):
    next: str | None
    checkpoint: str | None = None


class _Token(msgspec.Struct):
    token: str


class TatPoller(Poller):
    tokens_run_out = True

    def sign_in(self, client: Client, credentials: Credentials) -> dict[str, str]:
        form = {"username": credentials["user"], "password": credentials["password"], "resend": "False"}
        try:
            token = msgspec.json.decode(client.post(Ask("/token-auth/tcap/"), form), type=_Token).token
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DeniedError(
                f"The source of feed {self.feed.name!r} gives no token.",
                next_step="Check user and password, and `fetch.url`.",
            ) from None
        credentials.keep_secret(token)
        return {"Authorization": f"Bearer {token}"}

    def begin(self, checkpoint: str, now: datetime) -> Plan:
        return Plan(checkpoint, {"after": checkpoint})

    def ask(self, cursor: str) -> Ask:
        return Ask("/api/hash-list/v2/all", {"order": "asc", "after": cursor})

    def read(self, page: Path, cursor: str, now: datetime) -> Step:
        head = decoded(page, _Head)
        checkpoint = head.checkpoint or ""
        if not head.next:
            return Step(None, checkpoint)
        if not checkpoint:
            raise PageError("it says that there is more, and not where")
        return Step(checkpoint, checkpoint)

    def past(self, page: Path, cursor: str, checkpoint: str) -> Step | None:
        found = newest(page, self.feed)
        if found is None:
            return None
        after = f"{found[0] / 1_000_000:.6f},{found[1]}"
        return Step(after, after)
