"""Meta ThreatExchange's threat_updates of one privacy group: pages by cursor, in order of their last update.

Tombstones are kept for ninety days; after 85 without a poll all of it is fetched again. The token goes in a header,
never into an address; of the address that a page gives for the next, parameters alone are used, and never the token.
https://developers.facebook.com/docs/threat-exchange/reference/apis/threat-updates/
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from index_builder.feeds.fetching.client import Ask, Client, PageError
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.fetching.poller import Plan, Poller, Step, decoded, newest

_LINK_GOOD_FOR: Final = timedelta(hours=1)
_PAGE_ROWS: Final = "500"
_FIELDS: Final = (
    "id,indicator,type,last_updated,should_delete,descriptors{id,owner{id},status,tags,reactions}"
)


class _Paging(msgspec.Struct):
    next: str | None = None


class _Head(msgspec.Struct):
    paging: _Paging | None = None


class ThreatExchangePoller(Poller):
    tombstones_for = timedelta(days=85)

    def sign_in(self, client: Client, credentials: Credentials) -> dict[str, str]:
        return {"Authorization": f"Bearer {credentials['token']}"}

    def begin(self, checkpoint: str, now: datetime) -> Plan:
        return Plan(_start(checkpoint), {"from": checkpoint} if checkpoint else {})

    def ask(self, cursor: str) -> Ask:
        assert self.feed.fetch is not None
        return Ask(
            f"/{self.feed.fetch.privacy_group}/threat_updates/",
            {**msgspec.json.decode(cursor, type=dict[str, str]), "limit": _PAGE_ROWS, "fields": _FIELDS},
        )

    def read(self, page: Path, cursor: str, now: datetime) -> Step:
        head = decoded(page, _Head)
        found = newest(page, self.feed)
        # A time to come in one row would hide all that is updated until then.
        checkpoint = "" if found is None else str(min(found[0] // 1_000_000, int(now.timestamp())))
        link = head.paging.next if head.paging is not None else None
        if not link:
            return Step(None, checkpoint)
        try:
            given = dict(parse_qsl(urlsplit(link).query, max_num_fields=100))
        except ValueError:
            raise PageError("its link to the next page is none") from None
        way = {
            name: value for name, value in given.items() if name not in ("access_token", "limit", "fields")
        }
        return Step(msgspec.json.encode(way).decode(), checkpoint)

    def resume(self, cursor: str, checkpoint: str, at: datetime, now: datetime) -> Step | None:
        if cursor == _start(checkpoint) or now - at < _LINK_GOOD_FOR:
            return None
        return Step(_start(checkpoint))

    def past(self, page: Path, cursor: str, checkpoint: str) -> Step | None:
        found = newest(page, self.feed)
        if found is None or str(found[0] // 1_000_000) == checkpoint:
            return None
        start = str(found[0] // 1_000_000)
        return Step(_start(start), start)


def _start(checkpoint: str) -> str:
    return msgspec.json.encode({"start_time": checkpoint} if checkpoint else {}).decode()
