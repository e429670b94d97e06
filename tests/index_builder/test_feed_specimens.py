"""Every trap in every format: the good rows survive, the bad are counted, and nothing escapes as another error."""

import io
import itertools
import json
import os
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.errors import FeedError
from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_core.reserved import TEST_HASHES
from index_builder.config.feed import DELTA_FORMATS, ONE_CATEGORY, FeedConfig
from index_builder.feeds.delta_state import DeltaState
from index_builder.feeds.entry_ids import EntryIds
from index_builder.feeds.formats import FORMATS
from index_builder.feeds.formats.record import BadRow, Record
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.reading import FeedReading
from index_builder.feeds.rejects import RejectLog
from index_builder.feeds.vetted_blocks import row_blocks
from index_builder.feeds.vetting import Vetting
from index_builder.table.collector import ColumnCollector
from tests.index_builder.conftest import Run
from tests.specimens.feeds import (
    COLUMN,
    DELTA,
    MAKERS,
    MEANING,
    Row,
    Specimen,
    md5,
    rows,
    specimens,
    threat,
    threats,
)
from tests.support import Site

NOW = datetime(2028, 1, 1, tzinfo=UTC)


def config(kind: str, path: Path) -> FeedConfig:
    return FeedConfig.model_validate({"name": "f", "format": kind, "path": path, **MEANING.get(kind, COLUMN)})


def read(specimen: Specimen, folder: Path) -> tuple[set[str], Counter[str], dict[str, int]]:
    """The MD5s that would be listed, the rejects and the notes."""
    pages = folder / "pages"
    pages.mkdir()
    for number, page in enumerate(specimen.pages):
        (pages / f"{number:03}").write_bytes(page)
    feed = config(specimen.format, pages if specimen.format in DELTA_FORMATS else pages / "000")
    vetting, rejects = Vetting(feed, BUILT_IN_TYPES), RejectLog()
    (folder / "columns").mkdir()
    collector = ColumnCollector(BUILT_IN_TYPES, folder / "columns")
    reading = FeedReading(feed, rejects, folder, NOW, lambda done, total: None)
    for block in row_blocks(feed, reading, vetting, EntryIds(bytes(32), "f"), collector.shape, rejects):
        collector.add("f", "f", block)
    [table] = (table for table in collector.finish().tables if table.hash_type.name == "md5")
    for conflict in collector.conflicts():
        rejects.add(conflict.bad)
    good = {code.tobytes().hex() for code in table.codes} - {h.hex() for h in TEST_HASHES}
    assert reading.size == sum(map(len, specimen.pages))
    return good, rejects.counts, reading.notes


@pytest.mark.parametrize("specimen", specimens(), ids=lambda s: f"{s.format}-{s.trap}")
def test_the_good_rows_survive_and_the_bad_are_counted(specimen: Specimen, tmp_path: Path) -> None:
    if specimen.error is not None:
        with pytest.raises(FeedError, match=specimen.error):
            read(specimen, tmp_path)
        return
    good, rejects, notes = read(specimen, tmp_path)
    assert rejects == specimen.rejects
    assert notes == specimen.notes
    assert good == specimen.good


# Every trap, and the formats in which it cannot occur: with one category for a whole feed an entry has no other,
# where no row has a time none is in the future, and only delta feeds take back and come in pages.
FULL = frozenset(FORMATS) - DELTA_FORMATS
NONE: frozenset[str] = frozenset()
TRAPS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("plain", "truncated", "wrong-encoding", "utf-16", "byte-order-mark", "ten-megabytes"), NONE
    ),
    **dict.fromkeys(
        ("one-bad-of-many", "empty", "no-bytes", "row-twice", "not-it", "windows-line-ends"), NONE
    ),
    "two-categories": ONE_CATEGORY,
    "two-categories-at-once": FULL | ONE_CATEGORY,
    "recategorised": FULL | ONE_CATEGORY,
    "future-clock": FULL - {"vics"},
    **dict.fromkeys(("page-twice", "one-page-cut", "suddenly-empty", "listed-again"), FULL),
    **dict.fromkeys(("tombstone", "tombstone-unseen", "tombstone-first", "tombstone-of-the-future"), FULL),
}


def test_every_trap_is_set_in_every_format_where_it_can_occur() -> None:
    assert set(MAKERS) == set(FORMATS)
    assert set(DELTA) == DELTA_FORMATS
    set_in: dict[str, set[str]] = {}
    for specimen in specimens():
        set_in.setdefault(specimen.trap, set()).add(specimen.format)
    for trap, impossible in TRAPS.items():
        assert set_in[trap] == set(FORMATS) - impossible, trap


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_the_future_is_delivered_now(kind: str, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_bytes(MAKERS[kind](rows(2)))
    os.utime(page, (NOW.timestamp() + 9e6,) * 2)
    reading = FeedReading(config(kind, page), RejectLog(), tmp_path, NOW, lambda done, total: None)
    assert len(list(reading)) == 2
    assert reading.delivered_at == NOW


class _Million(io.RawIOBase):
    """A million rows as a file, made as they are read: the head and a row, again and again, and one that is bad."""

    def __init__(self, head: bytes, row: bytes, bad: bytes) -> None:
        many = row * 1000
        self._parts = itertools.chain(
            filter(None, (head,)), itertools.repeat(many, 777), (bad,), itertools.repeat(many, 223)
        )
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        if not self._left:
            self._left = next(self._parts, b"")
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "lines"])
def test_one_bad_row_in_a_million_is_found_where_it_is(kind: str) -> None:
    [row] = rows(1)
    head, rest = b"", MAKERS[kind]([row])
    if kind == "csv":
        head, _, rest = rest.partition(b"\n")
        head += b"\n"
    bad = rest.replace(row.md5.encode(), b'"\xff')
    source = SourceFile(io.BufferedReader(_Million(head, rest, bad), 1 << 20))
    good = 0
    found: list[BadRow] = []
    for item in FORMATS[kind](source, config(kind, Path("x"))):
        if isinstance(item, BadRow):
            found.append(item)
        else:
            good += 1
    assert good == 1_000_000
    assert [(bad_row.reason, bad_row.line) for bad_row in found] == [
        ("not_utf8", 777_001 + head.count(b"\n"))
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_feed_that_is_suddenly_empty_leaves_the_list_in_force(
    kind: str, new_site: Site, run_here: Run
) -> None:
    keys = ""
    for key, value in MEANING.get(kind, COLUMN).items():
        pairs = value.items() if isinstance(value, dict) else ()
        told = (
            "{" + ", ".join(f'"{code}" = "{to}"' for code, to in pairs) + "}" if pairs else json.dumps(value)
        )
        keys += f"{key} = {told}\n"
    new_site.write_config(more=f'[[feed]]\nname = "f"\nformat = "{kind}"\npath = "page"\n{keys}')
    page = new_site.root / "page"
    arguments = ("build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots)
    page.write_bytes(MAKERS[kind](rows(6)))
    assert run_here(*arguments)[0] == 0
    [built] = new_site.snapshots.glob("0*")
    assert run_here("publish", built, *new_site.signing)[0] == 0
    for nothing in (MAKERS[kind]([]), b""):
        page.write_bytes(nothing)
        code, _, error = run_here(*arguments)
        assert code == 1
        assert "Feed 'f'" in error
    assert new_site.published() == built
    assert list(new_site.snapshots.glob("0*")) == [built]


def test_opinions_are_counted_and_the_givers_own_is_none(tmp_path: Path) -> None:
    mine = {"owner": {"id": "1"}, "status": "MALICIOUS", "tags": ["A"]}
    theirs = {"owner": {"id": "2"}, "status": "NON_MALICIOUS", "tags": [], "reactions": [{"key": "HELPFUL"}]}
    page = tmp_path / "page"
    page.write_bytes(threats([threat(rows(1)[0], mine, mine, theirs)]))
    reading = FeedReading(
        config("threatexchange", page), RejectLog(), tmp_path, NOW, lambda done, total: None
    )
    [record] = reading
    assert (record.up, record.down) == (1, 1)


words = st.builds(
    Row,
    st.integers(0, 4),
    st.integers(0, 9).map(md5),
    st.sampled_from("AB"),
    st.integers(2000, 2027),
    st.booleans(),
)


def state_of(folder: Path, kind: str, batches: "list[tuple[int, list[Row]]]") -> list[Record]:
    """The records after these batches, each taken as of the same day."""
    folder.mkdir(exist_ok=True)
    feed = config(kind, folder)
    pages = folder / "pages"
    pages.mkdir(exist_ok=True)
    with DeltaState(folder / "state.sqlite") as state:
        for name, given_rows in batches:
            page = pages / str(name)
            page.write_bytes(MAKERS[kind](given_rows))
            reading = FeedReading(feed, RejectLog(), folder, NOW, lambda done, total: None)
            state.apply(str(name), [reading._read(page)], fetched=1_800_000_000_000_000)
        return list(state.records())


@pytest.mark.parametrize("kind", DELTA)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_order_of_batches_and_any_repetition_gives_the_same_state(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    batches = list(enumerate(data.draw(st.lists(st.lists(words, max_size=5), max_size=4))))
    other = data.draw(st.permutations(batches))
    folder = tmp_path_factory.mktemp("state")
    assert state_of(folder / "a", kind, batches) == state_of(folder / "b", kind, [*other, *batches])


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_anywhere_gives_rows_or_rejects_or_one_error(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = bytearray(MAKERS[kind](rows(5)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(page) - 1))
        page[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    folder = tmp_path_factory.mktemp("damage")
    with suppress(FeedError):
        good, rejects, _ = read(Specimen(kind, "damaged", (bytes(page),)), folder)
        assert len(good) <= 8
        assert rejects.total() <= 40
