"""Slots: how much of one kind of work may be in hand, shared fairly between tenants.

Nothing waits here: work that finds no slot is refused at once, for a caller that is told 503 can go elsewhere.

A tenant gets a slot while it holds fewer than are free. So one tenant alone gets half of the slots, two get a third
each, and there is always one left for the next tenant. (Dynamic thresholds: A. K. Choudhury and E. L. Hahne, 1998.)
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hashcheck_service.problems import Problem, unavailable


def overloaded(what: str) -> Problem:
    return unavailable("overloaded", f"Too much work is in hand: {what}.", retry_after=1)


class Slots:
    """Slots for `work`, such as "pictures". They are counted in any unit: requests, bytes, seconds.

    For one event loop: it is not safe to share between threads.
    """

    def __init__(self, limit: float, work: str) -> None:
        self.limit = limit
        self._work = work
        self._held: dict[str, float] = {}
        self._in_hand = 0.0

    def take(self, tenant: str, amount: float = 1) -> None:
        """Take so much for a tenant. Raises Problem 503 where its share has no room for it."""
        held = self._held.get(tenant, 0) + amount
        if held > self.limit - self._in_hand:
            raise overloaded(self._work)
        self._held[tenant] = held
        self._in_hand += amount

    def give(self, tenant: str, amount: float = 1) -> None:
        """Give so much back."""
        left = self._held[tenant] - amount
        if left > 1e-9:  # sums of floats leave a rest
            self._held[tenant] = left
        else:
            del self._held[tenant]
        self._in_hand = self._in_hand - amount if self._held else 0.0

    @contextmanager
    def held(self, tenant: str, amount: float = 1) -> Iterator[None]:
        """Hold so much for the time of a `with` block. Raises Problem 503 as `take` does."""
        self.take(tenant, amount)
        try:
            yield
        finally:
            self.give(tenant, amount)
