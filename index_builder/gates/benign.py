"""benign: in the finished snapshot no ordinary picture, nor a variant of one, matches.

The last look before a snapshot gets its name, through the very engines that will serve it: a corpus of ordinary
pictures (one's own, those that come with common software) stands for what the world uploads.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import Field

from hashcheck_core.categories import Category
from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.gates.outcome import Outcome
from index_builder.gates.section import GateSection
from index_builder.known_good import PictureHash


class BenignGate(GateSection):
    pictures: Path | None = None
    max_matches: int = Field(default=0, ge=0)


def check(gate: BenignGate, snapshot: Snapshot, corpus: Iterable[PictureHash]) -> Outcome:
    """`corpus`: the hashes of the pictures and their variants."""
    matched: set[str] = set()
    pictures: set[str] = set()
    for item in corpus:
        pictures.add(item.picture)
        table = snapshot.tables.get(item.hash.type.name)
        if table is None:
            continue
        query = np.frombuffer(item.hash.value, np.uint8)[None, :]
        for row in table.search(query, table.hash_type.radius).rows:
            if any(snapshot.entries.category(e) is not Category.TEST for e in table.entries_of(int(row))):
                matched.add(item.picture)
    failures = []
    if len(matched) > gate.max_matches:
        names = ", ".join(sorted(matched)[:5])
        failures.append(f"{len(matched)} ordinary pictures match: {names}.")
    return Outcome(f"{len(pictures)} ordinary pictures asked for.", failures=failures)
