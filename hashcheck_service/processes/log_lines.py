"""Log lines that never block who writes them.

A thread writes the lines. When the reader of the log stands still, lines wait in memory up to a bound; further ones
are dropped and counted. Standard library only: the supervisor uses it too.
"""

import atexit
import json
import os
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Final

MAX_WAITING_BYTES: Final = 1024 * 1024  # some thousand lines; more would only be read too late
_CLOSE_SECONDS: Final = 1.0


class LogLines:
    """Writes whole lines to a file descriptor from a thread of its own.

    Args:
        descriptor: where the lines go. Errors while writing drop the line.
        max_waiting_bytes: lines beyond this are dropped.
    """

    def __init__(self, descriptor: int = 2, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._descriptor = descriptor
        self._max_bytes = max_waiting_bytes
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._unreported = 0
        self.dropped = 0  # lines, ever
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Take over one line, with its line feed. Never blocks and never raises."""
        with self._changed:
            if self._bytes + len(line) > self._max_bytes:
                self._drop()
                return
            self._waiting.append(line)
            self._bytes += len(line)
            self._changed.notify_all()

    def flush(self, seconds: float) -> None:
        """Return when all lines are written, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes == 0, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting.popleft()
            written = self._write_all(line)
            with self._changed:
                self._bytes -= len(line)
                self._changed.notify_all()
                if not written:
                    self._drop()
                    continue
                lost, self._unreported = self._unreported, 0
            if lost:
                self.write(line_of("warning", "log_lines_dropped", lines=lost))

    def _drop(self) -> None:
        self.dropped += 1
        self._unreported += 1

    def _write_all(self, line: bytes) -> bool:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # nobody reads any more, or the disk is full
            return False
        return True


def line_of(level: str, event: str, **fields: object) -> bytes:
    """One event as a JSON line, in the form that all processes log."""
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({**fields, "event": event, "level": level, "timestamp": time}).encode() + b"\n"


def standard_error() -> LogLines:
    """The one writer of this process; what waits at the end of the process is given a moment."""
    global _lines
    if _lines is None:
        _lines = LogLines()
        atexit.register(_lines.flush, _CLOSE_SECONDS)
    return _lines


_lines: LogLines | None = None
