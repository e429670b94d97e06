"""How much a tenant may ask in a minute, on this machine: hashes, files, hashes of streams, and new matches.

A tenant beyond its matches is refused all checks, listed or not: whatever a match cannot get, a no-match does not get
either.
"""

import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from hashcheck_service.admission.usage_table import Account, UsageTable
from hashcheck_service.problems import Problem

_MINUTE: Final = 60
_PARTS: Final = 50  # of what is left, one is taken in advance
_MOST_IN_ADVANCE: Final = 1000


class Kind(IntEnum):
    """What is counted. The settings call it by its name in lower case."""

    HASHES = 0
    STREAM_HASHES = 1
    MEDIA = 2
    MATCHES = 3


class Quota:
    """`limits` gives what a tenant may use in a minute, by kind.

    So that a check need not add up what all workers have used, a worker takes a small part of what is left in advance,
    and spends that by itself.
    """

    def __init__(
        self,
        table: UsageTable,
        limits: Callable[[str], Mapping[str, int]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._limits_of = limits
        self._now = now
        self._accounts: dict[
            str, list[tuple[Account, int]]
        ] = {}  # by tenant and kind, with the limit of each
        self._advance: list[dict[str, int]] = [
            {} for _ in Kind
        ]  # by kind and tenant: taken and not yet spent
        self._good_until = 0.0  # the end of the minute in which the advances were taken

    def look(self, tenant: str, kind: Kind, amount: int = 1) -> None:
        """Raise Problem 429 where the minute has no room for so many, 422 where no minute ever has.

        429 too where the tenant's new matches of the minute are used up.
        """
        if self._advance[kind].get(tenant, 0) < amount or self._now() >= self._good_until:
            self._room(tenant, kind, amount, self._now())

    def spend(self, tenant: str, kind: Kind, amount: int) -> None:
        """Count so many. Raises as `look` does, and then they are not counted."""
        advance = self._advance[kind]
        left = advance.get(tenant, 0) - amount
        now = self._now()
        if left < 0 or now >= self._good_until:
            left = self._take(tenant, kind, amount, now) - amount
        advance[tenant] = left

    def count(self, tenant: str, kind: Kind, amount: int) -> None:
        """Count so many though there may be no room: what comes next is refused."""
        now = self._now()
        account, limit = self._of(tenant)[kind]
        account.add(int(now) // _MINUTE, amount)
        if account.used(int(now) // _MINUTE) >= limit:
            for advance in self._advance:
                advance.pop(tenant, None)

    def _take(self, tenant: str, kind: Kind, amount: int, now: float) -> int:
        """Take an advance on what is left of the minute, of at least `amount`; how much the worker now has of it."""
        if now >= self._good_until:
            for advance in self._advance:
                advance.clear()
            self._good_until = (int(now) // _MINUTE + 1) * _MINUTE
        account, room = self._room(tenant, kind, amount, now)
        taken = max(amount, min(room // _PARTS, _MOST_IN_ADVANCE))
        account.add(int(now) // _MINUTE, taken)
        return self._advance[kind].get(tenant, 0) + taken

    def _room(self, tenant: str, kind: Kind, amount: int, now: float) -> tuple[Account, int]:
        minute = int(now) // _MINUTE
        accounts = self._of(tenant)
        account, limit = accounts[kind]
        room = limit - account.used(minute)
        if room < amount:
            if amount > limit:
                detail = f"The request has {amount} {_word(kind)}, and the quota is {limit} a minute."
                raise Problem(422, "larger_than_quota", f"{detail} Send fewer at a time.")
            raise _over(kind, limit, now)
        matches, most = accounts[Kind.MATCHES]
        if matches.used(minute) >= most:
            raise _over(Kind.MATCHES, most, now)
        return account, room

    def _of(self, tenant: str) -> list[tuple[Account, int]]:
        if tenant not in self._accounts:
            limits = self._limits_of(tenant)
            self._accounts[tenant] = [
                (self._table.account(tenant, kind), limits[kind.name.lower()]) for kind in Kind
            ]
        return self._accounts[tenant]


def _word(kind: Kind) -> str:
    return "files" if kind is Kind.MEDIA else "hashes"


def _over(kind: Kind, limit: int, now: float) -> Problem:
    wait = int(_MINUTE - now % _MINUTE) + 1
    if kind is Kind.MATCHES:
        detail = f"There were {limit} new matches in this minute: no check of this tenant is answered for {wait} s."
    else:
        detail = f"The quota is {limit} {_word(kind)} a minute; try again in {wait} s."
    return Problem(429, "over_quota", detail, {"Retry-After": str(wait)})
