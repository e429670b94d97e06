"""How much a tenant may ask in a minute, on this machine: hashes, pictures, streams, and new matches.

A tenant beyond its matches is refused all checks, listed or not: whatever a match cannot get, a no-match does not get
either.
"""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from hashcheck_service.admission.usage_table import UsageTable
from hashcheck_service.problems import Problem

_MINUTE: Final = 60


class Kind(StrEnum):
    """What is counted."""

    HASHES = "hashes"
    STREAM_HASHES = "stream_hashes"
    MEDIA = "media"
    MATCHES = "matches"


class Quota:
    """`limits` gives what a tenant may use in a minute, by kind."""

    def __init__(
        self,
        table: UsageTable,
        limits: Callable[[str], Mapping[str, int]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._limits_of = limits
        self._limits: dict[str, Mapping[str, int]] = {}
        self._now = now

    def look(self, tenant: str, kind: Kind, amount: int = 1) -> None:
        """Raise Problem 429 where the minute has no room for so many, 422 where no minute ever has."""
        limit = self._limit(tenant, kind)
        if amount > limit:
            detail = f"The request has {amount} {_word(kind)}, and the quota is {limit} a minute."
            raise Problem(422, "larger_than_quota", f"{detail} Send fewer at a time.")
        now = self._now()
        if self._table.used(tenant, kind, int(now // _MINUTE)) + amount > limit:
            raise _over(kind, limit, now)

    def spend(self, tenant: str, kind: Kind, amount: int) -> None:
        """Count so many; raises as `look` does, and then they are not counted."""
        self.look(tenant, kind, amount)
        self._table.add(tenant, kind, int(self._now() // _MINUTE), amount)

    def count(self, tenant: str, kind: Kind, amount: int) -> None:
        """Count so many though there may be no room: the next `look` is refused."""
        self._table.add(tenant, kind, int(self._now() // _MINUTE), amount)

    def _limit(self, tenant: str, kind: Kind) -> int:
        limits = self._limits.get(tenant)
        if limits is None:
            limits = self._limits[tenant] = self._limits_of(tenant)
        return limits[kind]


def _word(kind: Kind) -> str:
    return {Kind.STREAM_HASHES: "hashes", Kind.MEDIA: "files"}.get(kind, str(kind))


def _over(kind: Kind, limit: int, now: float) -> Problem:
    wait = int(_MINUTE - now % _MINUTE) + 1
    if kind is Kind.MATCHES:
        detail = f"More than {limit} new matches in a minute: no check of this key is answered for {wait} s."
    else:
        detail = f"The quota is {limit} {_word(kind)} a minute; try again in {wait} s."
    return Problem(429, "over_quota", detail, {"Retry-After": str(wait)})
