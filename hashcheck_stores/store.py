"""What a store is: four methods; and the limits on whatever is fetched from one.

It knows no snapshot and believes nothing. Names are `current`, `overlay`, `keys-….json` and `<snapshot>/<file>`.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hashcheck_core.errors import ConfigError, SnapshotFormatError, TransportError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(/[a-z0-9][a-z0-9._-]{0,99})?")
CHUNK_BYTES: Final = 1024 * 1024


class Store(Protocol):
    """Errors are TransportError; a name that is not there is MissingError, a store that cannot be written to
    raises ConfigError for `create` and `swap`."""

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes of `name` from `offset` on, in parts, as they come."""
        ...

    def create(self, name: str, source: Path | bytes) -> bool:
        """Put `source` under a name that is not there yet, whole or not at all; False where it is there."""
        ...

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        """Replace the bytes of `name`, if they still are `before` (None: if there is none); else False."""
        ...

    def names(self) -> list[str]:
        """Every snapshot that has begun to be there, by its id, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a store may be. A trickle of bytes would keep an old list in force for ever."""

    # A mobile link is faster; a store that is slower than this is as good as down.
    bytes_per_second: float = 64 * 1024
    # Connections, handshakes and the first byte take time that is no sign of a trickle.
    grace_seconds: float = 20.0
    clock: Callable[[], float] = time.monotonic

    def keep(self, name: str, parts: Iterator[bytes]) -> Iterator[bytes]:
        """Hand `parts` on; raises TransportError once they come slower than this."""
        begun = self.clock()
        got = 0
        for part in parts:
            got += len(part)
            if self.clock() - begun > self.grace_seconds + got / self.bytes_per_second:
                raise TransportError(
                    f"The store gives {name} too slowly: {got} bytes in {self.clock() - begun:.0f} s.",
                    next_step="See what holds it up; allow a slower store with min_bytes_per_second.",
                )
            yield part


def read_all(store: Store, name: str, limit: int, pace: Pace) -> bytes:
    """All bytes of a small file; raises SnapshotFormatError above `limit`, without fetching more than that."""
    data = bytearray()
    for part in pace.keep(name, store.read(name)):
        data += part
        if len(data) > limit:
            raise SnapshotFormatError(
                f"{name} in the store has more than {limit} bytes.",
                next_step="It is not what it should be; find out who put it there.",
            )
    return bytes(data)


def checked_name(name: str) -> str:
    """`name`, if it is one a store may have; raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is no name in a store.", next_step="This is a fault of hashcheck.")
    return name
