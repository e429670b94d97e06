"""What makes large builds fast gives what the plain way gives: blocks as rows, parts as a whole, disk as memory."""

import hmac
import io
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.degenerate import EMPTY_FILES
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashKind, HashType
from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES
from index_builder.config.feed import FeedConfig
from index_builder.config.gates import DegenerateGate
from index_builder.feeds.csv_blocks import PlainRows
from index_builder.feeds.entry_ids import EntryIds
from index_builder.feeds.formats.csv_rows import CsvHeader, read_csv
from index_builder.feeds.formats.lines import MAX_LINE_BYTES, LineReader, line_blocks
from index_builder.feeds.formats.record import BadRow, Record, Tombstone
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.rejects import RejectLog
from index_builder.feeds.row_block import RowBlock, RowShape
from index_builder.feeds.vetting import VettedRow, Vetting
from index_builder.gates import degenerate
from index_builder.table.candidates import Candidates, CandidateTable
from index_builder.table.collector import ColumnCollector
from index_builder.table.sorting import sorted_parts

TYPES = {
    **BUILT_IN_TYPES,
    "odd72": HashType("odd72", 72, HashKind.PERCEPTUAL, 4, 20),
    "wide": HashType("wide", 512, HashKind.PERCEPTUAL, 20),
}
SHAPE = RowShape(TYPES)
KEY = bytes(range(32))
FEED = FeedConfig.model_validate(
    {
        "name": "f",
        "format": "csv",
        "path": "f",
        "categories": {"A": "baseline", "B": "national", "Ä": "exploitative", "C": "unknown", "": "baseline"},
    }
)
WANTED = (Category.BASELINE, Category.NATIONAL, Category.EXPLOITATIVE)
Row = tuple[int, bytes, Category, str, bytes]


@dataclass
class Read:
    """All that is known of a feed after it was read."""

    taken: list[Row] = field(default_factory=list)
    rows: int = 0
    rejects: RejectLog = field(default_factory=lambda: RejectLog(keep=2))
    digest: str = ""

    def told(self) -> tuple[object, ...]:
        return self.taken, self.rows, list(self.rejects.counts.items()), list(self.rejects), self.digest


def row_by_row(data: bytes) -> Read:
    read, vetting = Read(), Vetting(FEED, TYPES, WANTED)
    source = SourceFile(io.BytesIO(data))
    for item in read_csv(source, FEED):
        assert not isinstance(item, Tombstone)
        read.rows += 1
        vetted = vetting.vet(item) if isinstance(item, Record) else item
        if isinstance(vetted, BadRow):
            read.rejects.add(vetted)
        else:
            [listed_as] = EntryIds(KEY, "f").of([vetted.id.encode()])
            row = (vetted.line, bytes(listed_as), vetted.category, vetted.hash_type.name, vetted.value)
            read.taken.append(row)
    source.drain()
    read.digest = source.digest
    return read


def by_the_block(data: bytes, size: int) -> Read:
    read, source = Read(), SourceFile(io.BytesIO(data))
    header = CsvHeader.of(next(iter(LineReader(source)), None), FEED)
    plain = PlainRows(header, Vetting(FEED, TYPES, WANTED), EntryIds(KEY, "f"), SHAPE)
    for block, rows in plain.read(line_blocks(source, 2, size), read.rejects):
        read.rows += rows
        assert not block.up.any()
        assert not block.down.any()
        for i in range(len(block)):
            hash_type = TYPES[SHAPE.names[block.kinds[i]]]
            read.taken.append(
                (
                    int(block.lines[i]),
                    bytes(block.ids[i]),
                    CATEGORY_CODES[block.categories[i]],
                    hash_type.name,
                    bytes(block.codes[i, : hash_type.bytes]),
                )
            )
    read.digest = source.digest
    return read


def ends(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [text, text, text, text.upper(), text[:-1], text + "0", text[:-1] + "g", text[:-1] + " "]
    )


def values(hash_type: HashType) -> st.SearchStrategy[str]:
    whole = st.binary(min_size=hash_type.bytes, max_size=hash_type.bytes).map(bytes.hex)
    few = st.integers(0, hash_type.bits // 8).map(
        lambda ones: ((1 << ones) - 1).to_bytes(hash_type.bytes).hex()
    )
    empty = st.just(EMPTY_FILES.get(hash_type.name, bytes(hash_type.bytes)).hex())
    return st.one_of(whole, whole, few, empty).flatmap(ends)


ODD_CELLS = st.sampled_from(
    ['"', 'a"b', '"a"', '"a,b"', "\r", "\0", "ü", "\ud800", " ", "", "\x85", "x" * 300]
)
ids = st.one_of(st.sampled_from(["1", "2", "entry-3", "ü" * 200, "z" * 256, "z" * 257, ""]), ODD_CELLS)
qualities = st.sampled_from(
    ["", "", "100", "50", "49", "19", "20", "007", "0100", "101", "-1", "+5", "٣", " 7"]
)
categories = st.one_of(st.sampled_from("AAABBÄCD"), st.sampled_from(["", "AB", "a"]), ODD_CELLS)
types = st.sampled_from(sorted(TYPES))


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    kind = draw(types)
    cells = [
        draw(ids),
        draw(st.sampled_from([kind, kind, kind, kind, "photodna", ""])),
        draw(values(TYPES[kind])),
        draw(qualities),
        draw(categories),
    ]
    if draw(st.integers(0, 9)) == 0:
        cells[draw(st.integers(0, 4))] = draw(ODD_CELLS)
    cells.insert(1, draw(st.sampled_from(["", "note"])))
    if draw(st.integers(0, 4)) == 0:
        cells = [f'"{cell}"' for cell in cells]
    if draw(st.integers(0, 19)) == 0:
        cells = cells[: draw(st.integers(0, 6))] + ["more"] * draw(st.integers(0, 2))
    return ",".join(cells).encode(errors="surrogatepass")


oddities = st.sampled_from(
    [b"", b"\r", b"\xff\xfe", b",,,,,", b"x" * MAX_LINE_BYTES, b"1,,md5," + b"x" * (3 * MAX_LINE_BYTES)]
)
HEADER = b"id,note,type,value,quality,category"


@settings(max_examples=300, deadline=None)
@given(
    given_lines=st.lists(st.one_of(lines(), lines(), lines(), lines(), oddities), max_size=25),
    end=st.sampled_from([b"\n", b"\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    last=st.booleans(),
    size=st.integers(1, 2000),
)
@example(given_lines=[b"1,,md5,%b,,A" % (b"1f" * 16)] * 3, end=b"\n", mark=b"", last=False, size=1 << 20)
def test_a_csv_feed_by_the_block_is_what_it_is_row_by_row(
    given_lines: list[bytes], end: bytes, mark: bytes, last: bool, size: int
) -> None:
    data = mark + end.join([HEADER, *given_lines]) + (end if last else b"")
    assert by_the_block(data, size).told() == row_by_row(data).told()


def test_at_every_limit_a_block_says_what_a_row_says() -> None:
    pdq, md5 = TYPES["pdq"], "1f" * 16
    ones = [((1 << n) - 1).to_bytes(pdq.bytes).hex() for n in (0, 1, 15, 16, 17, 128, 239, 240, 241, 256)]
    given_lines = [
        *(f"1,,pdq,{value},100,A" for value in ones),
        *(f"1,,pdq,{ones[5]},{n},A" for n in ("", "0", "49", "50", "51", "99", "100", "101", "0050", "5 0")),
        *(f"{'z' * n},,md5,{md5},,A" for n in (0, 1, 255, 256, 257)),
        *(f"{'ü' * n},,md5,{md5},,A" for n in (127, 128, 129, 256, 257)),
        *(f"1,,md5,{md5[:n]},,A" for n in (0, 1, 30, 31)),
        *(f"1,{'x' * (MAX_LINE_BYTES - 44 + n)},md5,{md5},,A" for n in range(-2, 3)),
        *(
            f'1,{"x" * n},"md5","{md5}","",{quoted}'
            for n in (0, 1)
            for quoted in ('"A"', '"A', 'A"', '"A"A', '""A')
        ),
        *(f"1,,md5,{digest.hex()},,A" for digest in EMPTY_FILES.values()),
        *(f"1,,{name},{'5a' * width},,A" for name in TYPES for width in (8, 9, 16, 20, 32, 64)),
    ]
    for end in ("\n", "\r\n"):
        data = HEADER + end.encode() + end.join(given_lines).encode()
        read = row_by_row(data)
        assert by_the_block(data, 1 << 20).told() == read.told()
        assert len(read.rejects.counts) == 9
        assert len(read.taken) > 25


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=500), size=st.integers(1, 100))
def test_bytes_of_any_kind_by_the_block_are_what_they_are_row_by_row(data: bytes, size: int) -> None:
    data = HEADER + b"\n" + data
    assert by_the_block(data, size).told() == row_by_row(data).told()


@given(key=st.binary(min_size=32, max_size=32), feed=st.text(max_size=20), entry=st.binary(max_size=200))
def test_an_entry_id_is_an_hmac(key: bytes, feed: str, entry: bytes) -> None:
    feed = feed.encode(errors="ignore").decode()
    [made] = EntryIds(key, feed).of([entry])
    assert bytes(made) == hmac.digest(key, feed.encode() + b"\0" + entry, "sha256")[:16]


@settings(max_examples=100, deadline=None)
@given(
    width=st.sampled_from([8, 9, 16, 20, 32]),
    heads=st.lists(st.binary(max_size=8), min_size=1, max_size=4),
    count=st.integers(0, 200),
    most=st.integers(1, 250),
    seed=st.integers(0, 1000),
)
def test_rows_sorted_in_parts_are_sorted(
    width: int, heads: list[bytes], count: int, most: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        ((heads[rng.integers(len(heads))] + rng.bytes(width))[:width], int(rng.integers(4)))
        for _ in range(count)
    ]
    rows += rows[: count // 3]
    keys = np.frombuffer(b"".join(key for key, _ in rows), np.uint8).reshape(-1, width)
    numbers = np.array([number for _, number in rows], np.uint32)
    folder = tmp_path_factory.mktemp("parts")
    chunks = [
        (keys[at : at + 30], numbers[at : at + 30]) for at in range(0, max(len(rows), 1), 30)
    ]  # as they come
    found = [
        (bytes(key), int(number))
        for some, their in sorted_parts(chunks, keys, folder, most)
        for key, number in zip(some, their, strict=True)
    ]
    assert found == sorted(rows)
    assert not list(folder.iterdir())


@dataclass
class Oracle:
    """A list as dictionaries."""

    entries: dict[bytes, list[object]] = field(default_factory=dict)
    hashes: dict[str, dict[bytes, set[bytes]]] = field(default_factory=dict)
    conflicts: list[tuple[str, int]] = field(default_factory=list)

    def add(self, feed: str, source: str, listed_as: bytes, row: VettedRow) -> None:
        entry = self.entries.setdefault(listed_as, [row.category, source, feed, 0, 0])
        if entry[0] != row.category:
            self.conflicts.append((feed, row.line))
            return
        entry[3:] = [max(entry[3], row.up), max(entry[4], row.down)]  # type: ignore[call-overload]
        self.hashes.setdefault(row.hash_type.name, {}).setdefault(row.value, set()).add(listed_as)


def as_oracle(candidates: Candidates, collector: ColumnCollector) -> Oracle:
    listed = [bytes(entry) for entry in candidates.ids]
    assert listed == sorted(set(listed))
    oracle = Oracle(conflicts=[(c.feed, c.bad.line) for c in collector.conflicts()])
    for i, entry in enumerate(listed):
        oracle.entries[entry] = [
            CATEGORY_CODES[candidates.categories[i]],
            candidates.source_names[candidates.sources[i]],
            candidates.feed_names[candidates.feeds[i]],
            int(candidates.up[i]),
            int(candidates.down[i]),
        ]
    for table in candidates.tables:
        codes = [bytes(code) for code in table.codes]
        assert codes == sorted(set(codes))
        for row, code in enumerate(codes):
            links = table.links[table.offsets[row] : table.offsets[row + 1]].tolist()
            assert links == sorted(set(links))
            of_type = oracle.hashes.setdefault(table.hash_type.name, {})
            of_type[code] = {listed[link] for link in links}
    return oracle


vetted = st.builds(
    VettedRow,
    st.just(0),
    st.sampled_from("abcdefgh"),
    st.sampled_from([TYPES["md5"], TYPES["phash"], TYPES["wide"]]),
    st.integers(1, 6).map(lambda number: bytes([number])),
    st.sampled_from(WANTED),
    st.integers(0, 3),
    st.integers(0, 1),
)


@settings(max_examples=150, deadline=None)
@given(
    feeds=st.lists(st.lists(vetted, max_size=40), max_size=3),
    sort_rows=st.sampled_from([1, 2, 7, 40, 10_000]),
    block=st.integers(1, 50),
)
def test_columns_hold_what_the_rows_say_whatever_the_size_of_blocks_and_parts(
    feeds: list[list[VettedRow]], sort_rows: int, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    collector, oracle = ColumnCollector(TYPES, tmp_path_factory.mktemp("columns"), sort_rows), Oracle()
    for reserved in TEST_HASHES:
        row = VettedRow(0, "", reserved.type, reserved.value, Category.TEST)
        oracle.add("hashcheck-test", "hashcheck-test", TEST_ENTRY_ID, row)
    for number, short in enumerate(feeds):
        name, source = f"feed-{number}", f"source-{number // 2}"
        rows = [
            VettedRow(line, r.id, r.hash_type, r.value * r.hash_type.bytes, r.category, r.up, r.down)
            for line, r in enumerate(short, 1)
        ]
        entry_ids = EntryIds(KEY, name)
        for at in range(0, len(rows), block):
            collector.add(name, source, RowBlock.of(rows[at : at + block], entry_ids, SHAPE))
        for row in rows:
            [listed_as] = entry_ids.of([row.id.encode()])
            oracle.add(name, source, bytes(listed_as), row)
    candidates = collector.finish()
    assert as_oracle(candidates, collector) == oracle
    assert bytes(candidates.ids[candidates.reserved]) == TEST_ENTRY_ID


def family(members: int, others: int) -> Candidates:
    """A list of PDQ hashes of which some are near each other, an entry each."""
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 256, (members + others, 32), np.uint8)
    codes[:members] = codes[0]
    codes[:members, 28:] = rng.integers(0, 256, (members, 4), np.uint8)
    codes = codes[np.lexsort(codes.T[::-1])]
    n = len(codes)
    table = CandidateTable(
        TYPES["pdq"], codes, np.arange(n + 1, dtype=np.uint32), np.arange(n, dtype=np.uint32)
    )
    zeros = np.zeros(n, np.uint32)
    return Candidates(
        ids=np.zeros((n, 16), np.uint8),
        categories=np.zeros(n, np.uint8),
        sources=np.zeros(n, np.uint16),
        feeds=np.zeros(n, np.uint16),
        up=zeros,
        down=zeros,
        source_names=["f"],
        feed_names=["f"],
        reserved=n - 1,
        tables=[table],
    )


@pytest.mark.parametrize(("members", "least"), [(3500, 3000), (2900, 0), (1200, 0)])
def test_a_family_is_found_by_the_first_look_too_and_counted_by_the_second(members: int, least: int) -> None:
    gate = DegenerateGate(max_family=3000)
    found = degenerate.check(gate, family(members, 6000))
    held = sum(map(len, found.held.values()))
    assert least <= held <= (members if least else 0)
