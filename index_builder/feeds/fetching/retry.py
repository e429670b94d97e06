"""How often and how long to wait before something is tried again. It sleeps through what it is given: no clock here."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from hashcheck_core.errors import TransportError

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
# A source that asks for more patience than this is not waited for: the next run comes anyway.
MOST_PATIENCE: Final = 600.0
T = TypeVar("T")


class TransientError(Exception):
    """It did not work and may another time. `after`: seconds the source asks to wait. It never leaves this room."""

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.after = after


@dataclass(frozen=True, slots=True)
class Patience:
    """`attempts` in all; between them waits that double, each between half and the whole of itself by chance."""

    attempts: int
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def keep(self, do: Callable[[], T], on_wait: Callable[[str, float], None]) -> T:
        """`do()`, again after each TransientError; the last one leaves. Raises TransportError for too long a wait."""
        attempt = 1
        while True:
            try:
                return do()
            except TransientError as error:
                if attempt >= self.attempts:
                    raise
                wait = self.wait(attempt, error.after)
                if wait > MOST_PATIENCE:
                    raise TransportError(
                        f"{error.problem}; it asks to wait for {wait / 60:.0f} minutes.",
                        next_step="Run fetch again after that: it goes on from here.",
                    ) from None
                on_wait(error.problem, wait)
                self.sleep(wait)
                attempt += 1

    def wait(self, attempt: int, after: float | None) -> float:
        """Seconds before the attempt after `attempt`: what the source asks for, at least our own."""
        own: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * (0.5 + self.chance() / 2)
        return max(own, after or 0.0)
