"""Reading a plain batch in JSON (see `batch_kernel`)."""

from typing import Any, Final

from hashcheck_core.search.multi_index.intrinsics import (
    load8,
    load16,
    load32,
    load64,
    store8,
    store16,
    store32,
)
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

_QUOTE: Final = 34
_COMMA: Final = 44
_COLON: Final = 58


@inlined
def _blank(at: Any) -> Any:
    """The next byte that is no white space of JSON."""
    while load8(at) == 32 or load8(at) == 10 or load8(at) == 13 or load8(at) == 9:
        at += 1
    return at


@inlined
def _string_end(at: Any) -> Any:
    """The place of the quote that ends the string that begins at `at`; 0 where the string is not plain.

    The NUL that stands behind every bytes object ends it too.
    """
    byte = load8(at)
    while byte >= 32 and byte < 127 and byte != _QUOTE and byte != 92:
        at += 1
        byte = load8(at)
    return at if byte == _QUOTE else 0


@kernel
def _json_hash(context: Any, at: Any, item: Any, number: Any) -> Any:
    """Read one hash, whose opening brace is at `at`; the place behind its closing one, 0 where it is not plain."""
    seen = 0
    store16(context[HASH_QUALITY] + 2 * number, 0xFFFF)
    store32(context[HASH_ITEM] + 4 * number, item)
    while True:
        at = _blank(at + 1)
        if load8(at) != _QUOTE:
            return 0
        field = load8(at + 1)
        if field == 116:  # "type"
            if load32(at + 1) != 0x65707974 or load8(at + 5) != _QUOTE or seen & 1:
                return 0
            seen |= 1
            at = _blank(at + 6)
        elif field == 118:  # "value"
            if load32(at + 1) != 0x756C6176 or load16(at + 5) != 0x2265 or seen & 2:
                return 0
            seen |= 2
            at = _blank(at + 7)
        elif field == 113:  # "quality"
            if load64(at + 1) != 0x227974696C617571 or seen & 4:
                return 0
            seen |= 4
            at = _blank(at + 9)
        else:
            return 0
        if load8(at) != _COLON:
            return 0
        at = _blank(at + 1)
        if field == 113:
            value, digits = 0, 0
            byte = load8(at)
            first = byte
            while byte >= 48 and byte <= 57 and digits < 4:
                value = 10 * value + byte - 48
                digits += 1
                at += 1
                byte = load8(at)
            if digits == 0 or value > 100 or (first == 48 and digits > 1):
                return 0
            store16(context[HASH_QUALITY] + 2 * number, value)
        else:
            if load8(at) != _QUOTE:
                return 0
            start = at + 1
            at = _string_end(start)
            if at == 0:
                return 0
            if field == 116:
                store8(context[HASH_TYPE] + number, type_of(context, start, at))
            else:
                store32(context[HASH_SPANS] + 8 * number, start - context[BODY])
                store32(context[HASH_SPANS] + 8 * number + 4, at - context[BODY])
            at += 1
        at = _blank(at)
        byte = load8(at)
        if byte == 125:  # }
            return at + 1 if seen & 3 == 3 else 0
        if byte != _COMMA:
            return 0


@kernel
def read_json(context: Any) -> Any:
    """Read a plain batch in JSON. Returns the number of items, or NOT_PLAIN."""
    body = context[BODY]
    items, hashes = 0, 0
    at = _blank(body)
    if load8(at) != 123:  # {
        return NOT_PLAIN
    at = _blank(at + 1)
    if load32(at) != 0x65746922 or load16(at + 4) != 0x736D or load8(at + 6) != _QUOTE:  # "items"
        return NOT_PLAIN
    at = _blank(at + 7)
    if load8(at) != _COLON:
        return NOT_PLAIN
    at = _blank(at + 1)
    if load8(at) != 91:  # [
        return NOT_PLAIN
    while True:
        at = _blank(at + 1)
        if load8(at) != 123 or items == context[MAX_ITEMS]:
            return NOT_PLAIN
        seen = 0
        while True:
            at = _blank(at + 1)
            if load32(at) == 0x66657222 and load8(at + 4) == _QUOTE and not seen & 1:  # "ref"
                seen |= 1
                at = _blank(at + 5)
                if load8(at) != _COLON:
                    return NOT_PLAIN
                at = _blank(at + 1)
                if load8(at) != _QUOTE:
                    return NOT_PLAIN
                start = at + 1
                at = _string_end(start)
                if at == 0 or at - start > context[MAX_REF]:
                    return NOT_PLAIN
                at += 1
                store32(context[REF_SPANS] + 8 * items, start - 1 - body)
                store32(context[REF_SPANS] + 8 * items + 4, at - body)
            elif load64(at) == 0x2273656873616822 and not seen & 2:  # "hashes"
                seen |= 2
                at = _blank(at + 8)
                if load8(at) != _COLON:
                    return NOT_PLAIN
                at = _blank(at + 1)
                if load8(at) != 91:
                    return NOT_PLAIN
                most = hashes + context[MAX_HASHES]
                while True:
                    at = _blank(at + 1)
                    if load8(at) != 123 or hashes == most:
                        return NOT_PLAIN
                    at = _json_hash(context, at, items, hashes)
                    if at == 0:
                        return NOT_PLAIN
                    hashes += 1
                    at = _blank(at)
                    if load8(at) == 93:  # ]
                        break
                    if load8(at) != _COMMA:
                        return NOT_PLAIN
                at += 1
            else:
                return NOT_PLAIN
            at = _blank(at)
            if load8(at) == 125:
                break
            if load8(at) != _COMMA:
                return NOT_PLAIN
        if seen != 3:
            return NOT_PLAIN
        items += 1
        at = _blank(at + 1)
        if load8(at) == 93:
            break
        if load8(at) != _COMMA:
            return NOT_PLAIN
    at = _blank(at + 1)
    if load8(at) != 125:
        return NOT_PLAIN
    at = _blank(at + 1)
    if at - body != context[SIZE]:
        return NOT_PLAIN
    context[ITEMS] = items
    context[HASHES] = hashes
    return items
