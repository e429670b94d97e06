"""The body of a request, whole, within a size and a time. It knows ASGI and nothing above it."""

import asyncio
from typing import Final

from starlette.types import Receive, Scope

from hashcheck_service.problems import Problem

_CLOSE: Final = {
    "Connection": "close"
}  # what is left of the body is not read: the connection cannot be used again


def header(scope: Scope, name: bytes, default: bytes = b"") -> bytes:
    """The value of the first header called `name`, in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return default


async def read_body(receive: Receive, declared: bytes, limit: int, seconds: float) -> bytes:
    """The whole body, of which the head says that it has `declared` bytes, if it says so.

    Raises Problem 413 above `limit` bytes, 408 after `seconds`.
    """
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
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
        return await _read(receive, limit)
    except asyncio.CancelledError:
        if not late or task.uncancel():  # it was another who cancelled, or another too
            raise
        raise Problem(
            408, "body_timeout", f"The body did not arrive within {seconds:g} s.", dict(_CLOSE)
        ) from None
    finally:
        timer.cancel()


async def _read(receive: Receive, limit: int) -> bytes:
    chunks = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "client_disconnected", "The client went away.")
        body = message.get("body", b"")
        if len(chunks) + len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(chunks + body) if chunks else body
        chunks += body


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"A body has at most {limit} bytes.", dict(_CLOSE))
