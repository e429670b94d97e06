"""Each format: good rows survive, bad ones are counted and explained, and nothing escapes as another error."""

import hashlib
import io
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hashcheck_core.errors import FeedError
from hashcheck_core.hash_types import BUILT_IN_TYPES
from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats import FORMATS
from index_builder.feeds.formats.lines import MAX_LINE_BYTES, LineReader
from index_builder.feeds.formats.record import BadRow, Reason, Record, Tombstone
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.vetting import VettedRow, Vetting

TEXT_FORMATS = ("csv", "jsonl", "lines")
HEADER = b"id,type,value,quality,category\n"
MD5 = "22e22862a33559570f5d13f6a43482ff"
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"


def feed(kind: str, **more: object) -> FeedConfig:
    meaning: dict[str, object] = (
        {"category": "baseline"} if kind == "lines" else {"categories": {"A": "baseline"}}
    )
    return FeedConfig.model_validate({"name": "f", "format": kind, "path": "f", **meaning, **more})


def read(data: bytes, config: FeedConfig) -> list[VettedRow | BadRow]:
    vetting = Vetting(config, BUILT_IN_TYPES)
    rows = FORMATS[config.format](SourceFile(io.BytesIO(data)), config)
    return [
        vetting.vet(row) if isinstance(row, Record) else row for row in rows if not isinstance(row, Tombstone)
    ]


def outcome(rows: list[VettedRow | BadRow]) -> list[tuple[int, str]]:
    """(line, value in hex or reason) of each row."""
    return [(row.line, row.reason if isinstance(row, BadRow) else row.value.hex()) for row in rows]


def test_csv_good_rows_survive_every_kind_of_bad_one() -> None:
    data = (
        HEADER
        + "\n".join(
            [
                f"1,md5,{MD5},,A",  # 2
                f"1,pdq,{PDQ.upper()},100,A",
                f"2,md5,{MD5[:-1]},,A",  # 4: cut
                f"2,md5, {MD5},,A",
                f"2,md5,{MD5},,C",  # 6: a code nobody mapped
                f"2,photodna,{MD5},,A",
                f"3,pdq,{PDQ},49,A",  # 8
                f"3,pdq,{PDQ},good,A",
                f"3,pdq,{PDQ},101,A",  # 10
                f"3,pdq,{'0' * 64},100,A",
                "4,md5,d41d8cd98f00b204e9800998ecf8427e,,A",  # 12: of an empty file
                f",md5,{MD5},,A",
                f"5,md5,{MD5},,A,more",  # 14
                f'6,"md5,{MD5},,A',  # 15: a quote that never closes must not swallow line 16
                f'7,"md5","{MD5}",,A',
                "",
                f"8,md5,{MD5},,A",  # 18
            ]
        ).encode()
    )
    assert outcome(read(data, feed("csv"))) == [
        (2, MD5),
        (3, PDQ),
        (4, Reason.MALFORMED_HASH),
        (5, Reason.MALFORMED_HASH),
        (6, Reason.UNMAPPED_CATEGORY),
        (7, Reason.UNSUPPORTED_TYPE),
        (8, Reason.LOW_QUALITY),
        (9, Reason.MALFORMED_QUALITY),
        (10, Reason.MALFORMED_QUALITY),
        (11, Reason.DEGENERATE),
        (12, Reason.EMPTY_FILE),
        (13, Reason.MALFORMED_ID),
        (14, Reason.MALFORMED_ROW),
        (15, Reason.MALFORMED_ROW),
        (16, MD5),
        (18, MD5),
    ]


def test_csv_columns_may_stand_in_any_order_and_a_byte_order_mark_and_crlf_are_taken() -> None:
    data = f"\ufeffcategory,note,value,type,quality,id\r\nA,x,{MD5},md5,,1\r\n".encode()
    assert outcome(read(data, feed("csv"))) == [(2, MD5)]


@pytest.mark.parametrize(
    "head", [b"", b"id,type,value,category\n", b"id;type;value;quality;category\n", b"\xff\xfe\n", b'"id\n']
)
def test_csv_without_its_header_is_refused_as_a_whole(head: bytes) -> None:
    with pytest.raises(FeedError, match="header"):
        read(head + f"1,md5,{MD5},,A\n".encode(), feed("csv"))


def test_jsonl_good_rows_survive_every_kind_of_bad_one() -> None:
    good = f'{{"id":"1","type":"md5","value":"{MD5}","category":"A","more":[1]}}'
    data = "\n".join(
        [
            good,
            good[:-3],
            "[]",
            '{"id":"1"}',
            good.replace('"1"', "1"),
            "",
            good.replace('"more":[1]', '"quality":"9"'),
            "[" * 60_000,
            good,
        ]
    ).encode()
    rows = outcome(read(data, feed("jsonl")))
    assert [row for row in rows if row[1] == MD5] == [(1, MD5), (9, MD5)]
    assert [row[0] for row in rows if row[1] == Reason.MALFORMED_ROW] == [2, 3, 4, 5, 7, 8]


def test_local_file_lines_with_a_type_each_or_one_for_all() -> None:
    data = f"pdq {PDQ}\n\nmd5\t{MD5}\nmd5 {MD5} more\n{MD5}\n".encode()
    malformed = Reason.MALFORMED_ROW
    assert outcome(read(data, feed("lines"))) == [(1, PDQ), (3, MD5), (4, malformed), (5, malformed)]
    assert outcome(read(f"{MD5}\nmd5 {MD5}\n".encode(), feed("lines", type="md5"))) == [
        (1, MD5),
        (2, malformed),
    ]


@pytest.mark.parametrize("kind", TEXT_FORMATS)
def test_a_line_of_ten_megabytes_and_one_in_another_encoding_cost_only_themselves(kind: str) -> None:
    good = {
        "csv": f"1,md5,{MD5},,A",
        "jsonl": f'{{"id":"1","type":"md5","value":"{MD5}","category":"A"}}',
        "lines": f"md5 {MD5}",
    }[kind].encode()
    head = HEADER if kind == "csv" else b""
    data = b"\n".join([good, b"x" * 10_000_000, good, b"\xe9t\xe9", good])
    rows = outcome(read(head + data, feed(kind)))
    assert [value for _, value in rows] == [MD5, Reason.LINE_TOO_LONG, MD5, Reason.NOT_UTF8, MD5]


def test_the_digest_is_of_every_byte_whatever_became_of_its_line() -> None:
    data = b"a\n" + b"x" * (MAX_LINE_BYTES * 3) + b"\r\n\xff\nlast"
    source = SourceFile(io.BytesIO(data))
    assert len(list(LineReader(source))) == 4
    assert (source.digest, source.size) == (hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize("kind", TEXT_FORMATS)
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2000))
@example(data=b"\0\n\r\n\r\r\n")
def test_hostile_bytes_give_rows_or_rejects_and_nothing_else(kind: str, data: bytes) -> None:
    head = HEADER if kind == "csv" else b""
    for row in read(head + data, feed(kind)):
        if isinstance(row, VettedRow):
            assert len(row.value) == row.hash_type.bytes
        else:
            assert row.reason in Reason
            assert row.line >= 1


MUTATIONS: list[Callable[[str], str]] = [str.upper, str.lower, str.swapcase]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MUTATIONS), st.sampled_from(["csv", "jsonl", "lines"]), st.data())
def test_any_case_of_hex_is_the_same_hash(
    change: Callable[[str], str], kind: str, data: st.DataObject
) -> None:
    hash_type = data.draw(st.sampled_from(list(BUILT_IN_TYPES.values())))
    value = data.draw(st.binary(min_size=hash_type.bytes, max_size=hash_type.bytes))
    text = change(value.hex())
    line = {
        "csv": f"{HEADER.decode()}1,{hash_type.name},{text},,A",
        "jsonl": f'{{"id":"1","type":"{hash_type.name}","value":"{text}","category":"A"}}',
        "lines": f"{hash_type.name} {text}",
    }[kind]
    [row] = read(line.encode(), feed(kind))
    if isinstance(row, VettedRow):
        assert row.value == value
    else:
        assert row.reason in (Reason.DEGENERATE, Reason.EMPTY_FILE)


@pytest.mark.parametrize(
    "value", [PDQ, PDQ.upper(), MD5[:16], f" {MD5}", " ".join(MD5), f"pdq:{PDQ}", f"x{MD5}"]
)
def test_a_hash_in_the_wrong_column_is_not_quoted(value: str) -> None:
    data = HEADER + f"1,md5,{MD5},,{value}\n2,{value},{MD5},,A\n".encode()
    rows = read(data, feed("csv"))
    assert [line for line, _ in outcome(rows)] == [2, 3]
    for row in rows:
        assert isinstance(row, BadRow)
        assert f"{len(value)} characters" in row.detail
        assert not any(value[i : i + 8] in row.detail for i in range(len(value) - 7))


def test_another_code_is_quoted() -> None:
    [row] = read(HEADER + f"1,md5,{MD5},,non_pertinent\n".encode(), feed("csv"))
    assert isinstance(row, BadRow)
    assert "'non_pertinent'" in row.detail
