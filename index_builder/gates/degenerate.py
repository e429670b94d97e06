"""degenerate: no family of hashes is so dense that it would match much of anything.

Vetting already rejects a hash that is degenerate by itself. This gate looks at hashes together: a hash with very many
others of the list within the radius stands in a cloud (blank pages, logos, failed decodes), and the whole cloud
is held. Large lists are sampled: a family that holds a hundredth of a list has some hundred members in the sample.
"""

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.hash_types import HashKind
from hashcheck_core.search.flat import FlatEngine
from index_builder.config.gates import DegenerateGate
from index_builder.gates.outcome import Outcome
from index_builder.table.candidates import Candidates, CandidateTable
from index_builder.table.engines import engine_for

_SAMPLE = 10_000
_FOUND = 1000  # chance then moves a count by some thirty, and nothing halves it


def check(gate: DegenerateGate, candidates: Candidates) -> Outcome:
    held = np.zeros(len(candidates.ids), bool)
    for table in candidates.tables:
        rows = len(table.codes)
        limit = max(gate.max_family, gate.max_family_share * rows)
        if table.hash_type.kind is HashKind.EXACT or rows <= limit:
            continue
        picked = np.unique(np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(np.int64))
        picked = _suspects(table, picked, limit)
        if not len(picked):
            continue
        engine = engine_for(table.hash_type, table.codes, len(picked))
        for start in range(0, len(picked), 256):
            queries = np.ascontiguousarray(table.codes[picked[start : start + 256]])
            found = engine.search(queries, table.hash_type.radius)
            for query in np.flatnonzero(np.diff(found.offsets) - 1 > limit):
                held[table.entries_of(found.of(int(query))[0])] = True
    held[candidates.reserved] = False
    family = {"in too dense a family": np.flatnonzero(held)}
    return Outcome("No hash stands in too dense a family.", family, gate.max_held)


def _suspects(table: CandidateTable, picked: NDArray[np.int64], limit: float) -> NDArray[np.int64]:
    """Those of `picked` that may have more than `limit` others in their radius: all but a few are cleared cheaply.

    Looked at are so many rows that at the limit a thousand would be found; at half of that one is a suspect.
    """
    step = int(limit) // _FOUND
    if step < 2:
        return picked
    engine = FlatEngine(np.ascontiguousarray(table.codes[::step]))
    counts = [
        np.diff(engine.search(np.ascontiguousarray(table.codes[some]), table.hash_type.radius).offsets)
        for some in np.array_split(picked, -(-len(picked) // 256))
    ]
    suspects: NDArray[np.int64] = picked[np.concatenate(counts) >= _FOUND // 2]
    return suspects
