"""What a poller is: it knows what to ask one source for, page after page, and where the next poll begins.

It touches no network, no disk but the page it is given, and no clock: what it must remember is its cursor, text that
the journal of a batch keeps. So a stopped fetch goes on where it was, and a test needs nothing but pages.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from hashcheck_core.errors import FeedError
from index_builder.config.feed import FeedConfig
from index_builder.feeds.fetching.client import Ask, Client, HtmlError, PageError
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.formats import FORMATS
from index_builder.feeds.formats.record import BadRow, Reason
from index_builder.feeds.formats.source_file import SourceFile

_SNIFFED: Final = 512
T = TypeVar("T")


class Plan(NamedTuple):
    """A poll before its first page. `covers` says for people and auditors what it asks for."""

    cursor: str
    covers: Mapping[str, str]


class Step(NamedTuple):
    """What one page says about the way on. `cursor` None: the poll is complete.

    `checkpoint` is where the next poll begins if this one ends here, empty for no news. With `keep` false the page is
    no part of the batch. `drop`: so many pages before it are given up.
    """

    cursor: str | None
    checkpoint: str = ""
    keep: bool = True
    drop: int = 0


class Poller:
    """The base of all. A checkpoint is a poller's own text; empty stands for the beginning of everything."""

    # A source keeps its tombstones for so long: who asks later misses some, and must fetch all of it again.
    tombstones_for: timedelta | None = None

    # Whoever signed in may have to again before a poll is at its end.
    tokens_run_out = False

    def __init__(self, feed: FeedConfig) -> None:
        self.feed = feed

    def sign_in(self, client: Client, credentials: Credentials) -> dict[str, str]:
        """The headers that carry the credentials."""
        raise NotImplementedError

    def begin(self, checkpoint: str, now: datetime) -> Plan:
        raise NotImplementedError

    def ask(self, cursor: str) -> Ask:
        raise NotImplementedError

    def read(self, page: Path, cursor: str, now: datetime) -> Step:
        """The way on after `page`, whose entries have been looked at already; raises PageError."""
        raise NotImplementedError

    def resume(self, cursor: str, checkpoint: str, at: datetime, now: datetime) -> Step | None:
        """Where to go on instead, if `cursor`, got at `at` with `checkpoint`, is no longer good."""
        return None

    def past(self, page: Path, cursor: str, checkpoint: str) -> Step | None:
        """The way past a page that stays damaged, as far as what can be read of it shows one.

        With `keep` false the same is asked for in another way first.
        """
        return None


def entries(page: Path, feed: FeedConfig) -> int:
    """How many entries a page has; raises PageError where it is not whole, or something else."""
    try:
        with page.open("rb") as file:
            head = file.read(_SNIFFED).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
            if head.startswith((b"<!doctype html", b"<html")):
                raise HtmlError
            file.seek(0)
            count = 0
            for _, group in groupby(FORMATS[feed.format](SourceFile(file), feed), lambda item: item.line):
                for item in group:
                    if isinstance(item, BadRow) and item.reason == Reason.TRUNCATED:
                        raise PageError(item.detail)
                count += 1
    except FeedError as error:
        raise PageError(error.message) from None
    return count


def newest(page: Path, feed: FeedConfig) -> tuple[int, str] | None:
    """Time (microseconds) and id of the newest entry that can be read, even of a damaged page; None for none."""
    found: tuple[int, str] | None = None
    try:
        with page.open("rb") as file:
            for item in FORMATS[feed.format](SourceFile(file), feed):
                if not isinstance(item, BadRow) and item.updated is not None:
                    found = max(found or (0, ""), (item.updated, item.id))
    except FeedError:
        return found
    return found


def decoded(page: Path, kind: type[T]) -> T:
    """A page of JSON as `kind`; raises PageError."""
    try:
        return msgspec.json.decode(page.read_bytes(), type=kind)
    except msgspec.ValidationError:
        raise PageError("its head, which says whether there is more, is not as it should be") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise PageError("it is no JSON, or breaks off") from None
