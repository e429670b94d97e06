"""A bare ASGI app that answers a constant: what the server alone costs. The yardstick of `serve`.

uvicorn reads its requests with httptools, the fastest parser it has.
"""

from typing import Any

_BODY = b'{"results":[]}' + b" " * 400
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
