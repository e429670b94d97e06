"""One file that is the whole list: by HTTPS, or taken in from a path. Each time it replaces all before it."""

from datetime import datetime
from pathlib import Path

from index_builder.feeds.fetching.client import Ask, Client
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.fetching.poller import Plan, Poller, Step


class FilePoller(Poller):
    def sign_in(self, client: Client, credentials: Credentials) -> dict[str, str]:
        if "token" in credentials:
            return {"Authorization": f"Bearer {credentials['token']}"}
        return {"Authorization": f"Basic {credentials.basic}"} if "password" in credentials else {}

    def begin(self, checkpoint: str, now: datetime) -> Plan:
        return Plan("all", {})

    def ask(self, cursor: str) -> Ask:
        return Ask("")

    def read(self, page: Path, cursor: str, now: datetime) -> Step:
        return Step(None)
