"""What a delta feed says after all its batches: the newest word on each entry.

It may stay beside the batches it was made from, and be thrown away: made anew from them it says the same. Updates and
tombstones come in any order. The word with the latest time of the source's own wins; of two with the same
time a tombstone, and after that the greater by bytes: so any order of the same batches gives the same state. Each
batch is taken whole, in one transaction with its name, or not at all. It fetches nothing and vets nothing.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final, Self

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_core.snapshot.files import must_be_regular
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record, Tombstone

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entry (
    id TEXT PRIMARY KEY, updated INTEGER NOT NULL, deleted INTEGER NOT NULL, payload BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (name TEXT PRIMARY KEY, notes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reject (batch TEXT NOT NULL, line INTEGER, reason TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS made_by (what TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_BUSY_SECONDS: Final = 60.0  # another build may be taking a batch in
_MAX_REJECTS: Final = 10_000  # of one batch kept with their detail; all are counted
_FUTURE: Final = 24 * 3600 * 1_000_000  # a source's clock may be this far ahead of ours

# Notes: what is odd about a batch and yet no reject.
CLOCK_AHEAD: Final = "clock_ahead"
TOMBSTONE_UNSEEN: Final = "tombstone_unseen"


class _Hash(msgspec.Struct, array_like=True, frozen=True):
    """One hash of an entry as it is kept: a Record less its line and id."""

    type: str
    value: str
    quality: str | int | None
    category: str
    member: str
    up: int
    down: int
    media: str
    labels: tuple[str, ...]


_decoder = msgspec.msgpack.Decoder(list[_Hash])


class DeltaState:
    """The state of one feed in an SQLite file. Raises TransportError where the file cannot be used.

    `made_by` names whatever else its content depends on: a state that another made is emptied.
    """

    def __init__(self, path: Path, made_by: str = "") -> None:
        self._path = path
        must_be_regular(path)
        with self._told():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
            made = self._db.execute("SELECT what FROM made_by").fetchall()
            if made != [(made_by,)]:
                self._empty(made_by)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def applied(self) -> set[str]:
        """The names of the batches that are in the state."""
        with self._told():
            return {str(name) for (name,) in self._db.execute("SELECT name FROM batch")}

    def empty(self) -> None:
        """Forget everything: the batches that are to count now are others."""
        with self._told():
            [(made_by,)] = self._db.execute("SELECT what FROM made_by").fetchall()
            self._empty(made_by)

    def _empty(self, made_by: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for table in ("entry", "batch", "reject", "made_by"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608
        self._db.execute("INSERT INTO made_by VALUES (?)", (made_by,))
        self._db.execute("COMMIT")

    def apply(self, batch: str, pages: Iterable[Iterable[Item]], *, fetched: int) -> None:
        """Take one batch whole; a second time it changes nothing. `fetched`: microseconds since 1970.

        An entry whose time is more than a day past `fetched` counts as of `fetched`: else a source whose clock was
        wrong once could never correct what it said then.
        """
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if not self._db.execute("SELECT 1 FROM batch WHERE name = ?", (batch,)).fetchone():
                    notes: Counter[str] = Counter()
                    for items in pages:
                        self._apply(batch, items, fetched, notes)
                    told = msgspec.json.encode(notes, order="sorted")
                    self._db.execute("INSERT INTO batch VALUES (?, ?)", (batch, told))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def _apply(self, batch: str, items: Iterable[Item], fetched: int, notes: "Counter[str]") -> None:
        for (_, entry, _), group in groupby(items, _entry_of):
            if not entry:
                for bad in group:
                    assert isinstance(bad, BadRow)
                    self._reject(batch, bad, notes)
                continue
            words = [word for word in group if not isinstance(word, BadRow)]
            updated = words[0].updated or 0
            if updated > fetched + _FUTURE:
                notes[CLOCK_AHEAD] += 1
                updated = fetched
            deleted = isinstance(words[0], Tombstone)
            hashes = [] if deleted else [_Hash(*w[2:7], *w[8:]) for w in words if isinstance(w, Record)]
            new = (updated, int(deleted), msgspec.msgpack.encode(hashes))
            old = self._db.execute(
                "SELECT updated, deleted, payload FROM entry WHERE id = ?", (entry,)
            ).fetchone()
            if deleted and old is None:
                notes[TOMBSTONE_UNSEEN] += 1
            if (
                old is not None
                and old[:2] == new[:2]
                and not deleted
                and _category(old[2]) != _category(new[2])
            ):
                detail = "the entry has another category at the same time"
                self._reject(batch, BadRow(words[0].line, Reason.CATEGORY_CONFLICT, detail), notes)
            if old is None or new > old:
                self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", (entry, *new))

    def _reject(self, batch: str, bad: BadRow, notes: "Counter[str]") -> None:
        notes[f"rejected.{bad.reason}"] += 1
        if notes[f"rejected.{bad.reason}"] <= _MAX_REJECTS:
            self._db.execute(
                "INSERT INTO reject VALUES (?, ?, ?, ?)", (batch, bad.line, bad.reason, bad.detail)
            )

    def records(self) -> Iterator[Record]:
        """Every hash of every entry in force, by id; `line` is the number of the entry in this order."""
        with self._told():
            rows = self._db.execute("SELECT id, updated, payload FROM entry WHERE deleted = 0 ORDER BY id")
            for line, (entry, updated, payload) in enumerate(rows, 1):
                for h in _decoder.decode(payload):
                    yield Record(
                        line, entry, h.type, h.value, h.quality, h.category,
                        h.member, updated or None, h.up, h.down, h.media, h.labels,
                    )  # fmt: skip

    def rejects(self) -> Iterator[tuple[BadRow, int]]:
        """What the batches held that is no record: each with 1, and those not kept in detail as one with the rest."""
        with self._told():
            shown: Counter[str] = Counter()
            for line, reason, detail in self._db.execute(
                "SELECT line, reason, detail FROM reject ORDER BY rowid"
            ):
                shown[reason] += 1
                yield BadRow(line, Reason(reason), detail), 1
            for note, count in self.notes().items():
                head, _, reason = note.partition(".")
                if head == "rejected" and count > shown[reason]:
                    yield BadRow(0, Reason(reason), "more of these"), count - shown[reason]

    def notes(self) -> dict[str, int]:
        """How often something odd was met, over all batches."""
        total: Counter[str] = Counter()
        with self._told():
            for (notes,) in self._db.execute("SELECT notes FROM batch"):
                total.update(msgspec.json.decode(notes, type=dict[str, int]))
        return dict(sorted(total.items()))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY"
            raise TransportError(
                f"{self._path} could not be used ({error}).",
                next_step="Another build is at work with it: wait until it is done."
                if busy
                else "Check the disk; the file may be removed, it is made anew from the batches.",
            ) from None


def _entry_of(item: Item) -> tuple[int, str, bool]:
    return (item.line, "" if isinstance(item, BadRow) else item.id, isinstance(item, Tombstone))


def _category(payload: bytes) -> str:
    hashes = _decoder.decode(payload)
    return hashes[0].category if hashes else ""
