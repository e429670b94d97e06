"""Plain batches: the short way from the bytes of a large request to its hashes (`batch_kernel`).

It gives the same batch as the usual way does, or none at all. It may be called in any thread, and holds the GIL for
some microseconds only.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.degenerate import margin
from hashcheck_core.hash_types import HashType
from hashcheck_core.snapshot.snapshot import HashTable
from hashcheck_service.checking import batch_kernel as k
from hashcheck_service.checking.hashes import Asked, Batch
from hashcheck_service.checking.json_kernel import read_json
from hashcheck_service.checking.msgpack_kernel import read_msgpack
from hashcheck_service.checking.reasons import Reason

_REASONS: Final = {
    k.MALFORMED: Reason.MALFORMED_HASH,
    k.LOW_QUALITY: Reason.LOW_QUALITY,
    k.DEGENERATE: Reason.DEGENERATE,
}
_LEAST_HASH: Final = 12  # bytes of a request are more than this for each hash, and each item
_PADDING: Final = 16
_NULS: Final = bytes(_PADDING)  # behind a body: readers look a word ahead
_DIGITS: Final = np.full(256, 16, np.uint8)
for _value, _digit in enumerate("0123456789abcdef"):
    _DIGITS[ord(_digit)] = _DIGITS[ord(_digit.upper())] = _value
_FORMS: Final[Mapping[str, tuple[Callable[[Any], int], Callable[[bytes], str]]]] = {
    "json": (read_json, msgspec.json.Decoder(str).decode),
    "msgpack": (read_msgpack, msgspec.msgpack.Decoder(str).decode),
}
_SEED: Final = secrets.randbits(63)
_threads = threading.local()


class PlainRefs(Sequence[str]):
    """The refs of a plain batch, as they stand in its body."""

    def __init__(self, body: bytes, spans: NDArray[np.uint32], decode: Callable[[bytes], str]) -> None:
        """`spans`: uint32 (items, 2), where each ref begins and ends, as it is encoded."""
        self.body = body
        self.spans = spans
        self._decode = decode

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        start, end = self.spans[place].tolist()
        return self._decode(self.body[start:end])


@dataclass(slots=True)
class _Work:
    """One thread's buffer. `context` holds addresses in it."""

    room: int
    buffer: NDArray[np.uint8]
    view: memoryview
    context: NDArray[np.int64]
    places: dict[int, int]  # of each part in the buffer


def read_plain(
    body: bytes,
    form: str,
    tables: Mapping[str, HashTable],
    max_items: int,
    max_hashes: int,
    max_ref: int,
) -> tuple[Batch, int] | None:
    """The batch in `body`, and how many hashes it has; None where it is not plain.

    Args:
        form: "json" or "msgpack".
        max_items, max_hashes, max_ref: of a request, of an item, and of the characters of a ref.
    """
    work = _work(len(body))
    context = work.context
    work.view[: len(body)] = body
    work.view[len(body) : len(body) + _PADDING] = _NULS
    context[k.SIZE] = len(body)
    context[k.MAX_ITEMS], context[k.MAX_HASHES], context[k.MAX_REF] = max_items, max_hashes, max_ref
    kinds = _kinds(tables)
    context[k.NAMES], context[k.NAME_ENDS], context[k.KINDS], context[k.TYPES] = kinds.addresses
    context[k.HEX] = form == "json"
    read, decode = _FORMS[form]
    items = read(context)
    if items == k.NOT_PLAIN:
        return None
    k.take(context)
    hashes = int(context[k.HASHES])
    spans = _part(work, k.REF_SPANS, np.uint32, 2 * items).reshape(items, 2).copy()
    counts = _part(work, k.COUNTS, np.int64, k.COUNTS_SIZE * (len(tables) + 1)).tolist()
    batch = Batch(PlainRefs(body, spans, decode), asked := [])
    for place, table in enumerate(tables.values()):
        given, distinct, kept, first_byte, first_kept = counts[
            place * k.COUNTS_SIZE : (place + 1) * k.COUNTS_SIZE
        ]
        if kept < given:
            _say_why(work, place, hashes, batch.reasons)
        if distinct:
            width = table.hash_type.bytes
            values = _part(work, k.CODES, np.uint8, distinct * width, first_byte).reshape(distinct, width)
            owners = _part(work, k.KEPT_OWNERS, np.int32, kept, 4 * first_kept).tolist()
            rows = (
                None
                if kept == distinct
                else _part(work, k.KEPT_ROWS, np.int32, kept, 4 * first_kept).tolist()
            )
            asked.append(Asked(table.hash_type, values.copy(), owners, rows))
    if counts[len(tables) * k.COUNTS_SIZE]:
        _say_why(work, len(tables), hashes, batch.reasons)
    return batch, hashes


def _say_why(work: _Work, place: int, hashes: int, reasons: dict[int, list[Reason]]) -> None:
    """Tell `reasons`, by item, why hashes of one type, or of no type, cannot be checked."""
    types = _part(work, k.HASH_TYPE, np.uint8, hashes)
    found = _part(work, k.FOUND, np.uint8, hashes)
    owners = _part(work, k.HASH_ITEM, np.int32, hashes)
    unknown = place == work.context[k.TYPES]
    for number in np.flatnonzero(types == place).tolist():
        reason = Reason.UNSUPPORTED_TYPE if unknown else _REASONS.get(int(found[number]))
        if reason is not None:
            reasons.setdefault(int(owners[number]), []).append(reason)


def write_plain(refs: PlainRefs, comma: bytes, head: bytes, tail: bytes) -> memoryview:
    """An answer for each of `refs`: `head` and `tail` around it, and `comma` between two answers."""
    parts = np.frombuffer(b"".join((comma, head, tail, refs.body, _NULS)), np.uint8)
    # All refs together are shorter than the body. What is not written takes no memory.
    most = len(refs.body) + len(refs) * (len(comma) + len(head) + len(tail)) + _PADDING
    out = np.empty(most, np.uint8)
    return out.data[: k.write(parts, refs.spans, len(comma), len(head), len(tail), out)]


def warm() -> None:
    """Have the kernels compiled or loaded before the first request."""
    request = {"items": [{"ref": "", "hashes": [{"type": "", "value": ""}]}]}
    for form, body in (("json", msgspec.json.encode(request)), ("msgpack", msgspec.msgpack.encode(request))):
        if (read := read_plain(body, form, {}, 1, 1, 1)) is not None:
            refs = read[0].refs
            assert isinstance(refs, PlainRefs)
            write_plain(refs, b"", b"", b"")


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What the kernels are told of the types of a list. `kept` is what the addresses lead to."""

    addresses: tuple[int, int, int, int]  # of the names, their ends and what is known of each; how many
    kept: tuple[Any, ...]


_known_kinds: dict[tuple[HashType, ...], _Kinds] = {}


def _kinds(tables: Mapping[str, HashTable]) -> _Kinds:
    types = tuple([table.hash_type for table in tables.values()])
    known = _known_kinds.get(types)
    if known is None:
        names = np.frombuffer("".join(tables).encode("ascii") + _NULS, np.uint8)
        ends = np.cumsum([len(name) for name in tables], dtype=np.int32)
        of_each = np.array([(t.bytes, t.min_quality or 0, margin(t)) for t in types], np.int64)
        addresses = names.ctypes.data, ends.ctypes.data, of_each.ctypes.data, len(types)
        known = _known_kinds[types] = _Kinds(addresses, (names, ends, of_each))
    return known


def _work(size: int) -> _Work:
    """This thread's buffer, with room for a body of `size` bytes."""
    work: _Work | None = getattr(_threads, "work", None)
    if work is None or work.room < size:
        work = _threads.work = _new_work(max(size, 1 << 16))
    return work


def _new_work(room: int) -> _Work:
    most = room // _LEAST_HASH + 1  # hashes, and items
    sizes = {
        k.BODY: room + _PADDING,
        k.REF_SPANS: 8 * most,
        k.HASH_ITEM: 4 * most,
        k.HASH_TYPE: most,
        k.HASH_QUALITY: 2 * most,
        k.HASH_SPANS: 8 * most,
        k.CODES: room + 64,
        k.KEPT_OWNERS: 4 * most,
        k.KEPT_ROWS: 4 * most,
        k.FOUND: most,
        k.SLOTS: 4 * (4 * most),
        k.COUNTS: 8 * k.COUNTS_SIZE * 256,  # a type is one byte
    }
    places, end = {}, 0
    for part, size in sizes.items():
        places[part] = end
        end += -(-size // 64) * 64
    buffer = np.empty(end, np.uint8)
    context = np.zeros(k.FULL_CONTEXT_SIZE, np.int64)
    for part, place in places.items():
        context[part] = buffer.ctypes.data + place
    context[k.DIGITS] = _DIGITS.ctypes.data
    context[k.SEED] = _SEED
    return _Work(room, buffer, buffer.data, context, places)


def _part(work: _Work, part: int, kind: Any, count: int, first: int = 0) -> Any:
    """So many values of a part of the buffer, from byte `first` of it."""
    return np.frombuffer(work.buffer, kind, count, work.places[part] + first)
