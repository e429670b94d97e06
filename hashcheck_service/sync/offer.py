"""What a worker was handed to serve: the sealed memory of a snapshot, or leave to map its files."""

import os
import threading
from contextlib import suppress


class Offer:
    """The newest offer, or none. `number` rises with each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot: str | None = None
        self._descriptor: int | None = None
        self.number = 0

    def put(self, snapshot: str, descriptors: list[int]) -> None:
        """Take over an offer with its descriptor, if there is one, in the place of the one before."""
        with self._lock:
            self._close()
            self._snapshot = snapshot
            self._descriptor = descriptors[0] if descriptors else None
            self.number += 1

    def withdraw(self, snapshot: str) -> None:
        with self._lock:
            if self._snapshot == snapshot:
                self._close()

    def of(self, snapshot: str) -> tuple[bool, int | None]:
        """Whether this snapshot is offered, and a copy of the descriptor of its memory, which is the caller's to
        close; None where its files are to be mapped."""
        with self._lock:
            if self._snapshot != snapshot:
                return False, None
            return True, None if self._descriptor is None else os.dup(self._descriptor)

    def _close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._snapshot = self._descriptor = None
