"""What a request for a check asks, whichever endpoint it came to."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.hashes import Batch
from hashcheck_service.checking.schema import ResultOut
from hashcheck_service.policy import Policy
from hashcheck_service.web.context import Context

Header = tuple[bytes, bytes]


class Question(NamedTuple):
    """What a request asks of a snapshot. `kind` is the answer's content type, as a header; `answer` makes its body of
    the results that are more than a bare no_match, by the place of the item, or raises what becomes a problem."""

    snapshot: Snapshot
    policy: Policy
    batch: Batch
    hashes: int
    kind: Header
    answer: Callable[[Mapping[int, ResultOut]], bytes]


class Endpoint(Protocol):
    """`basic`: whether Basic authentication will do. `max_body`: in bytes."""

    basic: bool
    max_body: int

    def question(self, context: Context, content_type: bytes, body: bytes) -> Question:
        """Raises what becomes a problem."""
        ...
