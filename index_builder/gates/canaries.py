"""canaries: in the finished snapshot listed hashes are found, at distance 0 and at the radius.

The reserved test hashes and some rows of every type are asked for as a service would: as they are, and with as many
bits turned as the radius allows. A snapshot that misses one would say `no_match` of listed things.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.config.gates import CanariesGate
from index_builder.gates.outcome import Outcome


def check(gate: CanariesGate, snapshot: Snapshot, listed: Mapping[str, NDArray[np.uint8]]) -> Outcome:
    """`listed`: hashes that must be found, by type, as CandidateTable.sample gives them."""
    outcome = Outcome("")
    asked = 0
    for name, codes in sorted(listed.items()):
        table = snapshot.tables[name]
        for turned in sorted({0, table.hash_type.radius}):
            queries = _turn(codes, turned)
            asked += len(queries)
            answer = table.search(queries, table.hash_type.radius)
            counts = np.zeros(len(queries), np.int64)
            query_of = np.repeat(np.arange(len(queries)), np.diff(answer.offsets))
            np.add.at(counts, query_of[answer.distances <= turned], 1)
            if missed := int((counts == 0).sum()):
                outcome.failures.append(f"{missed} listed {name} hashes are not found at distance {turned}.")
    outcome.detail = f"{asked} listed hashes asked for."
    return outcome


def _turn(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """`codes` with `bits` bits turned, other ones in each row; always the same."""
    if bits == 0:
        return np.ascontiguousarray(codes)
    unpacked = np.unpackbits(codes, axis=1)
    rng = np.random.default_rng(0)
    for row in unpacked:
        row[rng.permutation(len(row))[:bits]] ^= 1
    return np.packbits(unpacked, axis=1)
