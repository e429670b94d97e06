"""How many hashes a tenant may ask about in a minute, in this worker. No quota unless the settings give one."""

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from hashcheck_service.problems import Problem


class Quota:
    def __init__(self, hashes_per_minute: int | None) -> None:
        self._limit = RateLimitItemPerMinute(hashes_per_minute) if hashes_per_minute else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def spend(self, tenant: str, hashes: int) -> None:
        """Count so many; raises as `look`, and then they are not counted."""
        if self._limit is not None:
            self.look(tenant, hashes)
            self._limiter.hit(self._limit, tenant, cost=hashes)

    def look(self, tenant: str, hashes: int) -> None:
        """Raises Problem 429 where the tenant's minute has no room for so many, 422 where no minute ever has."""
        if self._limit is None:
            return
        if hashes > self._limit.amount:
            detail = f"The request has {hashes} hashes, and the quota is {self._limit.amount} a minute."
            raise Problem(422, "larger_than_quota", f"{detail} Send fewer at a time.")
        if self._limiter.test(self._limit, tenant, cost=hashes):
            return
        reset = self._limiter.get_window_stats(self._limit, tenant).reset_time
        wait = max(1, int(reset - time.time()) + 1)
        raise Problem(
            429,
            "over_quota",
            f"The quota is {self._limit.amount} hashes a minute; try again in {wait} s.",
            {"Retry-After": str(wait)},
        )
