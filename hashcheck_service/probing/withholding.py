"""Which hashes are not answered to a tenant under suspicion. Pure.

Two hashes that match the same listed one lie within twice the radius of each other. So once a tenant has a near match
of a listed hash, all that could match it lies within twice the radius of a hash that the tenant knows. There nothing is
answered, whether it would match or not. Where that ends depends on what the tenant asked, and on nothing that is
listed.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.hash_types import HashKind, HashType
from hashcheck_core.search.flat import FlatEngine
from hashcheck_service.checking.hashes import Asked, Batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.probing.edge_counter import DAY_SECONDS, NearMatch

_MOST_ANSWERED: Final = 16_384  # of one tenant


class Answered:
    """The hashes that were answered as near matches within a day, by tenant: they are answered so again."""

    def __init__(self) -> None:
        self._values: defaultdict[str, OrderedDict[tuple[str, bytes], int]] = defaultdict(OrderedDict)

    def add(self, match: NearMatch) -> bool:
        """Whether it is new."""
        values = self._values[match.tenant]
        key = match.hash_type, match.value
        new = not self.holds(match.tenant, match.at, *key)
        if new:
            values.pop(key, None)
            values[key] = match.at
            if len(values) > _MOST_ANSWERED:
                values.popitem(last=False)
        else:
            values.move_to_end(key)
        return new

    def holds(self, tenant: str, now: int, hash_type: str, value: bytes) -> bool:
        at = self._values[tenant].get((hash_type, value))
        return at is not None and at > now - DAY_SECONDS


class Surroundings:
    """All that lies within twice the radius of some hashes. `values`: by hash type."""

    def __init__(self, values: Mapping[str, Sequence[bytes]]) -> None:
        self._engines = {
            name: FlatEngine(np.frombuffer(b"".join(some), np.uint8).reshape(len(some), -1))
            for name, some in values.items()
        }

    def withhold(
        self, batch: Batch, radius_of: Callable[[HashType], int], answered: Callable[[str, bytes], bool]
    ) -> Batch:
        """`batch` without the hashes that lie there, but for those `answered` before; each gives its item a reason."""
        reasons = {item: list(some) for item, some in batch.reasons.items()}
        kept = []
        for asked in batch.asked:
            mask = self._mask(asked, radius_of(asked.hash_type), answered)
            if mask is not None:
                asked = _without(asked, mask, reasons)
            if len(asked.values):
                kept.append(asked)
        return Batch(batch.refs, kept, reasons)

    def _mask(
        self, asked: Asked, radius: int, answered: Callable[[str, bytes], bool]
    ) -> NDArray[np.bool_] | None:
        """Which of the values are withheld; None where none is."""
        engine = self._engines.get(asked.hash_type.name)
        if engine is None:
            return None
        near = np.diff(engine.search(asked.values, min(2 * radius, engine.bits)).offsets) > 0
        for row in np.flatnonzero(near).tolist():
            near[row] = not answered(asked.hash_type.name, asked.values[row].tobytes())
        return near if near.any() else None


def without_pictures(batch: Batch, items: Set[int]) -> Batch:
    """`batch` without the perceptual hashes of some items, by their places; each of these gets a reason."""
    reasons = {item: list(some) for item, some in batch.reasons.items()}
    kept = []
    for asked in batch.asked:
        if asked.hash_type.kind is HashKind.PERCEPTUAL:
            mask = np.zeros(len(asked.values), np.bool_)
            rows = range(len(asked.values)) if asked.rows is None else asked.rows
            for row, owner in zip(rows, asked.owners, strict=True):
                mask[row] |= owner in items
            asked = _without(asked, mask, reasons) if mask.any() else asked
        if len(asked.values):
            kept.append(asked)
    return Batch(batch.refs, kept, reasons)


def _without(asked: Asked, withheld: NDArray[np.bool_], reasons: dict[int, list[Reason]]) -> Asked:
    """`asked` without the values `withheld`; `reasons` is told of the items that brought them."""
    rows = range(len(asked.values)) if asked.rows is None else asked.rows
    places = (np.cumsum(~withheld) - 1).tolist()
    owners, kept = [], []
    for row, owner in zip(rows, asked.owners, strict=True):
        if withheld[row]:
            reasons.setdefault(owner, []).append(Reason.PROBING_SUSPECTED)
        else:
            owners.append(owner)
            kept.append(places[row])
    return Asked(asked.hash_type, asked.values[~withheld], owners, kept)
