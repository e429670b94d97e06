"""A clock that does not go back, so that what has expired stays expired.

It is the wall clock, but never behind itself since the start, nor behind the time at which something trusted was
made. It cannot tell a wall clock that is ahead; that errs to the safe side, for lists then expire early, and a
restart with the right time mends it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """Call it for the time. `behind` says how far the wall clock is behind it: 0 as a rule."""

    def __init__(
        self, wall: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        # The latest time told, and the monotonic time then. One reference, so that threads need no lock: at worst
        # one of two that ask at once is told the other's microsecond.
        self._last = (wall(), monotonic())

    def __call__(self) -> datetime:
        now = self._wall()
        last, at = self._last
        if now >= last:
            self._last = (now, self._monotonic())
            return now
        return last + timedelta(seconds=self._monotonic() - at)

    def not_before(self, moment: datetime) -> None:
        """It was `moment` already: something trusted was made then."""
        if moment > self():
            self._last = (moment, self._monotonic())

    @property
    def behind(self) -> timedelta:
        """How far the wall clock is behind."""
        return max(timedelta(0), self() - self._wall())
