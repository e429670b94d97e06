"""What the application gives to the connections of its worker: one object, in the state of the lifespan."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from hashcheck_service.admission.api_keys import Client
from hashcheck_service.admission.load import Load
from hashcheck_service.http1.fast_head import Head
from hashcheck_service.problems import Problem
from hashcheck_service.settings import Limits

SHARED: Final = "shared"  # its name in that state
AT_HAND: Final = "body_at_hand"  # in a request's state: what gives its body, if all of it was read, or None
Written = tuple[int, bytes]  # status; headers, an empty line and the body, as HTTP/1.1 writes them


class Checks(Protocol):
    """What answers a whole plain request without the usual way."""

    @property
    def paths(self) -> frozenset[str]: ...

    def at_once(
        self, head: Head, body: bytes, connections: int, caller: Client
    ) -> Written | Awaitable[Written]: ...


class Allowance:
    """Bytes that a worker reads on and throws away for callers without a key, all of them together."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._since = 0.0

    def take(self, size: int, now: float) -> bool:
        """Whether so many more may be read. `now`: seconds of a clock that only rises."""
        self._left = min(self._per_second, self._left + (now - self._since) * self._per_second)
        self._since = now
        if size > self._left:
            return False
        self._left -= size
        return True


@dataclass(frozen=True, slots=True)
class Shared:
    """One for each worker."""

    limits: Limits
    load: Load
    checks: Checks
    request_lines: Mapping[bytes, str]  # of plain checks, and the path each asks for
    refuse: Callable[
        [Problem], bytes
    ]  # counts a request that cannot be read; headers, an empty line and the body
    has_key: Callable[[Any], bool]  # whether the request of an ASGI scope bears a valid key
    strangers: Allowance = field(default_factory=partial(Allowance, 32 * 1024 * 1024))
