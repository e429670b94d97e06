"""The layout to choose for n rows: of all that lose nothing and fit the memory, the one the cost model likes best."""

import math
from collections.abc import Iterator

from hashcheck_core.search.multi_index.cost import expected_nanoseconds, flat_nanoseconds
from hashcheck_core.search.multi_index.layout import MAX_CHUNK_RADIUS, MAX_CHUNKS, Layout
from hashcheck_core.search.multi_index.tables import index_bytes

_FEWEST_ROWS = (
    1000  # a scan of fewer takes a microsecond or two, and their tables would outgrow them many times
)
_SMALL_BYTES = 4_000_000  # an index this small may take what it likes of memory for each row


def choose_layout(rows: int, bits: int, radius: int, bytes_per_row: float | None = None) -> Layout | None:
    """The best layout for `rows` uniform rows, or None where the flat scan is expected to be as fast.

    `bytes_per_row`: the most that codes and tables together may take for each row; see `memory_limit`.
    """
    if rows < _FEWEST_ROWS:
        return None
    limit = (memory_limit(rows) if bytes_per_row is None else bytes_per_row) * rows + _SMALL_BYTES
    best: Layout | None = None
    best_cost = flat_nanoseconds(rows, bits)
    for layout in _candidates(rows, bits, radius):
        if index_bytes(layout, rows) > limit:
            continue
        cost = expected_nanoseconds(layout, rows)
        if cost < best_cost:
            best, best_cost = layout, cost
    return best


def memory_limit(rows: int) -> float:
    """Bytes for each row, codes and tables: 125 up to 10 million rows, 90 from 131 million on, between them between."""
    share = (math.log2(max(rows, 1)) - math.log2(10e6)) / (math.log2(131e6) - math.log2(10e6))
    return 125 - 35 * min(max(share, 0.0), 1.0)


def _candidates(rows: int, bits: int, radius: int) -> Iterator[Layout]:
    """Layouts of two kinds of chunks: `wide` ones at radius q and the rest at q - 1, widths as even as can be."""
    signature_bits = _signature_bits(rows)
    most_address = max(3, min(int(math.log2(max(rows, 8))), 24))
    address_choices = range(max(2, most_address - 9), most_address + 1)
    for m in range(1, min(radius + 1, bits // 4, MAX_CHUNKS) + 1):
        q, wide = divmod(radius + 1, m)
        if q > MAX_CHUNK_RADIUS or (q == MAX_CHUNK_RADIUS and wide):
            continue
        radii = (q,) * wide + (q - 1,) * (m - wide)
        for widths in _widths(bits, m, wide):
            seen = set()
            for high in address_choices if wide else address_choices[:1]:
                for low in address_choices:
                    address = tuple(min(w, high if c < wide else low) for c, w in enumerate(widths))
                    if address in seen or signature_bits + max(address) > bits:
                        continue
                    seen.add(address)
                    yield Layout(bits, widths, address, radii, radius, signature_bits)


def _widths(bits: int, m: int, wide: int) -> Iterator[tuple[int, ...]]:
    """`wide` chunks of some width, not narrower than the rest, which share what is left."""
    if wide in (0, m):
        yield _even(bits, m)
        return
    base = bits // m
    for width in range(base, min(base + 8, bits // wide) + 1):
        rest = bits - width * wide
        if rest >= (m - wide) * 3:
            yield (width,) * wide + _even(rest, m - wide)


def _even(bits: int, parts: int) -> tuple[int, ...]:
    base, more = divmod(bits, parts)
    return (base + 1,) * more + (base,) * (parts - more)


def _signature_bits(rows: int) -> int:
    """16, less what the row number needs beyond 24 bits."""
    return max(8, 16 - max(0, (rows - 1).bit_length() - 24))
