"""What is known of one request while it is answered."""

from collections.abc import Iterable
from typing import Any

from hashcheck_service.service import Service
from hashcheck_service.web.request_ids import new_id

CONTEXT = "hashcheck"
SNAPSHOT_HEADER = b"hashcheck-snapshot"
REQUEST_ID_HEADER = b"hashcheck-request-id"


class Context:
    """What is known of one request. `route` is a fixed name for metrics, set by the handler."""

    __slots__ = ("request_id", "route", "snapshot", "tenant")

    def __init__(self, service: Service, route: str = "other") -> None:
        self.request_id = new_id()
        self.snapshot = service.follower.current
        self.route = route
        self.tenant = ""

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(REQUEST_ID_HEADER, self.request_id.encode())]
        if (
            self.snapshot is not None and self.tenant
        ):  # strangers learn nothing of the list, not even that it changed
            headers.append((SNAPSHOT_HEADER, self.snapshot.id.encode()))
        return headers

    def lines(self) -> bytes:
        """`headers`, as HTTP/1.1 writes them; for who has a key."""
        if self.snapshot is None:
            return lines(self.headers())
        return b"hashcheck-request-id: %b\r\nhashcheck-snapshot: %b\r\n" % (
            self.request_id.encode(),
            self.snapshot.id.encode(),
        )


def context_of(scope: Any) -> Context:
    """The context of a request's scope."""
    context = scope[CONTEXT]
    assert isinstance(context, Context)
    return context


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as HTTP/1.1 writes them."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
