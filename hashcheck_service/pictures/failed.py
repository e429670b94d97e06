"""Which files a decoder failed on shortly before, so that the same file again costs nothing."""

import time
from collections.abc import Callable
from typing import Final

from hashcheck_service.checking.reasons import Reason

_SECONDS: Final = 300.0
_MOST: Final = 1_000


class FailedPictures:
    """The SHA-256 of files that took too long or killed their process, for some minutes, and what was said of each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: dict[bytes, tuple[float, Reason]] = {}  # in the order in which they are forgotten

    def __bool__(self) -> bool:
        """Whether there are any."""
        self._forget()
        return bool(self._files)

    def reason(self, digest: bytes) -> Reason | None:
        """Why the file with this SHA-256 failed; None for one that is not remembered."""
        self._forget()
        _, reason = self._files.get(digest, (0.0, None))
        return reason

    def add(self, digest: bytes, reason: Reason) -> None:
        """Remember it; where there are too many, the oldest is forgotten."""
        self._files.pop(digest, None)
        self._files[digest] = (self._clock() + _SECONDS, reason)
        self._forget()

    def _forget(self) -> None:
        now = self._clock()
        while self._files:
            digest, (until, _) = next(iter(self._files.items()))
            if until > now and len(self._files) <= _MOST:
                return
            del self._files[digest]
