"""Turns on the event loop for what takes it long: large requests, and those of a tenant that has used more than its
part. One at a time, the tenant first that has had the least, and between two of them whatever came in meanwhile."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from hashcheck_service.admission.fair_queue import FairQueue
from hashcheck_service.admission.load import Load


class LoopTurns:
    """`async with turns.turn(tenant):` around work that does not wait."""

    def __init__(self, load: Load, weights: Mapping[str, float]) -> None:
        self._load = load
        self._queue = FairQueue(1, weights)

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        async with self._queue.turn(tenant):
            began = time.perf_counter()
            try:
                yield
            finally:
                now = time.perf_counter()
                self._load.spend(tenant, now - began, now)
