"""Run a coroutine as far as it gets without waiting.

Nearly every check is answered without waiting for anything. A task for each would cost more than the check.
"""

from collections.abc import Awaitable, Coroutine, Generator
from types import coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Done(Generic[T]):
    """What the coroutine returned."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


def drive(work: Coroutine[Any, None, T]) -> Done[T] | Awaitable[T]:
    """Run `work` until it returns or waits.

    Returns: Done where it has returned; else what must be awaited, once, to have it go on. Up to there it runs in no
    task of its own: it must not ask for the current task, and asyncio.timeout() does.

    Raises whatever `work` raises before it waits.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as stop:
        return Done(stop.value)
    return _rest(work, waits_for)


@coroutine
def _rest(work: Coroutine[Any, None, T], waits_for: Any) -> Generator[Any, None, T]:
    """The rest of `work`, for a task: it is told first what `work` waits for, then all that `work` says."""
    try:
        while True:
            try:
                heard = yield waits_for
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                waits_for = work.throw(error)
            else:
                waits_for = work.send(heard)
    except StopIteration as stop:
        result: T = stop.value
        return result
