"""Structured logs: one JSON object a line on standard error, by a thread that nobody waits for.

What may stand in them is what a caller of `log` puts there by name: never a body, a hash, a file name, an
address or an uploader. There is no access log: a check that finds nothing leaves only a counter. An unforeseen
error is logged as its type and the places it passed through; its text is dropped, for it may quote input.
"""

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from hashcheck_service.processes.log_lines import standard_error

log: Any = structlog.get_logger("hashcheck")

_SHARED: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Send this program's logs, and those of the libraries under it, to standard error as JSON lines."""
    handler = _ToLines()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, _drop_trace],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.WARNING)  # the supervisor tells when a worker starts and ends
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_crash(event: str, error: BaseException, **fields: object) -> None:
    """Log an unforeseen error without its text: type, and the functions it passed through."""
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error(event, error=type(error).__name__, frames=frames, **fields)


class _ToLines(logging.Handler):
    """Hands each line to the thread that writes it. It needs no lock: `write` has its own."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            standard_error().write(self.format(record).encode() + b"\n")
        except Exception:
            self.handleError(record)


def _drop_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's logged exception: keep its type, drop its text and traceback."""
    info = event.pop("exc_info", None)
    if isinstance(info, tuple) and info[0] is not None:
        event["error"] = info[0].__name__
    event.pop("stack_info", None)
    return event
