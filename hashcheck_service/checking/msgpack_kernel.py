"""Reading a plain batch in MessagePack (see `batch_kernel`)."""

from typing import Any

from hashcheck_core.search.multi_index.intrinsics import load8, load16, load32, store8, store16, store32
from hashcheck_core.search.multi_index.jit import inlined, kernel
from hashcheck_service.checking.batch_kernel import (
    BODY,
    HASH_ITEM,
    HASH_QUALITY,
    HASH_SPANS,
    HASH_TYPE,
    HASHES,
    ITEMS,
    MAX_HASHES,
    MAX_ITEMS,
    MAX_REF,
    NOT_PLAIN,
    REF_SPANS,
    SIZE,
    type_of,
)


@inlined
def _at_text(at: Any, end: Any) -> Any:
    """The size of the head of a MessagePack string at `at`; 0 where there is none, or it is longer than a body."""
    if at >= end:
        return 0
    kind = load8(at)
    if kind >= 0xA0 and kind <= 0xBF:
        return 1
    if kind == 0xD9:
        return 2
    return 3 if kind == 0xDA else 0


@inlined
def _at_bytes(at: Any, end: Any) -> Any:
    """As `_at_text`, for bytes of at most 255."""
    return 2 if at < end and load8(at) == 0xC4 else 0


@inlined
def _big16(at: Any) -> Any:
    return load8(at) << 8 | load8(at + 1)


@inlined
def _length(at: Any, head: Any) -> Any:
    """The length of the text or bytes whose head of so many bytes is at `at`."""
    if head == 1:
        return load8(at) & 31
    return load8(at + 1) if head == 2 else _big16(at + 1)


@inlined
def _fields(at: Any, end: Any) -> Any:
    """How many fields the small MessagePack map at `at` has; -1 where there is none."""
    if at < end and load8(at) >= 0x80 and load8(at) <= 0x8F:
        return load8(at) & 15
    return -1


@kernel
def _ascii(at: Any, end: Any) -> Any:
    """Whether all is plain ASCII that JSON would write as it stands."""
    for place in range(at, end):
        byte = load8(place)
        if byte < 32 or byte > 126:
            return False
    return True


@kernel
def _msgpack_hash(context: Any, at: Any, end: Any, item: Any, number: Any) -> Any:
    """Read one hash; the place behind it, 0 where it is not plain."""
    seen = 0
    store16(context[HASH_QUALITY] + 2 * number, 0xFFFF)
    store32(context[HASH_ITEM] + 4 * number, item)
    left = _fields(at, end)
    at += 1
    while left > 0:
        left -= 1
        if at + 8 > end:  # the least that can follow is a field of this length, or it is not plain
            return 0
        if load8(at) == 0xA4 and load32(at + 1) == 0x65707974 and not seen & 1:  # "type"
            seen |= 1
            at += 5
            head = _at_text(at, end)
            start = at + head
            if head == 0 or start + _length(at, head) > end:
                return 0
            at = start + _length(at, head)
            if not _ascii(start, at):
                return 0
            store8(context[HASH_TYPE] + number, type_of(context, start, at))
        elif (
            load8(at) == 0xA5 and load32(at + 1) == 0x756C6176 and load8(at + 5) == 101 and not seen & 2
        ):  # "value"
            seen |= 2
            at += 6
            head = _at_bytes(at, end)
            start = at + head
            if head == 0 or start + _length(at, head) > end:
                return 0
            at = start + _length(at, head)
            store32(context[HASH_SPANS] + 8 * number, start - context[BODY])
            store32(context[HASH_SPANS] + 8 * number + 4, at - context[BODY])
        elif load8(at) == 0xA7 and load32(at + 1) == 0x6C617571 and not seen & 4:  # "quality"
            if load16(at + 5) != 0x7469 or load8(at + 7) != 121:
                return 0
            seen |= 4
            at += 8
            if at >= end or load8(at) > 100:  # whole numbers of 0 to 127 are their own byte
                return 0
            store16(context[HASH_QUALITY] + 2 * number, load8(at))
            at += 1
        else:
            return 0
    return at if left == 0 and seen & 3 == 3 else 0


@inlined
def _at_array(at: Any, end: Any) -> Any:
    """The size of the head of a MessagePack array at `at`; 0 where there is none, or it is longer than a body."""
    if at + 3 > end:
        return 0
    if load8(at) >= 0x90 and load8(at) <= 0x9F:
        return 1
    return 3 if load8(at) == 0xDC else 0


@inlined
def _count(at: Any, head: Any) -> Any:
    return load8(at) & 15 if head == 1 else _big16(at + 1)


@kernel
def read_msgpack(context: Any) -> Any:
    """Read a plain batch in MessagePack. Returns the number of items, or NOT_PLAIN."""
    body = context[BODY]
    end = body + context[SIZE]
    if context[SIZE] < 16 or load8(body) != 0x81 or load8(body + 1) != 0xA5:
        return NOT_PLAIN
    if load32(body + 2) != 0x6D657469 or load8(body + 6) != 115:  # "items"
        return NOT_PLAIN
    at = body + 7
    head = _at_array(at, end)
    if head == 0:
        return NOT_PLAIN
    items = _count(at, head)
    if items == 0 or items > context[MAX_ITEMS]:
        return NOT_PLAIN
    at += head
    hashes = 0
    for item in range(items):
        if _fields(at, end) != 2:
            return NOT_PLAIN
        at += 1
        seen = 0
        while seen != 3:
            if at + 4 > end:
                return NOT_PLAIN
            if load32(at) == 0x666572A3 and not seen & 1:  # "ref"
                seen |= 1
                at += 4
                head = _at_text(at, end)
                start = at + head
                if head == 0 or start + _length(at, head) > end or _length(at, head) > context[MAX_REF]:
                    return NOT_PLAIN
                at = start + _length(at, head)
                if not _ascii(start, at):
                    return NOT_PLAIN
                store32(context[REF_SPANS] + 8 * item, start - head - body)
                store32(context[REF_SPANS] + 8 * item + 4, at - body)
            elif (
                at + 7 <= end and load32(at) == 0x736168A6 and load16(at + 4) == 0x6568 and not seen & 2
            ):  # "hashes"
                if load8(at + 6) != 115:
                    return NOT_PLAIN
                seen |= 2
                at += 7
                head = _at_array(at, end)
                if head == 0:
                    return NOT_PLAIN
                count = _count(at, head)
                if count == 0 or count > context[MAX_HASHES]:
                    return NOT_PLAIN
                at += head
                for _ in range(count):
                    at = _msgpack_hash(context, at, end, item, hashes)
                    if at == 0:
                        return NOT_PLAIN
                    hashes += 1
            else:
                return NOT_PLAIN
    if at != end:
        return NOT_PLAIN
    context[ITEMS] = items
    context[HASHES] = hashes
    return items
