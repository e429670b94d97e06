"""The body of a request, whole, within a size and a time. It knows ASGI and nothing above it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.types import Receive, Scope

from hashcheck_service.admission.api_keys import Client
from hashcheck_service.admission.slots import Slots
from hashcheck_service.http1.shared import AT_HAND
from hashcheck_service.problems import Problem

_NO_STATE: Final[dict[str, Any]] = {}
_CLOSE: Final = {
    "Connection": "close"
}  # what is left of the body is not read: the connection cannot be used again


class Bodies:
    """The bodies that are being read, or wait: at most so many bytes of them, shared fairly between tenants."""

    def __init__(self, limit: int) -> None:
        self._slots = Slots(limit, "bodies")

    @contextmanager
    def reading(self, tenant: str) -> Iterator[Callable[[int], None]]:
        """For the time of a `with` block, hold the bytes of one body.

        What it gives is told how many they are by now; it raises Problem 503 where the tenant's share has no room.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if size > held:
                self._slots.take(tenant, size - held)
                held = size

        try:
            yield hold
        finally:
            if held:
                self._slots.give(tenant, held)


def header(scope: Scope, name: bytes, default: bytes = b"") -> bytes:
    """The value of the first header called `name`, in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return default


def authorization(scope: Scope) -> bytes:
    """The value of the `Authorization` header; empty where there is none, or more than one: which would count?"""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    return bytes(given[0]) if len(given) == 1 else b""


def client(scope: Scope) -> Client:
    """The other end of the connection, as the socket has it: no header is believed. None where it has no address."""
    found = scope.get("client")
    return None if found is None else (found[0], found[1])


def _no_count(size: int) -> None:
    """Of bodies that are small at most."""


async def read_body(
    scope: Scope, receive: Receive, limit: int, seconds: float, hold: Callable[[int], None] = _no_count
) -> bytes:
    """The whole body; raises Problem 413 above `limit` bytes, 408 after `seconds`.

    `hold` is told how many bytes are in hand, and may raise.

    Nearly always it came with the head: where `protocol` says so, nothing is waited for and no time is set.
    """
    at_hand: Callable[[], bytes | None] | None = scope.get("state", _NO_STATE).get(AT_HAND)
    if at_hand is not None and (body := at_hand()) is not None:
        if len(body) > limit:
            raise too_large(limit, whole=True)
        return body
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise too_large(limit)
    late = False
    task = asyncio.current_task()
    assert task is not None

    def cut_off() -> None:
        nonlocal late
        late = True
        task.cancel()

    # asyncio.timeout() does the same at thrice the cost.
    timer = asyncio.get_running_loop().call_later(seconds, cut_off)
    try:
        return await _read(receive, limit, hold)
    except asyncio.CancelledError:
        if not late or task.uncancel():  # it was another who cancelled, or another too
            raise
        raise Problem(
            408, "body_timeout", f"The body did not arrive within {seconds:g} s.", dict(_CLOSE)
        ) from None
    finally:
        timer.cancel()


async def _read(receive: Receive, limit: int, hold: Callable[[int], None]) -> bytes:
    chunks = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "client_disconnected", "The client went away.")
        body = message.get("body", b"")
        if len(chunks) + len(body) > limit:
            raise too_large(limit)
        hold(len(chunks) + len(body))
        if not message.get("more_body", False):
            return bytes(chunks + body) if chunks else body
        chunks += body


def too_large(limit: int, *, whole: bool = False) -> Problem:
    """`whole`: all of it was read, so that the connection can be used again."""
    return Problem(413, "body_too_large", f"A body has at most {limit} bytes.", {} if whole else dict(_CLOSE))
