"""Places: how much of one kind of work may be in hand. Where all are taken, the next is refused at once.

Nothing waits here: a caller that is told 503 can go elsewhere, one that waits cannot.
"""

from types import TracebackType

from hashcheck_service.problems import unavailable


class Places:
    """`with places:` holds one place; raises Problem 503 where there is none.

    For one event loop: it is not safe to share between threads.
    """

    def __init__(self, limit: int, work: str) -> None:
        self.free = limit
        self._work = work

    def __enter__(self) -> None:
        if not self.free:
            raise unavailable("overloaded", f"Too many {self._work} are in hand.", retry_after=1)
        self.free -= 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free += 1
