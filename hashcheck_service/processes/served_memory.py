"""The list that the workers of a machine share, as the supervisor keeps it: so that a worker that is started has it at
once, and that it outlives whoever made it. The supervisor hands the descriptor on and never looks into it."""

import contextlib
import os

from hashcheck_service.processes.messages import Offered


class ServedMemory:
    """`offer` is the message that goes with `descriptors`; None while nothing is offered."""

    def __init__(self) -> None:
        self.offer: Offered | None = None
        self.descriptors: tuple[int, ...] = ()

    def keep(self, offer: Offered, descriptors: list[int]) -> None:
        """Keep this one, and no longer the one before."""
        self._close()
        self.offer, self.descriptors = offer, tuple(descriptors)

    def drop(self, snapshot: str) -> None:
        if self.offer is not None and self.offer.snapshot == snapshot:
            self._close()

    def _close(self) -> None:
        for descriptor in self.descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.offer, self.descriptors = None, ()
