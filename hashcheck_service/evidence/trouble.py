"""Why no check may be answered: what a match cannot get, a no-match does not get either."""

import errno
from dataclasses import replace
from typing import Final

from hashcheck_service.problems import Problem, unavailable

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}

FULL: Final = unavailable("hit_log_full", "The hit log is full, so nothing can be answered.", 30)
NOT_WRITABLE: Final = unavailable(
    "hit_log_not_writable", "Hits cannot be recorded, so nothing can be answered."
)
SLOW: Final = unavailable("hit_log_slow", "Hits are not on disk in time, so nothing can be answered.")
STOPPED: Final = unavailable("hit_log_stopped", "The hit log has been closed, so nothing can be answered.")


def trouble_of(error: OSError) -> Problem:
    return FULL if error.errno in _FULL else NOT_WRITABLE


def refused(problem: Problem) -> Problem:
    """The same problem, to be raised: one that is raised again and again would keep the frames of all those times."""
    return replace(problem)


def share_used(days: int) -> Problem:
    """A tenant's records fill its share of the log; those of others are not touched."""
    detail = f"The records of this tenant fill its share of the hit log; the oldest go after {days} days."
    return Problem(429, "hit_log_share", detail, {"Retry-After": "3600"})
