"""known_good: no entry is a file that is known to be ordinary, or looks like an ordinary picture.

In June 2021 the images that come with WordPress were on a national list. An entry with an exact hash in a known-good
set, or a perceptual one within the radius of one, is held. More than a few of them say that the feed is not what it
should be: then the gate fails.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.hash_types import HashKind
from index_builder.config.gates import KnownGoodGate
from index_builder.gates.known_good_sets import KnownHashes
from index_builder.gates.outcome import Outcome
from index_builder.table.candidates import Candidates, CandidateTable
from index_builder.table.engines import engine_for


def check(gate: KnownGoodGate, candidates: Candidates, known: Iterable[KnownHashes]) -> Outcome:
    tables = {table.hash_type.name: table for table in candidates.tables}
    held = np.zeros(len(candidates.ids), bool)
    count = 0
    pending: dict[str, list[NDArray[np.uint8]]] = {}
    for part in known:
        count += len(part.codes)
        table = tables.get(part.type)
        if table is None:
            continue
        if table.hash_type.kind is HashKind.PERCEPTUAL:
            pending.setdefault(part.type, []).append(part.codes)  # together, so that a table may pay
        else:
            _hold(held, table, part.codes)
    for name, parts in _joined(pending).items():
        _hold(held, tables[name], parts)
    held[candidates.reserved] = False
    found = {"an ordinary file or picture": np.flatnonzero(held)}
    return Outcome(f"{count:,} known-good hashes.", found, gate.max_held)


def _joined(pending: Mapping[str, "list[NDArray[np.uint8]]"]) -> "dict[str, NDArray[np.uint8]]":
    return {name: np.concatenate(parts) for name, parts in pending.items()}


def _hold(held: NDArray[np.bool_], table: CandidateTable, queries: NDArray[np.uint8]) -> None:
    engine = engine_for(table.hash_type, table.codes, len(queries))
    step = 4096
    for start in range(0, len(queries), step):
        rows = np.unique(engine.search(queries[start : start + step], table.hash_type.radius).rows)
        held[table.entries_of(rows)] = True
