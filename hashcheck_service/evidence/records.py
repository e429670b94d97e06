"""The lines of the hit log, as JSON objects. Each gets the link of the chain behind it (`chain.py`).

    begin     the first line of a file: who writes it, and what the chain starts from
    hits      what one or more items matched; those that differ only in `ref` share a record
    repeats   how often hits that are on record were asked again
    end       the last line of a file that was closed in order

No line holds a hash, a `ref` or a file name.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from hashcheck_service.evidence.hits import Hit, HitMatch

FORMAT: Final = 2  # 1 had a line for each match, and no chain
_MOST_SHARED: Final = 256  # so that no line is longer than some tens of kilobytes


class Begin(msgspec.Struct, frozen=True, tag_field="kind", tag="begin"):
    """`start`: what the chain starts from. It is the last link of the file `after`, or random where there is none."""

    format: int
    start: str
    after: str | None
    at: datetime
    version: str
    machine: str
    worker: int


class SharedHit(msgspec.Struct, frozen=True, gc=False):
    hit_id: str
    request_id: str
    match_ids: tuple[str, ...]


class Hits(msgspec.Struct, frozen=True, tag_field="kind", tag="hits"):
    at: datetime
    tenant: str
    snapshot: str
    action: str
    matches: tuple[HitMatch, ...]
    hits: Sequence[SharedHit]


class Repeats(msgspec.Struct, frozen=True, tag_field="kind", tag="repeats"):
    """`counts` by hit id, since the last record of this kind."""

    at: datetime
    tenant: str
    counts: Mapping[str, int]


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    at: datetime


encode = msgspec.json.Encoder().encode


def share(hits: Sequence[Hit]) -> Iterator[Hits]:
    """Records for `hits`, as few as hold them all."""
    if len(hits) == 1:  # as nearly always
        yield _record(hits)
        return
    groups: dict[tuple[object, ...], list[Hit]] = {}
    for hit in hits:
        groups.setdefault((hit.tenant, hit.snapshot, hit.action, hit.at, hit.matches), []).append(hit)
    for group in groups.values():
        for first in range(0, len(group), _MOST_SHARED):
            yield _record(group[first : first + _MOST_SHARED])


def _record(alike: Sequence[Hit]) -> Hits:
    one = alike[0]
    shared = [SharedHit(hit.hit_id, hit.request_id, hit.match_ids) for hit in alike]
    return Hits(one.at, one.tenant, one.snapshot, one.action, one.matches, shared)
