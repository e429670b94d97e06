"""How busy a worker's event loop is, and with whom. It decides whether a check is answered at once, waits for its
turn, or is refused.

Connections that have something to read wait for those before them, in one round of the event loop over all of them. A
round that takes longer than `turn_seconds` answers its first few checks and refuses the rest: a caller that is told
503 can go elsewhere, one that waits cannot.

Where several tenants ask, each is owed an equal part of the time. A tenant that has used more than its part of the
last second is *heavy*: its checks wait for their turn in a queue, and those of the others are answered at once.

It knows no HTTP.
"""

from asyncio import get_running_loop
from collections.abc import Mapping
from typing import Final

_WINDOW_SECONDS: Final = 0.5  # two windows count: the one before and the one that runs
_UNNOTICED: Final = 0.005  # seconds that make nobody heavy
# So many checks of a round are always answered. If they took long, the process stood still, and there is no crowd.
_HANDFUL: Final = 8


class Load:
    """For one event loop: it is not safe to share between threads."""

    def __init__(
        self,
        turn_seconds: float,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.refused = 0  # checks that were refused unread, ever
        self.draining = False  # the worker is to stop
        self._weights = weights or {}
        self._round_limit = turn_seconds
        self._round_began: float | None = None  # when the first check of this round was met
        self._met = 0  # checks of this round
        self._window_began = 0.0
        self._used: dict[str, float] = {}  # seconds of this window, by tenant
        self._used_before: dict[str, float] = {}  # of the window before
        self._total = 0.0  # of both windows
        self._weight = 0.0  # of all tenants in either window
        self._alone: str | None = None  # the one tenant of both windows, where there is but one

    def admits(self, tenant: str, connections: int, now: float) -> bool:
        """Whether a check that was met just now, on one of so many connections, can be answered in time."""
        self._met += 1
        if self._round_began is None:
            self._round_began, self._met = now, 1
            get_running_loop().call_soon(self._next_round)
        elif self._met > connections:
            # The event loop may go round more than once before it calls back, and nobody waited for both rounds.
            self._round_began, self._met = now, 1
        elif now - self._round_began > self._round_limit and self._met > _HANDFUL:
            return self._weight > self._weight_of(tenant) and not self.heavy(tenant)
        return True

    def heavy(self, tenant: str) -> bool:
        """Whether there are other tenants, and this one has used more than its part."""
        if tenant == self._alone:  # as often
            return False
        mine = self._used.get(tenant, 0.0) + self._used_before.get(tenant, 0.0)
        return mine > _UNNOTICED and mine * self._weight > self._total * self._weight_of(tenant)

    def spend(self, tenant: str, seconds: float, now: float) -> None:
        """The event loop has worked so long for a tenant, until now."""
        if now - self._window_began > _WINDOW_SECONDS:
            recent = now - self._window_began <= 2 * _WINDOW_SECONDS
            self._used_before, self._used, self._window_began = self._used if recent else {}, {}, now
            self._total = sum(self._used_before.values())
            self._weight = sum(map(self._weight_of, self._used_before))
        used = self._used.get(tenant)
        if used is None:
            used = 0.0
            if tenant not in self._used_before:
                self._weight += self._weight_of(tenant)
            self._alone = tenant if self._used_before.keys() <= {tenant} and not self._used else None
        self._used[tenant] = used + seconds
        self._total += seconds

    def _weight_of(self, tenant: str) -> float:
        return self._weights.get(tenant, 1.0)

    def _next_round(self) -> None:
        self._round_began = None
