"""One poll of one source, from its first page to a sealed batch; or as far as it gets, and on from there next time.

A batch is sealed when the source has no more, and then at once. Whatever goes wrong before that leaves the batches
that are sealed as they were, and the pages that came for the next run. A page that is damaged is asked for again, and
if it stays so it is kept aside for a person, who may choose to go past it.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from hashcheck_core.errors import ConfigError, FeedError, TransportError
from hashcheck_core.snapshot.files import transport_error
from index_builder.config.feed import FeedConfig
from index_builder.feeds.batches.folder import BatchFolder, Sealed
from index_builder.feeds.batches.incoming import Begin, Incoming, page_of
from index_builder.feeds.fetching.client import MAX_AHEAD, Ask, HtmlError, PageError
from index_builder.feeds.fetching.poller import Step
from index_builder.feeds.fetching.retry import Patience, TransientError
from index_builder.feeds.fetching.source import Source

_MAX_DAMAGED: Final = 20  # pages kept aside; the oldest make room
_MAX_PASSED: Final = 10  # of one batch; a source with more of them is not what it should be


class Progress(Protocol):
    """Hears how far a fetch is."""

    def fetched(self, name: str, pages: int, rows: int, size: int) -> None: ...

    def step(self, text: str) -> None: ...


class Fetched(msgspec.Struct, frozen=True):
    """What a run brought. `damaged` pages are those that a person chose to go past."""

    feed: str
    batches: list[str]
    full: bool
    pages: int
    rows: int
    size: int
    damaged: int


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a fetch takes from the world besides the network."""

    progress: Progress
    clock: Callable[[], datetime] = _wall_clock
    patience: Callable[[int], Patience] = Patience


class Wishes(NamedTuple):
    """What the person who runs a fetch asks for, once for each feed."""

    full: bool = False
    restart: bool = False
    skip_damaged: bool = False
    keep_superseded: int | None = None


def fetch_feed(feed: FeedConfig, folder: BatchFolder, world: Surroundings, wishes: Wishes) -> Fetched:
    """Poll `feed` once and seal what came.

    Raises ConfigError, FeedError or TransportError; what is there so far stays for the next run.
    """
    with folder.locked(), Source(feed, world.clock) as source:
        poll = _Poll(source, folder, world, wishes.skip_damaged)
        finished = folder.finish()
        if finished is not None:
            world.progress.step(f"{feed.name}: named batch {finished.id}, which an earlier run had sealed")
        if wishes.restart:
            Incoming.discard(folder.incoming)
        resumed = poll.open(full=wishes.full)
        sealed = [poll.run()]
        if resumed:
            poll.open(full=False)  # what has come since the run began that now is at its end
            sealed.append(poll.run())
        if wishes.keep_superseded is not None:
            folder.prune(wishes.keep_superseded)
    return _told(sealed)


def _told(sealed: Sequence[Sealed]) -> Fetched:
    seals = [batch.seal for batch in sealed]
    pages = [page for seal in seals for page in seal.pages]
    return Fetched(
        feed=seals[-1].feed,
        batches=[batch.id for batch in sealed],
        full=any(seal.full for seal in seals),
        pages=len(pages),
        rows=sum(page.rows for page in pages),
        size=sum(page.size for page in pages),
        damaged=sum(bool(page.damaged) for page in pages),
    )


class _Poll:
    def __init__(self, source: Source, folder: BatchFolder, world: Surroundings, skip_damaged: bool) -> None:
        self._source = source
        self._folder = folder
        self._world = world
        self._skip_damaged = skip_damaged
        self._name = source.feed.name
        self._patience = world.patience(source.config.attempts)
        self._incoming: Incoming
        self._asked: set[tuple[str, tuple[tuple[str, str], ...]]]

    def open(self, *, full: bool) -> bool:
        """Go on with what is there, or begin; whether there was something to go on with."""
        now = self._world.clock()
        last = self._folder.last()
        if last is not None and last.seal.fetched_at - now > MAX_AHEAD:
            raise ConfigError(
                f"Batch {last.id} was fetched at {last.seal.fetched_at:%Y-%m-%d %H:%M} UTC, which is still to come.",
                next_step="Set this machine's clock.",
            )
        settings = (self._source.address, self._source.feed.format)
        whole, why = self._all_anew(last, full, now)
        found = Incoming.resume(self._folder.incoming)
        if found is not None and self._is_good(found.begin, settings, whole, now):
            self._incoming = found
            self._asked = {_key(self._source.poller.ask(cursor)) for cursor in _cursors(found)}
            self._tell(f"goes on after {len(found.pages)} pages")
            return True
        checkpoint = "" if whole or last is None else last.seal.checkpoint
        plan = self._source.poller.begin(checkpoint, now)
        begin = Begin(*settings, whole, checkpoint, now, plan.cursor, dict(plan.covers))
        self._incoming = Incoming.start(self._folder.incoming, begin)
        self._asked = set()
        self._tell(f"{'all of it' if whole else 'what is new'}{why}")
        return False

    def _is_good(self, begun: Begin, settings: tuple[str, str], whole: bool, now: datetime) -> bool:
        """Whether a poll that was begun may go on: of the same source, of all where all is wanted, not too old."""
        kept = self._source.poller.tombstones_for
        return (
            (begun.source, begun.feed_format) == settings
            and (begun.full or not whole)
            and (kept is None or now - begun.started_at <= kept)
        )

    def _all_anew(self, last: Sealed | None, full: bool, now: datetime) -> tuple[bool, str]:
        poller = self._source.poller
        if self._source.is_file:
            return True, ""
        if last is None:
            return True, ", for the first time"
        if full:
            return True, ", as asked"
        if last.seal.source != self._source.address:
            return True, ", for it comes from another address now"
        age = now - last.seal.started_at
        if poller.tombstones_for is not None and age > poller.tombstones_for:
            return True, (
                f": the last batch is {age.days} days old, and the source forgets what it deleted after "
                f"{poller.tombstones_for.days}"
            )
        if not last.seal.checkpoint:
            return True, ", for there was nothing so far"
        return False, ""

    def run(self) -> Sealed:
        """Ask until there is no more, and seal."""
        config, poller = self._source.config, self._source.poller
        deadline = self._world.clock() + config.max_time
        fetched = 0
        while (cursor := self._incoming.cursor) is not None:
            now = self._world.clock()
            if fetched >= config.max_pages or now > deadline:
                what = f"{fetched} pages" if fetched >= config.max_pages else "the time that a run may take"
                raise TransportError(
                    f"Feed {self._name!r}: stopped after {what}; the source has more.",
                    next_step="Run fetch again: it goes on from here. `max_pages` and `max_time` are the limits.",
                )
            instead = poller.resume(cursor, self._incoming.checkpoint, self._incoming.at, now)
            if instead is not None and instead.cursor is not None:
                self._tell("its link to the next page is too old: it asks again from where that is sure")
                self._incoming.step(now, instead.cursor, self._incoming.checkpoint, drop=instead.drop)
                self._asked.clear()
                continue
            self._page(cursor)
            fetched += 1
            pages = self._incoming.pages
            self._world.progress.fetched(
                self._name, len(pages), sum(p.rows for p in pages), sum(p.size for p in pages)
            )
        self._refuse_empty()
        sealed = self._folder.seal(self._incoming)
        self._tell(f"sealed batch {sealed.id}: {sealed.seal.rows:,} entries")
        return sealed

    def _page(self, cursor: str) -> None:
        """Get one page and take the step it says."""
        source, incoming = self._source, self._incoming
        ask = source.poller.ask(cursor)
        if _key(ask) in self._asked:
            Incoming.discard(incoming.path)
            raise FeedError(
                f"The source of feed {self._name!r} leads in a circle: page {len(incoming.pages) + 1} leads back to "
                "one that was there.",
                next_step="The next run begins the poll again; if that fails too, tell whoever keeps the source.",
            )
        self._asked.add(_key(ask))
        name, part, damaged = incoming.next_name(), incoming.part, ""

        def attempt() -> tuple[Step, int, int]:
            counts = source.get(ask, part)
            return source.poller.read(part, cursor, incoming.begin.started_at), *counts

        try:
            step, rows, redacted = self._patience.keep(attempt, self._on_wait)
        except PageError as error:
            (step, damaged), rows, redacted = self._past(error, cursor), 0, 0
        except TransientError as error:
            raise TransportError(
                f"{error.problem}, {source.config.attempts} times.",
                next_step="Run fetch again later: it goes on from here.",
            ) from None
        checkpoint = step.checkpoint or incoming.checkpoint
        page = page_of(part, name, rows, redacted=redacted, damaged=damaged) if step.keep else None
        incoming.step(self._world.clock(), step.cursor, checkpoint, page, drop=step.drop)

    def _past(self, error: PageError, cursor: str) -> tuple[Step, str]:
        """The step past a page that stays damaged, where a person chose to go past it."""
        incoming, poller = self._incoming, self._source.poller
        kept = self._keep_aside(incoming.part)
        way = (
            None if isinstance(error, HtmlError) else poller.past(incoming.part, cursor, incoming.checkpoint)
        )
        number = len(incoming.pages) + 1
        if way is None or not self._skip_damaged:
            advice = (
                f"or go past it with: index-builder fetch --skip-damaged {self._name}"
                if way is not None
                else "there is no way past it"
            )
            raise FeedError(
                f"Feed {self._name!r}: page {number} is damaged: {error.problem}; the answer is kept in {kept}.",
                next_step=f"Show it to whoever keeps the source, and run fetch again; {advice}.",
            ) from None
        if not way.keep:
            self._tell(f"page {number} is damaged, {error.problem}: asks for the same in smaller parts")
        elif sum(bool(page.damaged) for page in incoming.pages) >= _MAX_PASSED:
            raise FeedError(
                f"Feed {self._name!r}: page {number} is damaged: {error.problem}; {_MAX_PASSED} before it were too.",
                next_step="That is no accident: show them to whoever keeps the source. Then: fetch --restart",
            )
        else:
            self._tell(f"goes past page {number}, which is damaged: {error.problem}")
        return way, error.problem

    def _keep_aside(self, part: Path) -> Path:
        folder = self._folder.path / "damaged"
        now = self._world.clock()
        to = folder / f"{now:%Y%m%dT%H%M%SZ}-page{len(self._incoming.pages) + 1}"
        try:
            folder.mkdir(exist_ok=True, mode=0o750)
            shutil.copyfile(part, to)
            for old in sorted(folder.iterdir())[:-_MAX_DAMAGED]:
                old.unlink()
        except OSError as error:
            raise transport_error(to, error, "written") from None
        return to

    def _refuse_empty(self) -> None:
        """A full fetch with nothing in it must not take the place of a list."""
        begin, feed = self._incoming.begin, self._source.feed
        had = self._entries_in_force() if begin.full else 0
        if feed.allow_empty or not had or any(page.rows for page in self._incoming.pages):
            return
        Incoming.discard(self._incoming.path)
        raise FeedError(
            f"Feed {self._name!r} is suddenly empty; its batches so far have {had:,} entries, and stay in force.",
            next_step="Ask whoever keeps the source; set allow_empty = true if an empty list is meant.",
        )

    def _entries_in_force(self) -> int:
        try:
            return sum(batch.seal.rows for batch in self._folder.in_force())
        except FeedError:  # they are damaged, and this fetch is to take their place
            return 0

    def _on_wait(self, problem: str, wait: float) -> None:
        self._tell(f"{problem}; trying again in {wait:.0f} s")

    def _tell(self, text: str) -> None:
        self._world.progress.step(f"{self._name}: {text}")


def _cursors(incoming: Incoming) -> list[str]:
    """What has been asked for since the last time that something was given up."""
    found = [incoming.begin.cursor]
    pages = 0
    for line in incoming.lines:
        if line.keep < pages:
            found.clear()
        pages = line.keep + (line.page is not None)
        if line.cursor is not None:
            found.append(line.cursor)
    return found[:-1]  # the last has not been answered


def _key(ask: Ask) -> tuple[str, tuple[tuple[str, str], ...]]:
    return ask.path, tuple(sorted(ask.params.items()))
