"""Every error a caller can get, as an RFC 9457 problem document. The one mapping from errors to HTTP.

`code` is stable and for programs; `detail` is for people and may change. No problem quotes the request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec

from hashcheck_core.errors import (
    HashcheckError,
    HashError,
    SnapshotExpiredError,
    TransportError,
    UnknownHashTypeError,
)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass
class Problem(Exception):  # noqa: N818  the RFC's own word
    """An answer that is an error. Raise it anywhere below the envelope."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        return msgspec.json.encode(self.document(request_id))

    def document(self, request_id: str) -> "ProblemDocument":
        return ProblemDocument(
            type=f"urn:hashcheck:problem:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id,
        )


class ProblemDocument(msgspec.Struct, frozen=True):
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


def from_error(error: HashcheckError) -> Problem:
    """The problem a domain error becomes when a caller meets it."""
    if isinstance(error, UnknownHashTypeError | HashError):
        return Problem(HTTPStatus.BAD_REQUEST, error.code, str(error))
    if isinstance(error, SnapshotExpiredError):
        return unavailable(error.code, str(error))
    if isinstance(error, TransportError):
        # Its sentence may name a path of this host, which is no caller's business.
        return unavailable(error.code, "A part of the service cannot be reached.")
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error))


def unavailable(code: str, detail: str, retry_after: int = 5) -> Problem:
    """503: no verdict can be given now. `retry_after` in seconds."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, {"Retry-After": str(retry_after)})


def no_snapshot() -> Problem:
    return unavailable("no_snapshot", "No verified snapshot is loaded, so nothing can be checked.")


def list_differs() -> Problem:
    return unavailable(
        "served_list_differs", "What was served is not what was signed. It is out of force and made anew."
    )


def from_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for what goes by the name of its status: no such path, method not allowed and the like."""
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(status, code, f"{phrase}.", dict(headers or {}))
