"""Why something newer is not in force: told once in the log and the metrics, kept for /readyz."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hashcheck_core.errors import DataError, HashcheckError
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics

# What was refused is looked at again after this long even if nothing changed: files may still have been on their
# way, or the disk unwell.
_RETRY: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`detail` is for people, and tells no path of this host."""

    code: str
    message: str
    detail: str

    @classmethod
    def of(cls, error: HashcheckError) -> "Refusal":
        told = str(error) if isinstance(error, DataError) else "It could not be fetched or read; see the log."
        return cls(error.code, str(error), told)


class Refusals:
    """The standing refusal of one kind of work, if there is one, and when to try that work again."""

    def __init__(self, metrics: Metrics, event: str) -> None:
        self._metrics = metrics
        self._event = event
        self._retry_at: datetime | None = None
        self.current: Refusal | None = None

    def due(self, now: datetime) -> bool:
        """Whether work that is still refused may be tried again."""
        return self._retry_at is not None and now >= self._retry_at

    def clear(self) -> None:
        self._retry_at = self.current = None

    def refuse(self, error: HashcheckError, now: datetime, still_serving: str | None) -> None:
        self._retry_at = now + _RETRY
        refusal = Refusal.of(error)
        known, self.current = refusal == self.current, refusal
        if not known:
            self._metrics.refused(error.code)
            log.error(self._event, code=error.code, message=str(error), still_serving=still_serving)
