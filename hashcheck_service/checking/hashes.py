"""The hashes of a whole request in one pass: sorted by type, decoded, looked over, ready to be searched. Pure.

Nearly all requests hold nothing but good hashes, so all of a type are decoded and looked over at once; only where
that finds something amiss are they taken one by one, to say what. It searches nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.degenerate import any_degenerate, is_degenerate
from hashcheck_core.hash_types import HashType
from hashcheck_core.snapshot.snapshot import HashTable
from hashcheck_service.checking.reasons import Reason


class Given(Protocol):
    """A hash as it was given; its value in the form that the batch's `Decode` reads."""

    @property
    def type(self) -> str: ...
    @property
    def value(self) -> str | bytes: ...
    @property
    def quality(self) -> int | None: ...


_FIRST: Final = (0,)
# The bytes of all the values, one after the other; None unless each is a whole hash of the type.
Decode = Callable[[HashType, Sequence[str | bytes]], bytes | None]


class Asked(msgspec.Struct, frozen=True, gc=False):
    """The hashes of one type. `values`: distinct, uint8 (q, bytes of the type). `owners`: the item of each hash
    given; `rows`: which of the values each hash given is, or None where they are in the same order."""

    hash_type: HashType
    values: NDArray[np.uint8]
    owners: Sequence[int]
    rows: Sequence[int] | None = None

    def items_by_row(self, wanted: Sequence[int]) -> dict[int, list[int]]:
        """For each of the values `wanted` the items that brought it."""
        if self.rows is None:
            return {row: [self.owners[row]] for row in wanted}
        found: dict[int, list[int]] = {row: [] for row in wanted}
        for row, owner in zip(self.rows, self.owners, strict=True):
            if row in found:
                found[row].append(owner)
        return found


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What is asked: a ref for each item, the hashes that can be checked, and by item why others cannot."""

    refs: Sequence[str]
    asked: Sequence[Asked]
    reasons: dict[int, list[Reason]] = msgspec.field(default_factory=dict)


def read_batch(
    tables: Mapping[str, HashTable], refs: Sequence[str], hashes: Sequence[Sequence[Given]], decode: Decode
) -> Batch:
    """The batch of the items called `refs`; `hashes` are those of each item in turn."""
    if len(refs) == 1 and len(hashes[0]) == 1:
        return _read_one(tables, refs, hashes[0][0], decode)
    given = list(chain.from_iterable(hashes))
    owners: Sequence[int] = range(len(refs))
    if len(given) != len(refs) or not all(hashes):
        owners = [index for index, some in enumerate(hashes) for _ in some]
    batch = Batch(refs, asked := [])
    types = [one.type for one in given]
    names = dict.fromkeys(types)
    for name in names:
        of_type, theirs = given, owners
        if len(names) > 1:
            mine = [place for place, its in enumerate(types) if its == name]
            of_type, theirs = [given[place] for place in mine], [owners[place] for place in mine]
        table = tables.get(name)
        if table is None:
            for owner in theirs:
                batch.reasons.setdefault(owner, []).append(Reason.UNSUPPORTED_TYPE)
            continue
        read = _all_at_once(table.hash_type, of_type, theirs, decode)
        if read is None:
            read = _one_by_one(table.hash_type, of_type, theirs, decode, batch.reasons)
        if len(read.values):
            asked.append(read)
    return batch


def _read_one(tables: Mapping[str, HashTable], refs: Sequence[str], given: Given, decode: Decode) -> Batch:
    """The batch of one item with one hash: what most requests are."""
    table = tables.get(given.type)
    if table is None:
        return Batch(refs, (), {0: [Reason.UNSUPPORTED_TYPE]})
    read = _read(table.hash_type, given, decode)
    if isinstance(read, Reason):
        return Batch(refs, (), {0: [read]})
    return Batch(refs, (Asked(table.hash_type, np.frombuffer(read, np.uint8)[None], _FIRST),))


def _all_at_once(
    hash_type: HashType, given: Sequence[Given], owners: Sequence[int], decode: Decode
) -> Asked | None:
    """All hashes, each distinct value once, if every one is good; None otherwise."""
    values = [one.value for one in given]
    rows: list[int] | None = None
    if len(places := dict.fromkeys(values)) != len(values):
        numbers = {value: number for number, value in enumerate(places)}
        rows, values = [numbers[value] for value in values], list(numbers)
    raw = decode(hash_type, values)
    if raw is None:
        return None
    least = hash_type.min_quality
    if least is not None:
        for quality in {one.quality for one in given}:
            if quality is not None and quality < least:
                return None
    codes = np.frombuffer(raw, np.uint8).reshape(len(values), -1)
    return None if any_degenerate(hash_type, codes) else Asked(hash_type, codes, owners, rows)


def _one_by_one(
    hash_type: HashType,
    given: Sequence[Given],
    owners: Sequence[int],
    decode: Decode,
    reasons: dict[int, list[Reason]],
) -> Asked:
    """The hashes that can be checked, each distinct value once; `reasons` is told of the others."""
    distinct: dict[bytes, int] = {}
    kept: list[int] = []
    rows: list[int] = []
    for one, owner in zip(given, owners, strict=True):
        read = _read(hash_type, one, decode)
        if isinstance(read, Reason):
            reasons.setdefault(owner, []).append(read)
        else:
            kept.append(owner)
            rows.append(distinct.setdefault(read, len(distinct)))
    values = np.frombuffer(b"".join(distinct), np.uint8).reshape(len(distinct), hash_type.bytes)
    return Asked(hash_type, values, kept, rows)


def _read(hash_type: HashType, given: Given, decode: Decode) -> bytes | Reason:
    """A whole hash, unless its form, its quality or its bits say that it means nothing."""
    value = decode(hash_type, [given.value])
    if value is None:
        return Reason.MALFORMED_HASH
    least = hash_type.min_quality
    if given.quality is not None and least is not None and given.quality < least:
        return Reason.LOW_QUALITY
    if is_degenerate(hash_type, value):
        return Reason.DEGENERATE
    return value


def decode_hex(hash_type: HashType, values: Sequence[str | bytes]) -> bytes | None:
    """Values written in hex digits of any case, and nothing else."""
    digits = hash_type.bits // 4
    joined = "".join(values)  # type: ignore[arg-type]
    try:
        raw = bytes.fromhex(joined)
    except ValueError:
        return None
    # `fromhex` skips white space: with the right number of characters, some of it leaves too few bytes.
    return raw if len(raw) * 2 == len(values) * digits and _all_have(digits, values) else None


def decode_raw(hash_type: HashType, values: Sequence[str | bytes]) -> bytes | None:
    """Values that are bytes already."""
    return b"".join(values) if _all_have(hash_type.bytes, values) else None  # type: ignore[arg-type]


def _all_have(length: int, values: Sequence[str | bytes]) -> bool:
    return len(values[0]) == length and (len(values) == 1 or set(map(len, values)) == {length})
