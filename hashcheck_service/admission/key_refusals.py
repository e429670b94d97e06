"""Keys that were refused: all are counted, and of one that exists the log says which it was, now and then.

A known key that comes from another network, or past its time, may have been stolen or forgotten: a person can act on
its id. Strangers write nothing into the log.
"""

import time
from collections.abc import Callable
from typing import Final

from hashcheck_service.admission.api_keys import KeyRefusedError
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics

_QUIET_SECONDS: Final = 60.0


class KeyRefusals:
    """Of one worker."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._told: dict[tuple[str, str], float] = {}  # no more than there are keys and faults

    def note(self, error: KeyRefusedError) -> None:
        self._metrics.key_refused(error.fault)
        if error.key is None:
            return
        what, now = (error.key.id, error.fault), self._monotonic()
        if now - self._told.get(what, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._told[what] = now
            log.warning("key_refused", code=error.fault, key=error.key.id, tenant=error.key.tenant)
