"""Every trap in every format: the good rows survive, the bad are counted, and nothing escapes as another error."""

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
from index_builder.columns import ColumnCollector
from index_builder.config import DELTA_FORMATS, FeedConfig
from index_builder.entry_ids import EntryIds
from index_builder.feed_rows import row_blocks
from index_builder.formats import FORMATS
from index_builder.formats.record import Record
from index_builder.reading import FeedReading
from index_builder.rejects import RejectLog
from index_builder.state import DeltaState
from index_builder.vetting import Vetting
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


def test_every_format_has_its_specimens() -> None:
    assert set(MAKERS) == set(FORMATS)
    assert set(DELTA) == DELTA_FORMATS


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
