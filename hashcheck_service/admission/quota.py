"""How much a tenant may ask in a minute, on this machine: hashes, files, hashes of streams, and new matches.

A tenant beyond its matches is refused all checks, listed or not: whatever a match cannot get, a no-match does not get
either.
"""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from hashcheck_service.admission.usage_table import Account, UsageTable
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
        self._accounts: dict[tuple[str, Kind], tuple[Account, int]] = {}
        self._now = now

    def look(self, tenant: str, kind: Kind, amount: int = 1) -> None:
        """Raise Problem 429 where the minute has no room for so many, 422 where no minute ever has.

        429 too where the tenant's new matches of the minute are used up.
        """
        self._room(tenant, kind, amount, self._now())

    def spend(self, tenant: str, kind: Kind, amount: int) -> None:
        """Count so many. Raises as `look` does, and then they are not counted."""
        now = self._now()
        self._room(tenant, kind, amount, now).add(int(now) // _MINUTE, amount)

    def count(self, tenant: str, kind: Kind, amount: int) -> None:
        """Count so many though there may be no room: the next `look` is refused."""
        account, _ = self._account(tenant, kind)
        account.add(int(self._now()) // _MINUTE, amount)

    def _room(self, tenant: str, kind: Kind, amount: int, now: float) -> Account:
        minute = int(now) // _MINUTE
        account, limit = self._accounts.get((tenant, kind)) or self._account(tenant, kind)
        if account.used(minute) + amount > limit:
            if amount > limit:
                detail = f"The request has {amount} {_word(kind)}, and the quota is {limit} a minute."
                raise Problem(422, "larger_than_quota", f"{detail} Send fewer at a time.")
            raise _over(kind, limit, now)
        matches, most = self._accounts.get((tenant, Kind.MATCHES)) or self._account(tenant, Kind.MATCHES)
        if matches.used(minute) >= most:
            raise _over(Kind.MATCHES, most, now)
        return account

    def _account(self, tenant: str, kind: Kind) -> tuple[Account, int]:
        known = self._table.account(tenant, kind), self._limits_of(tenant)[kind]
        self._accounts[tenant, kind] = known
        return known


def _word(kind: Kind) -> str:
    return {Kind.STREAM_HASHES: "hashes", Kind.MEDIA: "files"}.get(kind, str(kind))


def _over(kind: Kind, limit: int, now: float) -> Problem:
    wait = int(_MINUTE - now % _MINUTE) + 1
    if kind is Kind.MATCHES:
        detail = f"There were {limit} new matches in this minute: no check of this tenant is answered for {wait} s."
    else:
        detail = f"The quota is {limit} {_word(kind)} a minute; try again in {wait} s."
    return Problem(429, "over_quota", detail, {"Retry-After": str(wait)})
