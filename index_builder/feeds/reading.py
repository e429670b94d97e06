"""One feed, from its files to records: opens what the config names and says what was read. It vets nothing.

A feed of a delta format may be a folder of saved pages, or have been fetched into sealed batches; its pages go through
a state, so that only the newest word on an entry is left, whatever order they are in. Of sealed pages every byte is
compared with the seal before a record leaves here.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hashcheck_core.errors import FeedError
from hashcheck_core.snapshot.files import open_regular, transport_error
from index_builder.config.feed import DELTA_FORMATS, FeedConfig
from index_builder.feeds.batches.feeds import FetchedFeed, check_pages
from index_builder.feeds.batches.folder import Sealed
from index_builder.feeds.batches.seal import Page
from index_builder.feeds.delta_state import DeltaState
from index_builder.feeds.formats import FORMATS
from index_builder.feeds.formats.record import BadRow, Reason, Record, Tombstone
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.formats.times import microseconds
from index_builder.feeds.rejects import RejectLog

OnBytes = Callable[[int, int], None]
Taken = TypeVar("Taken")


class FeedReading:
    """Iterate over the records of one feed. Afterwards the fields say what was read.

    `batch` is the name of the last sealed batch; without one the SHA-256 of the file, or over the digests of all
    pages. `rows` counts what the feed holds, rejects included. Raises FeedError or TransportError.
    """

    def __init__(
        self, feed: FeedConfig, rejects: RejectLog, work: Path, now: datetime, on_bytes: OnBytes
    ) -> None:
        self._feed = feed
        self._rejects = rejects
        self._work = work
        self._now = now
        self._on_bytes = on_bytes
        self._digests: list[str] = []
        self.size = 0
        self.rows = 0
        self.modified = 0.0
        self.notes: dict[str, int] = {}

    @property
    def batch(self) -> str:
        if isinstance(self._feed, FetchedFeed):
            return self._feed.batch
        if len(self._digests) == 1:
            return self._digests[0]
        return hashlib.sha256("".join(self._digests).encode()).hexdigest()

    @property
    def delivered_at(self) -> datetime:
        """As configured, else when the youngest file was last changed; never after now."""
        moment = self._feed.delivered_at or datetime.fromtimestamp(int(self.modified), UTC)
        return min(moment.astimezone(UTC), self._now)

    def __iter__(self) -> Iterator[Record]:
        feed = self._feed
        if feed.format not in DELTA_FORMATS:
            yield from self._kept(self._read(feed.path))
            return
        if isinstance(feed, FetchedFeed):
            yield from self._from_batches(feed)
            return
        pages = sorted(p for p in feed.path.iterdir() if p.is_file()) if feed.path.is_dir() else [feed.path]
        if not pages:
            raise FeedError(f"Feed {feed.name!r} has no page.", next_step=f"Put its pages into {feed.path}.")
        with DeltaState(self._work / f"{feed.name}.sqlite") as state:
            for number, page in enumerate(pages):
                items = self._read(page)
                state.apply(f"{number} {page.name}", [items], fetched=microseconds(self._now))
            yield from self._from_state(state)

    def _from_state(self, state: DeltaState) -> Iterator[Record]:
        for bad, count in state.rejects():
            self.rows += count
            self._rejects.add(bad, count)
        self.notes = {name: n for name, n in state.notes().items() if not name.startswith("rejected.")}
        yield from self._kept(state.records())

    def _from_batches(self, feed: FetchedFeed) -> Iterator[Record]:
        """Through the state that stays beside the batches; it takes in what is new since it was last used."""
        path = feed.state or self._work / f"{feed.name}.sqlite"
        with DeltaState(path, feed.made_by) as state:
            for batch in feed.bring(state):
                pages = (self._sealed(batch, page) for page in batch.seal.pages)
                state.apply(batch.id, pages, fetched=microseconds(batch.seal.fetched_at))
            self.size = feed.size
            yield from self._from_state(state)

    def _sealed(self, batch: Sealed, page: Page) -> "Iterator[Record | BadRow | Tombstone]":
        check_pages(batch, [page])
        if not page.damaged:
            yield from self._read(batch.page(page))
            return
        # A person went past it: what is lost is counted, and does not hold up every build from now on.
        lost = f"page {page.name} of batch {batch.id} breaks off"
        try:
            for item in self._read(batch.page(page)):
                cut = isinstance(item, BadRow) and item.reason == Reason.TRUNCATED
                yield BadRow(item.line, Reason.MALFORMED_ROW, lost) if cut else item
        except FeedError:
            yield BadRow(1, Reason.MALFORMED_ROW, lost)

    def blocks(self, read: "Callable[[SourceFile, FeedConfig], Iterator[Taken]]") -> "Iterator[Taken]":
        """A feed of one file as `read` takes it, in place of its records; `rows` is then the caller's to count."""
        return self._through(self._feed.path, read)

    def _kept(self, items: "Iterator[Record | BadRow | Tombstone] | Iterator[Record]") -> Iterator[Record]:
        for item in items:
            self.rows += 1
            if isinstance(item, BadRow):
                self._rejects.add(item)
            elif isinstance(item, Record):
                yield item

    def _read(self, path: Path) -> "Iterator[Record | BadRow | Tombstone]":
        return self._through(path, FORMATS[self._feed.format])

    def _through(
        self, path: Path, read: "Callable[[SourceFile, FeedConfig], Iterator[Taken]]"
    ) -> "Iterator[Taken]":
        try:
            with open_regular(path, follow_links=True) as file:
                status = os.fstat(file.fileno())
                before, self.modified = self.size, max(self.modified, status.st_mtime)
                total = before + status.st_size
                source = SourceFile(file, on_bytes=lambda done: self._on_bytes(before + done, total))
                yield from read(source, self._feed)
                source.drain()
        except OSError as error:
            raise transport_error(path, error, "read") from None
        self._digests.append(source.digest)
        self.size += source.size
