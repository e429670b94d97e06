"""Whatever is done to the lines of a file shows in its chain."""

import io
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcheck_service.evidence.chain import Chain, Read, read_chain


def lines_of(count: int, *, start: str = "ab" * 32, ended: bool = False) -> list[bytes]:
    chain = Chain(start)
    bodies: list[dict[str, object]] = [{"kind": "begin", "start": start, "after": None}]
    bodies += [{"kind": "hits", "hits": [{"hit_id": f"{number}"}]} for number in range(count)]
    if ended:
        bodies.append({"kind": "end"})
    return [chain.line(msgspec.json.encode(body)) for body in bodies]


def read(data: bytes) -> Read:
    return read_chain(io.BytesIO(data))[0]


def test_what_was_written_is_read_without_fault() -> None:
    found = read(b"".join(lines_of(5, ended=True)))
    assert (found.lines, found.hits, found.ended, found.torn, found.faults) == (7, 5, True, False, [])


@given(st.data())
def test_any_change_of_a_byte_is_found(data: st.DataObject) -> None:
    whole = bytearray(b"".join(lines_of(3)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    assert read(bytes(whole)).faults


@pytest.mark.parametrize("ended", [False, True])
def test_any_line_taken_out_moved_or_doubled_is_found_but_a_clean_cut(ended: bool) -> None:
    whole = lines_of(4, ended=ended)
    for order in itertools.permutations(range(len(whole))):
        changed = read(b"".join(whole[place] for place in order))
        assert bool(changed.faults) == (list(order) != sorted(order))
    for place in range(len(whole) - 1):
        assert read(b"".join(whole[:place] + whole[place + 1 :])).faults
        assert read(b"".join(whole[: place + 1] + whole[place:])).faults
    assert not read(b"".join(whole[:-1])).faults


def test_a_line_of_another_file_is_found() -> None:
    whole, other = lines_of(3), lines_of(3, start="cd" * 32)
    assert read(b"".join([*whole[:2], other[2], whole[3]])).faults


def test_half_a_line_at_the_end_is_no_fault_but_is_told() -> None:
    whole = b"".join(lines_of(2))
    for cut in range(1, 100):
        found = read(whole[:-cut])
        assert found.torn
        assert found.lines == 2
        assert not found.faults


def test_a_file_of_the_format_before_is_read_as_unchained() -> None:
    found = read(b'{"match_id":"1","tenant":"acme"}\n{"match_id":"2","tenant":"acme"}\n')
    assert (found.chained, found.lines, found.faults) == (False, 2, [])


@given(st.binary(max_size=200))
def test_anything_at_all_can_be_read(data: bytes) -> None:
    for given_bytes in (data, b"".join(lines_of(1)) + data):
        read(given_bytes)


def test_the_link_at_a_length_is_that_of_the_line_that_ends_there() -> None:
    whole = lines_of(3)
    end = len(whole[0]) + len(whole[1])
    assert read_chain(whole, end)[1] == read_chain(whole[:2])[0].link
    assert read_chain(whole, end - 1)[1] is None
