"""Places: how much of one kind of work may be in hand. Where all are taken, the next is refused at once.

Nothing waits here: a caller that is told 503 can go elsewhere, one that waits cannot.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hashcheck_service.problems import unavailable


class Places:
    """For one event loop: it is not safe to share between threads."""

    def __init__(self, limit: int, work: str) -> None:
        self._free = limit
        self._work = work

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one place; raises Problem 503 where there is none."""
        if not self._free:
            raise unavailable("overloaded", f"Too many {self._work} are in hand.", retry_after=1)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
