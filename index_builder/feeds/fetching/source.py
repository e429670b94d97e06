"""One source: a feed's poller, its credentials and its connection. It gets a page and looks at it; no more."""

import mmap
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from hashcheck_core.errors import FeedError
from hashcheck_core.snapshot.files import open_regular, transport_error
from index_builder.config.feed import FeedConfig
from index_builder.config.fetch import DEFAULT_URLS
from index_builder.feeds.fetching.client import Ask, Client, DeniedError
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.fetching.file import FilePoller
from index_builder.feeds.fetching.ncmec import NcmecPoller
from index_builder.feeds.fetching.poller import Poller, entries
from index_builder.feeds.fetching.stopncii import StopNciiPoller
from index_builder.feeds.fetching.tat import TatPoller
from index_builder.feeds.fetching.threatexchange import ThreatExchangePoller

POLLERS: Final[Mapping[str, type[Poller]]] = {
    "ncmec": NcmecPoller,
    "stopncii": StopNciiPoller,
    "tat": TatPoller,
    "threatexchange": ThreatExchangePoller,
}


class Source:
    """Raises ConfigError or TransportError where credentials or certificates cannot be read."""

    def __init__(self, feed: FeedConfig, clock: Callable[[], datetime]) -> None:
        assert feed.fetch is not None
        self.feed = feed
        self.config = feed.fetch
        self.poller = POLLERS.get(feed.format, FilePoller)(feed)
        url = self.config.url or DEFAULT_URLS.get(feed.format, "https://localhost")
        # What stands in seals. Where it changes, the list is another one.
        self.address = str(self.config.path or "/".join(filter(None, (url, self.config.privacy_group))))
        self._credentials = Credentials(feed.name, self.config)
        self._client = Client(feed.name, url, self.config, clock)
        self._headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    @property
    def is_file(self) -> bool:
        """Whether the whole list is one file, which replaces all before it."""
        return isinstance(self.poller, FilePoller)

    def get(self, ask: Ask, to: Path) -> tuple[int, int]:
        """Write one answer to `to`; its entries, and in how many places a credential was taken out of it.

        Raises TransientError, its PageError with the page in `to`, or an error that no second try will mend.
        """
        try:
            self._fetch(ask, to)
        finally:
            redacted = self._redact(to)
        return entries(to, self.feed), redacted

    def _fetch(self, ask: Ask, to: Path) -> None:
        limit = self.config.max_file_bytes if self.is_file else self.config.max_page_bytes
        if self.config.path is not None:
            _copy(self.config.path, to, limit)
            return
        fresh = not self._headers
        if fresh:
            self._headers = self.poller.sign_in(self._client, self._credentials)
        try:
            self._client.get(ask, self._headers, to, limit)
        except DeniedError:
            if fresh or not self.poller.tokens_run_out:
                raise
            self._headers = self.poller.sign_in(self._client, self._credentials)
            self._client.get(ask, self._headers, to, limit)

    def _redact(self, part: Path) -> int:
        """Take credentials out of what came, whether it is good or not."""
        try:
            if not part.exists() or part.stat().st_size == 0:
                return 0
            with part.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if not self._credentials.stand_in(data):
                    return 0
            clean, count = self._credentials.redact(part.read_bytes())
            part.write_bytes(clean)
        except OSError as error:
            raise transport_error(part, error, "read") from None
        return count


def _copy(source: Path, to: Path, limit: int) -> None:
    try:
        with open_regular(source, follow_links=True) as read, to.open("wb") as write:
            if os.fstat(read.fileno()).st_size > limit:
                raise FeedError(
                    f"{source} has more than {limit} bytes.",
                    next_step="Raise `max_file_bytes` if that is right.",
                )
            shutil.copyfileobj(read, write, 1 << 20)
    except OSError as error:
        raise transport_error(source, error, "read") from None
