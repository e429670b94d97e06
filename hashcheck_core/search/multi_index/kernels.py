"""The search: a pipeline of prefetches over the probes of all chunks, and the few rows that pass compared whole.

A task is one group of probes for one query. While one task's buckets are scanned, the next one's bucket bounds
are read and its signatures prefetched, and the one after has its lines of bounds prefetched; a batch interleaves
the tasks of several queries. Entries whose signature is near enough ("survivors", a few in a thousand) queue up,
their row numbers and then their codes prefetched, and are compared in bulk. A row is answered once: by the first
chunk that finds it.

Work is counted as it comes (probes, entries before they are scanned, survivors before they are compared, matches), in
picoseconds by the prices in the context. A query that would exceed its budget is abandoned and scanned flat.
Nothing here checks a bound: `engine` hands over arrays that `tables_are_sound` has passed.
"""

from typing import Any, Final

import numpy as np

from hashcheck_core.search.multi_index.bits import cut, permute
from hashcheck_core.search.multi_index.intrinsics import (
    load16,
    load32,
    load64,
    load64u,
    near_signatures,
    popcount,
    prefetch,
    store64,
    store64u,
    trailing_zeros,
)
from hashcheck_core.search.multi_index.jit import inlined, kernel
from hashcheck_core.search.multi_index.probes import GROUP_PROBES
from hashcheck_core.search.multi_index.scan import flat_scan, row_distance

# The context: int64 values, most of them addresses. First the index, then the radius, then the thread's buffers.
(
    CODES, WIDTH, WORDS, BITS, SIGNATURE_BITS, CHUNKS, STRIDE, SIGNATURES, IDS, BUCKETS, STARTS, BYTE_TABLE, ALIGN,
    RADIUS, GROUPS, GROUP_COUNT, PROBES, LINES, LIMITS, BUDGET, PRICE_PROBE, PRICE_ENTRY, PRICE_SURVIVOR,
    SCRATCH, OUT, ROOM, SPENT, PERMUTED, ROWS, TEMP, SCANNED, PRICE_MATCH,
) = range(32)  # fmt: skip
CONTEXT_SIZE: Final = 32

QUERIES_AT_ONCE: Final = 8  # interleaved in a batch
_QUEUE: Final = 160  # survivors that wait before they are compared
_LINES_AT_ONCE: Final = 256  # signature lines with survivors that wait before they are taken apart
_SURVIVORS: Final = _QUEUE + 32 * (_LINES_AT_ONCE + 1) + 64
_FAR: Final = 512  # signatures prefetched of a bucket before its scan; beyond, the scan prefetches for itself

# Scratch, in int64: a difference, then three slots of the pipeline with bucket places and lengths, then queues.
_PLACES: Final = 16
_LENGTHS: Final = _PLACES + 3 * GROUP_PROBES
_SLOT_SIGNATURE: Final = _LENGTHS + 3 * GROUP_PROBES
_SLOT_ADDRESS: Final = _SLOT_SIGNATURE + 8
_HITS: Final = _SLOT_ADDRESS + 8
_FOUND: Final = _HITS + 2 * (_LINES_AT_ONCE + 1)
SCRATCH_SIZE: Final = _FOUND + _SURVIVORS


@kernel
def _resolve(context: Any, found: Any, count: Any) -> Any:
    """Survivors from place among signatures to (query, chunk, row); prefetch each row's code."""
    width = context[WIDTH]
    signature_bits = context[SIGNATURE_BITS]
    codes = context[CODES]
    ids = context[IDS]
    signatures = context[SIGNATURES]
    stride = context[STRIDE]
    for k in range(count):
        survivor = load64(found + 8 * k)
        place = survivor & 0xFFFFFFFFFFFF
        row = load32(ids + 3 * place) & 0xFFFFFF
        if signature_bits < 16:
            row |= (load16(signatures + 2 * place) >> signature_bits) << 24
        code = codes + width * row
        prefetch(code)
        if width & (width - 1) != 0 or width > 32:  # such a code can lie across a line
            prefetch(code + width - 1)
        store64(found + 8 * k, (survivor >> 48) << 48 | (place // stride) << 40 | row)


@inlined
def _found_before(context: Any, difference: Any, chunk: Any) -> Any:
    """Whether an earlier chunk finds this row too; `difference`: the permuted XOR of row and query."""
    bits = context[BITS]
    for c in range(chunk):
        most = load64(context[LIMITS] + 8 * c)
        if most >= 0:
            start = load64(context[STARTS] + 16 * c)
            address = load64(context[STARTS] + 16 * c + 8)
            apart = popcount(np.uint64(cut(difference, start, address, bits)))
            if apart <= most:
                signature = cut(difference, start + address, context[SIGNATURE_BITS], bits)
                if apart + popcount(np.uint64(signature)) <= load64(
                    context[LIMITS] + 8 * (context[CHUNKS] + c)
                ):
                    return True
    return False


@kernel
def _compare(context: Any, found: Any, count: Any, queries: Any, matches: Any) -> Any:
    """Compare the codes of resolved survivors with their queries; the number of matches so far."""
    width = context[WIDTH]
    words = context[WORDS]
    difference = context[SCRATCH]
    codes = context[CODES]
    radius = context[RADIUS]
    spent = context[SPENT]
    for k in range(count):
        survivor = load64(found + 8 * k)
        query = survivor >> 48
        cost = load64(spent + 8 * query)
        if cost < 0:
            continue
        row = survivor & 0xFFFFFFFFFF
        code = codes + width * row
        distance = row_distance(code, queries + width * query, width)
        if distance > radius:
            continue
        cost += context[PRICE_MATCH]  # known only now; a family can be nothing but matches
        store64(spent + 8 * query, cost if cost <= context[BUDGET] else np.int64(-1))
        permute(code, width, context[BYTE_TABLE], words, difference)
        permuted = context[PERMUTED] + 8 * words * query
        for word in range(words):
            store64u(difference + 8 * word, load64u(difference + 8 * word) ^ load64u(permuted + 8 * word))
        if not _found_before(context, difference, (survivor >> 40) & 0xFF):
            if matches < context[ROOM]:
                store64(context[OUT] + 8 * matches, query << 48 | distance << 32 | row)
            matches += 1
    return matches


@kernel
def _take_apart(ids: Any, hits: Any, count: Any, found: Any, survivors: Any, query: Any) -> Any:
    """Queue the survivors of `count` signature lines and prefetch their row numbers."""
    one = np.uint64(1)
    for k in range(count):
        lanes = load64u(hits + 16 * k)
        first = load64(hits + 16 * k + 8)
        while lanes != 0:
            place = first + trailing_zeros(lanes)
            lanes &= lanes - one
            prefetch(ids + 3 * place)
            store64(found + 8 * survivors, query << 48 | place)
            survivors += 1
    return survivors


@kernel
def _scan_abandoned(context: Any, queries: Any, count: Any, matches: Any) -> Any:
    """Scan flat for the queries marked in SPENT, in place of what OUT has of them; the matches then, or -1."""
    spent = context[SPENT]
    out = context[OUT]
    room = context[ROOM]
    context[SCANNED] = 0
    if matches > room:
        return np.int64(-1)
    abandoned = np.int64(0)
    for query in range(count):
        abandoned += np.int64(load64(spent + 8 * query) < 0)
    if abandoned == 0:
        return matches
    kept = np.int64(0)
    for k in range(matches):
        key = load64(out + 8 * k)
        if load64(spent + 8 * (key >> 48)) >= 0:
            store64(out + 8 * kept, key)
            kept += 1
    for query in range(count):
        if load64(spent + 8 * query) < 0:
            hashed = queries + context[WIDTH] * query
            into = out + 8 * kept
            made = flat_scan(
                context[CODES],
                context[WIDTH],
                context[ROWS],
                hashed,
                context[RADIUS],
                into,
                room - kept,
                context[TEMP],
            )
            if made < 0:
                return np.int64(-1)
            for k in range(made):
                store64(into + 8 * k, load64(into + 8 * k) | np.int64(query) << 48)
            kept += made
    context[SCANNED] = abandoned
    return kept


@kernel
def search(context: Any, hashes: Any) -> Any:
    """Search `hashes`, uint8 (q, bits / 8) with q < 32,768.

    Matches go to OUT as unsorted keys query << 48 | distance << 32 | row. Answers how many there are, or -1 where
    they do not fit in ROOM: then ask again with more. SCANNED is how many queries were scanned flat.
    """
    count = hashes.shape[0]
    queries = np.int64(hashes.ctypes.data)
    width = context[WIDTH]
    words = context[WORDS]
    bits = context[BITS]
    signature_bits = context[SIGNATURE_BITS]
    stride = context[STRIDE]
    signatures = context[SIGNATURES]
    ids = context[IDS]
    groups = context[GROUPS]
    group_count = context[GROUP_COUNT]
    probes = context[PROBES]
    buckets = context[BUCKETS]
    budget = context[BUDGET]
    price_entry = context[PRICE_ENTRY]
    price_survivor = context[PRICE_SURVIVOR]
    price_probe = context[PRICE_PROBE]
    align = context[ALIGN]
    spent = context[SPENT]
    scratch = context[SCRATCH]
    permuted = context[PERMUTED]
    mask = (np.int64(1) << signature_bits) - 1
    places = scratch + 8 * _PLACES
    lengths = scratch + 8 * _LENGTHS
    slot_signature = scratch + 8 * _SLOT_SIGNATURE
    slot_address = scratch + 8 * _SLOT_ADDRESS
    hits = scratch + 8 * _HITS
    found = scratch + 8 * _FOUND
    survivors = np.int64(0)
    hit_lines = np.int64(0)
    matches = np.int64(0)
    one = np.uint64(1)
    for at in range(count):
        query = np.int64(at)
        permute(queries + width * query, width, context[BYTE_TABLE], words, permuted + 8 * words * query)
        store64(spent + 8 * query, np.int64(0) if budget > 0 else np.int64(-1))
    for block in range(0, count if budget > 0 else 0, QUERIES_AT_ONCE):
        in_block = np.int64(min(QUERIES_AT_ONCE, count - block))
        tasks = group_count * in_block
        group_a = np.int64(0)  # the task each stage is at, as group and query of the block
        query_a = np.int64(0)
        group_b = np.int64(0)
        query_b = np.int64(0)
        group_c = np.int64(0)
        query_c = np.int64(0)
        slot = np.int64(0)
        for task in range(tasks + 2):
            slot_b = (slot + 2) % 3
            slot_c = (slot + 1) % 3
            at_b = 8 * GROUP_PROBES * slot_b
            at_c = 8 * GROUP_PROBES * slot_c
            # Stage A: address and signature of the query; prefetch the bounds of its buckets.
            if task < tasks:
                group = groups + 64 * group_a
                hashed = permuted + 8 * words * (block + query_a)
                start = load64(group + 24)
                address_bits = load64(group + 32)
                table = buckets + 4 * load64(group + 40)
                address = cut(hashed, start, address_bits, bits)
                store64(slot_signature + 8 * slot, cut(hashed, start + address_bits, signature_bits, bits))
                store64(slot_address + 8 * slot, address)
                lines = context[LINES] + 8 * (load64(group + 56) & 0xFFFFFFFF)
                for k in range(load64(group + 56) >> 32):
                    bucket = address ^ load32(lines + 8 * k)
                    prefetch(table + 4 * bucket)
                    if popcount(np.uint64(~bucket & 15)) <= load32(lines + 8 * k + 4):
                        prefetch(table + 4 * (bucket | 15) + 4)  # the last bucket of a line ends in the next
            # Stage B, one task behind: bounds of the buckets, and what they would cost.
            count_b = np.int64(0)
            if task >= 1 and task <= tasks and load64(spent + 8 * (block + query_b)) >= 0:
                group = groups + 64 * group_b
                chunk_place = load64(group) * stride
                count_b = load64(group + 16)
                entries = np.int64(0)
                address = load64(slot_address + 8 * slot_b)
                table = buckets + 4 * load64(group + 40)
                probe = probes + 8 * load64(group + 8)
                for k in range(count_b):
                    bound = table + 4 * (address ^ load32(probe + 8 * k))
                    begin = load32(bound)
                    length = load32(bound + 4) - begin
                    store64(places + at_b + 8 * k, chunk_place + begin)
                    store64(lengths + at_b + 8 * k, length)
                    entries += length
                cost = load64(spent + 8 * (block + query_b)) + entries * price_entry + count_b * price_probe
                if cost > budget:
                    cost = np.int64(-1)
                    count_b = np.int64(0)
                store64(spent + 8 * (block + query_b), cost)
            # Stage C, two behind: scan the buckets, while stage B's are prefetched in step.
            count_c = np.int64(0)
            query = block + query_c
            most = np.int64(0)
            turned = np.int64(0)
            signature = np.int64(0)
            if task >= 2 and load64(spent + 8 * query) >= 0:
                group = groups + 64 * group_c
                count_c = load64(group + 16)
                most = load64(group + 48)
                turned = probes + 8 * load64(group + 8) + 4
                signature = load64(slot_signature + 8 * slot_c)
            for k in range(max(count_b, count_c)):
                if k < count_b:
                    length = load64(lengths + at_b + 8 * k)
                    if length > 0:
                        line = signatures + 2 * load64(places + at_b + 8 * k)
                        last = line + 2 * min(length, np.int64(_FAR)) - 1
                        line &= -64
                        while line <= last:
                            prefetch(line)
                            line += 64
                if k < count_c:
                    place = load64(places + at_c + 8 * k)
                    end = place + load64(lengths + at_c + 8 * k)
                    near = most - load32(turned + 8 * k)
                    before_far = end - _FAR
                    lanes_in = ~np.uint64(0) << np.uint64(place - (place & align))
                    place &= align
                    while place < end:
                        if place < before_far:
                            prefetch(signatures + 2 * place + 2 * _FAR)
                        lanes = near_signatures(signatures + 2 * place, signature, mask, near) & lanes_in
                        lanes &= (one << np.uint64(min(end - place, np.int64(32)))) - one
                        lanes_in = ~np.uint64(0)
                        store64u(
                            hits + 16 * hit_lines, lanes
                        )  # no branch on data that may still be on its way
                        store64(hits + 16 * hit_lines + 8, place)
                        hit_lines += np.int64(lanes != 0)
                        place += 32
                        if hit_lines >= _LINES_AT_ONCE:  # a crowded bucket: settle what it has so far
                            earlier = survivors
                            survivors = _take_apart(ids, hits, hit_lines, found, survivors, query)
                            cost = load64(spent + 8 * query) + (survivors - earlier) * price_survivor
                            if cost > budget:  # abandoned: the rest of its survivors need not be compared
                                cost = np.int64(-1)
                                survivors = earlier
                                place = end
                                count_c = np.int64(0)
                            store64(spent + 8 * query, cost)
                            _resolve(context, found, survivors)
                            matches = _compare(context, found, survivors, queries, matches)
                            survivors = np.int64(0)
                            hit_lines = np.int64(0)
                            if load64(spent + 8 * query) < 0:  # by its matches: it must stay abandoned
                                place = end
                                count_c = np.int64(0)
            if hit_lines > 0:
                earlier = survivors
                survivors = _take_apart(ids, hits, hit_lines, found, survivors, query)
                hit_lines = np.int64(0)
                cost = load64(spent + 8 * query)
                if cost >= 0:
                    cost += (survivors - earlier) * price_survivor
                if cost < 0 or cost > budget:
                    cost = np.int64(-1)
                    survivors = earlier
                store64(spent + 8 * query, cost)
                if survivors > _QUEUE:  # compare those of earlier tasks: their row numbers have arrived
                    if survivors - earlier > _QUEUE:
                        earlier = survivors
                    _resolve(context, found, earlier)
                    matches = _compare(context, found, earlier, queries, matches)
                    for k in range(earlier, survivors):
                        store64(found + 8 * (k - earlier), load64(found + 8 * k))
                    survivors -= earlier
            group_c = group_b
            query_c = query_b
            group_b = group_a
            query_b = query_a
            query_a += 1
            if query_a == in_block:
                query_a = np.int64(0)
                group_a += 1
            slot = (slot + 1) % 3
    _resolve(context, found, survivors)
    matches = _compare(context, found, survivors, queries, matches)
    return _scan_abandoned(context, queries, count, matches)
