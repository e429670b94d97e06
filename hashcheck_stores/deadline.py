"""A deadline for reads that nothing can interrupt: a mount whose server is gone holds whoever reads it for ever.

So the read is done in a thread, and a thread that gives nothing in time is left behind. As long as it hangs, what it
reads is not asked for again, and only a few may hang at a time.
"""

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Final, TypeVar

from hashcheck_core.errors import TransportError

T = TypeVar("T")
_SECONDS: Final = 10.0  # for each part, as for a server; `Pace` bounds the whole
_MOST_LEFT_BEHIND: Final = 4
_END: Final = object()


class Deadline:
    """Of one store. Safe to share between threads."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._left_behind: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def keep(self, name: str, parts: Iterator[T]) -> Iterator[T]:
        """Hand `parts` on. Raises TransportError once the next takes too long, and what `parts` raises."""
        self._may_begin(name)
        handed: queue.Queue[object] = queue.Queue(1)
        unwanted = threading.Event()

        def work() -> None:
            try:
                for part in parts:
                    handed.put(part)
                    if unwanted.is_set():
                        return
                handed.put(_END)
            except BaseException as error:  # it is raised where the parts are taken
                handed.put(error)

        thread = threading.Thread(target=work, name="store", daemon=True)
        thread.start()
        try:
            while (part := handed.get(timeout=self._seconds)) is not _END:
                if isinstance(part, BaseException):
                    raise part
                yield part  # type: ignore[misc]  # it is of T: the queue knows less
        except queue.Empty:
            with self._lock:
                self._left_behind[name] = thread
            raise _silent(f"The store gave nothing of {name} for {self._seconds:g} s.") from None
        finally:
            unwanted.set()
            with contextlib.suppress(queue.Empty):  # where a part waits to be taken, so does the thread
                handed.get_nowait()

    def _may_begin(self, name: str) -> None:
        with self._lock:
            hanging = {name: thread for name, thread in self._left_behind.items() if thread.is_alive()}
            self._left_behind = hanging
        if name in hanging or len(hanging) >= _MOST_LEFT_BEHIND:
            raise _silent(f"The store still hangs at an earlier read of {', '.join(sorted(hanging))}.")


def _silent(message: str) -> TransportError:
    return TransportError(
        message, next_step="See whether its mount hangs. It is asked again as soon as the earlier read ends."
    )
