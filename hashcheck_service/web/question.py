"""What a request for a check asks, whichever endpoint it came to."""

from collections.abc import Callable, Mapping
from typing import Protocol

from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.checking.checker import Asked
from hashcheck_service.checking.schema import ResultOut
from hashcheck_service.web.context import Context

Header = tuple[bytes, bytes]


class Question(Asked, frozen=True, gc=False):
    """What a request asks of a snapshot, and the form of its answer.

    `kind` is the answer's content type, as a header. `answer` makes its body of the results that are more than a bare
    no_match, by the place of the item; it raises what becomes a problem.
    """

    kind: Header
    answer: Callable[[Mapping[int, ResultOut]], bytes]


class Endpoint(Protocol):
    """`scope`: what a key needs. `basic`: whether Basic authentication will do. `max_body`: in bytes."""

    scope: KeyScope
    basic: bool
    max_body: int

    def question(self, context: Context, content_type: bytes, body: bytes) -> Question:
        """Raises what becomes a problem."""
        ...
