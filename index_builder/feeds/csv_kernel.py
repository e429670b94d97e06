"""One pass over a block of csv lines: which are plain, and of those the verdict and the hash.

A line is plain where each cell is whole as it stands, in quotes or without, with no quote in it; where there is no NUL
and no stray CR, and the right number of cells; and where it is not too long. Of a plain line the verdict is what
`vetting` would say. Any other is `ODD` and not looked into: `csv_blocks` gives it to the readers of single rows.
"""

from typing import Any, Final

import numpy as np

from hashcheck_core.search.multi_index.jit import kernel
from index_builder.feeds.formats.lines import MAX_LINE_BYTES
from index_builder.feeds.formats.record import Reason

TAKEN: Final = 0
ODD: Final = 1
BLANK: Final = 2
_FIRST_REASON: Final = 3
# Verdict r + 3 is REASONS[r].
REASONS: Final = (
    Reason.MALFORMED_ID,
    Reason.UNMAPPED_CATEGORY,
    Reason.CATEGORY_NOT_WANTED,
    Reason.UNSUPPORTED_TYPE,
    Reason.MALFORMED_HASH,
    Reason.EMPTY_FILE,
    Reason.DEGENERATE,
    Reason.MALFORMED_QUALITY,
    Reason.LOW_QUALITY,
)
VERDICTS: Final = {reason: _FIRST_REASON + r for r, reason in enumerate(REASONS)}
_MALFORMED_ID: Final = VERDICTS[Reason.MALFORMED_ID]
_UNMAPPED: Final = VERDICTS[Reason.UNMAPPED_CATEGORY]
_NOT_WANTED: Final = VERDICTS[Reason.CATEGORY_NOT_WANTED]
_UNSUPPORTED: Final = VERDICTS[Reason.UNSUPPORTED_TYPE]
_MALFORMED_HASH: Final = VERDICTS[Reason.MALFORMED_HASH]
_EMPTY_FILE: Final = VERDICTS[Reason.EMPTY_FILE]
_DEGENERATE: Final = VERDICTS[Reason.DEGENERATE]
_MALFORMED_QUALITY: Final = VERDICTS[Reason.MALFORMED_QUALITY]
_LOW_QUALITY: Final = VERDICTS[Reason.LOW_QUALITY]

MAX_ID_BYTES: Final = 256  # an id has as many characters at most; of more bytes a person's reader counts them
# Columns of the table of hash types.
WIDTH, MARGIN, MIN_QUALITY, HAS_EMPTY = range(4)
# Columns of what is said of each line.
VERDICT, KIND, CATEGORY, ID = range(4)

DIGITS: Final = np.full(256, 255, np.uint8)
for _value, _digit in enumerate("0123456789abcdef"):
    DIGITS[ord(_digit)] = DIGITS[ord(_digit.upper())] = _value
ONES: Final = np.array([value.bit_count() for value in range(256)], np.uint8)


@kernel
def _find(data: Any, start: Any, end: Any, names: Any, bounds: Any, likely: Any) -> Any:
    """Which of the names the cell is; -1 for none. `likely` is tried first."""
    count = len(bounds) - 1
    for attempt in range(-1, count):
        which = likely if attempt < 0 else attempt
        at = bounds[which]
        if bounds[which + 1] - at == end - start:
            same = True
            for i in range(end - start):
                if data[start + i] != names[at + i]:
                    same = False
                    break
            if same:
                return which
    return -1


@kernel
def _small_number(data: Any, start: Any, end: Any) -> Any:
    """The number of 0 to 100 in a cell of at most three digits; -1 for anything else."""
    if end - start > 3:
        return -1
    value = 0
    for i in range(start, end):
        digit = data[i] - 48
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value if value <= 100 else -1


@kernel
def _hash(data: Any, start: Any, width: Any, digits: Any, ones: Any, out: Any) -> Any:
    """Read `width` bytes of hex into `out`; how many bits are set, -1 where it is not hex."""
    bits = 0
    bad = np.uint8(0)
    for i in range(width):
        high, low = digits[data[start + 2 * i]], digits[data[start + 2 * i + 1]]
        bad |= (high | low) & np.uint8(240)
        value = np.uint8((high << 4) | low)
        out[i] = value
        bits += ones[value]
    return -1 if bad else bits


@kernel
def _closing(data: Any, position: Any) -> Any:
    """Where the quote is that closes a cell; 0 where that is not plain to see."""
    while position < len(data):
        byte = data[position]
        if byte == 34:
            after = data[position + 1] if position + 1 < len(data) else 10
            return position if after == 44 or after == 10 or after == 13 else 0
        if byte == 10 or byte == 13 or byte == 0:
            return 0
        position += 1
    return 0


@kernel
def read_lines(
    data: Any,
    utf8: Any,
    places: Any,
    width: Any,
    type_names: Any,
    type_bounds: Any,
    types: Any,
    empty: Any,
    category_names: Any,
    category_bounds: Any,
    category_codes: Any,
    digits: Any,
    ones: Any,
    cells: Any,
    starts: Any,
    said: Any,
    codes: Any,
    ids: Any,
) -> Any:
    """Read the lines of `data`, uint8; how many bytes of `ids` were written.

    In: `utf8`, whether all of it is UTF-8; `places` of id, type, value, quality and category among `width` cells; the
    names of types and category codes, one after the other, and their bounds; `types`, a row for each; `empty`, the
    digest of an empty file for each; `category_codes`, -1 for one that is not wanted.
    Out, by line: `starts`, where it begins, and one more; `said`, its verdict and if it is taken also its type,
    category and the number of its id. `codes` are the hashes of the lines taken. `ids` are their ids, each with a
    line end, one for neighbours that share it. `cells` is room for the bounds of cells.
    """
    size = len(data)
    line = position = written = taken = id_count = 0
    id_start = id_end = 0
    kind = category = 0
    while position < size:
        start = position
        cell = strange = returns = closed = 0
        high = False
        cells[0] = start
        while position < size:
            byte = data[position]
            if byte <= 44:
                if byte == 44:
                    if cell < width:
                        cells[2 * cell + 1] = closed if closed else position
                        cells[2 * cell + 2] = position + 1
                    cell += 1
                    closed = 0
                elif byte == 10:
                    break
                elif byte == 13:
                    returns += 1
                elif byte == 34 and cell < width and position == cells[2 * cell]:
                    cells[2 * cell] = position + 1
                    closed = _closing(data, position + 1)
                    if closed == 0:
                        strange += 1
                    else:
                        for i in range(position + 1, closed):
                            high |= data[i] >= 128
                        position = closed
                elif byte == 34 or byte == 0:
                    strange += 1
            elif byte >= 128:
                high = True
            position += 1
        end = position
        position = min(position + 1, size)
        starts[line] = start
        if end > start and data[end - 1] == 13:
            end -= 1
            returns -= 1
        if cell < width:
            cells[2 * cell + 1] = closed if closed else end
        verdict = TAKEN
        if position - start > MAX_LINE_BYTES or strange or returns or (high and not utf8):
            verdict = ODD
        elif end == start:
            verdict = BLANK
        elif cell + 1 != width:
            verdict = ODD
        if verdict == TAKEN:
            a, b = cells[2 * places[0]], cells[2 * places[0] + 1]
            quality_start, quality_end = cells[2 * places[3]], cells[2 * places[3] + 1]
            category_found = _find(
                data,
                cells[2 * places[4]],
                cells[2 * places[4] + 1],
                category_names,
                category_bounds,
                category,
            )
            category = max(category_found, 0)
            if a == b:
                verdict = _MALFORMED_ID
            elif b - a > MAX_ID_BYTES:
                verdict = ODD
            elif category_found < 0:
                verdict = _UNMAPPED
            elif category_codes[category] < 0:
                verdict = _NOT_WANTED
            else:
                kind_found = _find(
                    data, cells[2 * places[1]], cells[2 * places[1] + 1], type_names, type_bounds, kind
                )
                kind = max(kind_found, 0)
                value_start, value_end = cells[2 * places[2]], cells[2 * places[2] + 1]
                hash_bytes = types[kind, WIDTH]
                set_bits = -1
                if kind_found >= 0 and value_end - value_start == 2 * hash_bytes:
                    set_bits = _hash(data, value_start, hash_bytes, digits, ones, codes[taken])
                if kind_found < 0:
                    verdict = _UNSUPPORTED
                elif set_bits < 0:
                    verdict = _MALFORMED_HASH
                elif types[kind, HAS_EMPTY] and (codes[taken, :hash_bytes] == empty[kind, :hash_bytes]).all():
                    verdict = _EMPTY_FILE
                elif set_bits < types[kind, MARGIN] or set_bits > 8 * hash_bytes - types[kind, MARGIN]:
                    verdict = _DEGENERATE
                elif types[kind, MIN_QUALITY] >= 0 and quality_end > quality_start:
                    quality = _small_number(data, quality_start, quality_end)
                    if quality < 0:
                        verdict = _MALFORMED_QUALITY
                    elif quality < types[kind, MIN_QUALITY]:
                        verdict = _LOW_QUALITY
        said[line, VERDICT] = verdict
        if verdict == TAKEN:
            known = id_count > 0 and id_end - id_start == b - a
            for i in range(b - a if known else 0):
                if data[id_start + i] != data[a + i]:
                    known = False
                    break
            if not known:
                ids[written : written + b - a] = data[a:b]
                ids[written + b - a] = 10
                written += b - a + 1
                id_count += 1
                id_start, id_end = a, b
            said[line, KIND] = kind
            said[line, CATEGORY] = category_codes[category]
            said[line, ID] = id_count - 1
            taken += 1
        line += 1
    starts[line] = size
    return written
