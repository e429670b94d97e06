"""Work that goes round in threads of its own: each kind again and again, with a pause between."""

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hashcheck_service.logs import log_crash

# Machines that were started together must not ask together for ever.
_JITTER: Final = 0.1
_SOON_SECONDS: Final = 0.02


class Rounds:
    """`poll_seconds` is the pause, give or take a tenth."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll = poll_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._threads: list[ThreadPoolExecutor] = []

    def start(self, work: Callable[[], bool]) -> asyncio.Event:
        """Do `work` in rounds until `stop`. The event is set when it first answers that it has settled; before, the
        next round follows soon."""
        settled = asyncio.Event()
        thread = ThreadPoolExecutor(1, work.__name__)
        self._threads.append(thread)
        self._tasks.append(asyncio.create_task(self._go(work, thread, settled)))
        return settled

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)

    async def _go(self, work: Callable[[], bool], thread: ThreadPoolExecutor, settled: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if await loop.run_in_executor(thread, work):
                    settled.set()
            except Exception as error:
                # Whatever it is, what is being served goes on being served, and the next round tries again.
                log_crash("poll_failed", error, what=work.__name__)
            pause = self._poll * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
            await asyncio.sleep(pause if settled.is_set() else _SOON_SECONDS)
