"""What became of a picture that no process answered for."""

import signal
from dataclasses import dataclass
from typing import Final, Self

from hashcheck_service.checking.reasons import Reason
from hashcheck_service.fence.messages import Death
from hashcheck_service.logs import log

_TOO_LONG: Final = frozenset({-signal.SIGPROF, -signal.SIGXCPU})
_FORBIDDEN: Final = -signal.SIGSYS
# SIGKILL comes from outside: from the service, an operator, or a machine without memory.
_KILLED: Final = -signal.SIGKILL
# Processor time of a process that was ended for taking too long. With less, the machine was at fault.
_WORKED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """`cause`, for metrics: "time", "death", "fence" or "nonsense". `repeats`: the same file would fail again, as far
    as one can tell."""

    cause: str
    reason: Reason
    repeats: bool

    @classmethod
    def of(cls, death: Death, cause: str) -> Self:
        """Of a process that ended so.

        Args:
            death: how it ended.
            cause: as the service saw it: "time" if it gave up waiting, "nonsense" if the answer was none, else "death".
        """
        if cause == "time":
            return cls("time", Reason.IMAGE_TIMEOUT, death.cpu_seconds >= _WORKED_SECONDS)
        if death.status in _TOO_LONG:
            return cls("time", Reason.IMAGE_TIMEOUT, repeats=True)
        if death.status == _FORBIDDEN:
            return cls("fence", Reason.UNDECODABLE_IMAGE, repeats=True)
        repeats = cause == "nonsense" or (death.status < 0 and death.status != _KILLED)
        return cls(cause, Reason.UNDECODABLE_IMAGE, repeats)

    def tell(self, tenant: str, death: Death) -> None:
        """Log whose picture it was and how its process ended; nothing of the picture."""
        if self.cause == "time":
            log.warning("picture_took_too_long", tenant=tenant, cpu_seconds=round(death.cpu_seconds, 1))
        elif self.cause == "fence":
            log.error("picture_broke_fence", tenant=tenant, detail="Its decoder tried what no decoder does.")
        elif self.cause == "nonsense":
            log.error("picture_broke_fence", tenant=tenant, detail="Its decoder said what no decoder says.")
        else:
            log.warning("picture_process_died", tenant=tenant, ended=_how(death.status))


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit {status}"
