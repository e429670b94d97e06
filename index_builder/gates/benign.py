"""benign: in the finished snapshot no ordinary picture, nor a variant of one, matches.

The last look before a snapshot gets its name, through the very engines that will serve it: a corpus of ordinary
pictures (one's own, those that come with common software) stands for what the world uploads.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import Category
from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.config.gates import BenignGate
from index_builder.gates.known_good_sets import PictureHash
from index_builder.gates.outcome import Outcome

WHY: Final = "matches an ordinary picture"


def check(
    gate: BenignGate, snapshot: Snapshot, corpus: Iterable[PictureHash], accepted: NDArray[np.uint32]
) -> Outcome:
    """`corpus`: the hashes of the pictures and their variants. `accepted`: the entries (indexes) that people want
    listed although they match. Where the gate fails, `held` are the entries that match, for people to look at."""
    matched: set[str] = set()
    entries: set[int] = set()
    let_in = set(accepted.tolist())
    pictures: set[str] = set()
    for item in corpus:
        pictures.add(item.picture)
        table = snapshot.tables.get(item.hash.type.name)
        if table is None:
            continue
        query = np.frombuffer(item.hash.value, np.uint8)[None, :]
        for row in table.search(query, table.hash_type.radius).rows:
            found = {e for e in table.entries_of(int(row)) if _speaks(snapshot, e) and e not in let_in}
            entries |= found
            if found:
                matched.add(item.picture)
    failures, held = [], {}
    if len(matched) > gate.max_matches:
        names = ", ".join(sorted(matched)[:5])
        failures.append(f"{len(matched)} ordinary pictures match: {names}.")
        held[WHY] = np.array(sorted(entries), np.int64)
    return Outcome(f"{len(pictures)} ordinary pictures asked for.", held, failures=failures)


def _speaks(snapshot: Snapshot, entry: int) -> bool:
    return snapshot.entries.category(entry) is not Category.TEST
