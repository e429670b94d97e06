"""Names of requests and matches: 128 random bits in hex. Drawn from the system many at a time, for it is a system
call a draw. A process that is forked must not go on with what its parent drew: workers are spawned."""

import os
from typing import Final

_BYTES: Final = 16
_DRAWN: Final = 256

_pool: list[str] = []


def new_id() -> str:
    """A name no other process gives."""
    if not _pool:
        drawn = os.urandom(_BYTES * _DRAWN).hex()
        _pool.extend(drawn[at : at + 2 * _BYTES] for at in range(0, len(drawn), 2 * _BYTES))
    return _pool.pop()
