"""The keys in force while serving: the key file as it is now, looked at again and again.

A file that is gone, damaged or open to others may be an accident or an attack. The keys read before stay in force for
a while, so that a person can mend it; then nobody is let in until the file is good again. For all that time an alarm
is up. Whoever can delete the file cannot keep a removed key valid for ever. A tampered file is never believed.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from hashcheck_core.errors import HashcheckError
from hashcheck_service.admission.api_keys import ApiKeys
from hashcheck_service.admission.key_file import StoredKey, first_without_key, read_keys
from hashcheck_service.logs import log
from hashcheck_service.metrics import Metrics


class KeyFollower:
    """`current` are the keys in force; `refusal` is the code of what is wrong with the file, None for nothing.

    Raises ConfigError or TransportError where the file cannot be used at the start.
    """

    def __init__(
        self, path: Path, grace_seconds: float, metrics: Metrics, clock: Callable[[], datetime]
    ) -> None:
        self._path = path
        self._grace = grace_seconds
        self._metrics = metrics
        self._clock = clock
        # Taken before the file is read: what changes meanwhile is read again.
        self._stamp = _stamp_of(path)
        self._stored: Mapping[str, StoredKey] = _by_digest(read_keys(path))
        self._told = ""
        self._refused_at: float | None = None
        self.refusal: str | None = None
        self.current = ApiKeys.of(self._stored.values())
        self._metrics.keys_expire(first_without_key(self._stored.values(), clock()))

    def poll(self, now: float) -> None:
        """Take the file as it is; `now` is in seconds of a clock that does not jump."""
        stamp = _stamp_of(self._path)
        if stamp != self._stamp or self.refusal is not None:
            try:
                self._take(_by_digest(read_keys(self._path)))
            except HashcheckError as error:
                self._refuse(error, now)
            else:
                self._stamp = stamp
        self._metrics.key_file_refused(0.0 if self._refused_at is None else now - self._refused_at)
        self._metrics.keys_expire(first_without_key(self._stored.values(), self._clock()))

    def _take(self, stored: Mapping[str, StoredKey]) -> None:
        before, self._stored = self._stored, stored
        self.current = ApiKeys.of(stored.values())
        self._told, self._refused_at, self.refusal = "", None, None
        log.info(
            "keys_reloaded",
            added=_ids(stored, stored.keys() - before.keys()),
            removed=_ids(before, before.keys() - stored.keys()),
            changed=_ids(
                stored, {key for key in stored.keys() & before.keys() if stored[key] != before[key]}
            ),
        )

    def _refuse(self, error: HashcheckError, now: float) -> None:
        if self._refused_at is None:
            self._refused_at = now
        self.refusal = error.code
        left = self._refused_at + self._grace - now
        if str(error) != self._told:  # tried at every poll, told once
            self._told = str(error)
            log.error("keys_refused", code=error.code, message=str(error), kept_seconds=max(0, round(left)))
        if left <= 0 and self.current.known:
            self.current = ApiKeys({}, known=False)
            log.error("keys_dropped", code=error.code, message=str(error))


def _by_digest(keys: Iterable[StoredKey]) -> dict[str, StoredKey]:
    return {key.sha256: key for key in keys}


def _ids(keys: Mapping[str, StoredKey], digests: Iterable[str]) -> list[str]:
    return sorted(keys[digest].id for digest in digests)


def _stamp_of(path: Path) -> tuple[int, ...] | None:
    """Changes whenever a file is replaced, written or given other rights; None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size
