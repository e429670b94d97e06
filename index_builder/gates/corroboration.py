"""corroboration: enough sources or opinions stand behind an entry, and nobody disputes it.

Sources are counted over equal hashes: an entry has its own, and the sources of every entry that lists a hash it lists
and is not out already. Opinions are those that a feed brings along, and the giver's own. Whatever is not corroborated
is held.
"""

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from index_builder.config.gates import CorroborationGate
from index_builder.gates.outcome import Outcome
from index_builder.table.candidates import Candidates


def check(gate: CorroborationGate, candidates: Candidates, out: NDArray[np.bool_]) -> Outcome:
    """`out`: the entries that are not listed, whatever this gate says."""
    held = {}
    if gate.hold_disputed:
        held["disputed"] = np.flatnonzero(candidates.down > 0)
    if gate.minimum:
        sources = _sources(candidates, out)
        opinions = candidates.up.astype(np.int64) + 1
        few = np.zeros(len(candidates.ids), bool)
        for category, least in gate.minimum.items():
            of_it = candidates.categories == CATEGORY_CODES.index(category)
            few |= of_it & (sources < least.sources) & (opinions < least.opinions)
        held["too few sources and opinions"] = np.flatnonzero(few)
    told = "Entries that are disputed or have too few sources and opinions are held."
    return Outcome(told, held, gate.max_held)


def _sources(candidates: Candidates, out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many different sources stand behind a hash that the entry lists; the most over its hashes."""
    most = np.ones(len(candidates.ids), np.int64)
    for table in candidates.tables:
        rows = table.row_of_links()
        pairs = rows << 16 | candidates.sources[table.links]
        away = out[table.links]
        counted = np.unique(pairs[~away])
        number = np.bincount(counted >> 16, minlength=len(table.codes))[rows]
        own = pairs[away]  # what is out stands behind itself alone, should people let it in
        number[away] += np.searchsorted(counted, own) == np.searchsorted(counted, own, "right")
        np.maximum.at(most, table.links, number)
    return most
