import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcheck_core.degenerate import is_degenerate
from hashcheck_core.errors import ConfigError, HashError, UnknownHashTypeError
from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash, HashKind, HashType, find_type, parse_hex

types = st.sampled_from(list(BUILT_IN_TYPES.values()))


@given(types, st.data())
def test_hex_of_either_case_reads_back(hash_type: HashType, data: st.DataObject) -> None:
    value = data.draw(st.binary(min_size=hash_type.bytes, max_size=hash_type.bytes))
    assert Hash.from_hex(hash_type, value.hex()).value == value
    assert Hash.from_hex(hash_type, value.hex().upper()).value == value


@given(types, st.text())
def test_any_other_text_is_refused_as_a_hash_error(hash_type: HashType, text: str) -> None:
    digits = set("0123456789abcdefABCDEF")
    if len(text) == hash_type.bits // 4 and set(text) <= digits:
        return
    with pytest.raises(HashError):
        parse_hex(hash_type, text)


@pytest.mark.parametrize("spoil", [" {}", "{}\n", "{} ", "0x{}", "{}00", "\ufeff{}", "{}\0"])
@pytest.mark.parametrize("hash_type", BUILT_IN_TYPES.values(), ids=str)
def test_white_space_and_padding_are_refused(hash_type: HashType, spoil: str) -> None:
    with pytest.raises(HashError):
        parse_hex(hash_type, spoil.format("ab" * hash_type.bytes))


def test_white_space_inside_is_refused_at_full_length() -> None:
    md5 = BUILT_IN_TYPES["md5"]
    with pytest.raises(HashError):
        parse_hex(md5, "ab " * 10 + "ab")
    with pytest.raises(HashError):
        parse_hex(md5, "a" * 31)


def test_a_hash_of_the_wrong_length_cannot_be_made() -> None:
    with pytest.raises(HashError):
        Hash(BUILT_IN_TYPES["md5"], b"short")


def test_an_unknown_type_is_named_as_such() -> None:
    with pytest.raises(UnknownHashTypeError):
        find_type("photodna")


@pytest.mark.parametrize(("bits", "radius"), [(56, 4), (520, 4), (65, 4), (64, 17), (64, -1)])
def test_impossible_types_are_refused(bits: int, radius: int) -> None:
    with pytest.raises(ConfigError):
        HashType("x", bits, HashKind.PERCEPTUAL, radius)


def test_degenerate_hashes_are_told_from_real_ones() -> None:
    phash, pdq, md5 = (BUILT_IN_TYPES[name] for name in ("phash", "pdq", "md5"))
    assert is_degenerate(phash, bytes(8))
    assert is_degenerate(phash, b"\xff" * 8)
    assert is_degenerate(phash, bytes(7) + b"\x07")
    assert not is_degenerate(phash, bytes(7) + b"\x0f")
    assert is_degenerate(pdq, bytes(31) + b"\x01")
    assert not is_degenerate(pdq, b"\x55" * 32)
    assert not is_degenerate(md5, bytes(16))
