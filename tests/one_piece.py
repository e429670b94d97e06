"""A client that sends each request in one piece, head and body together, as many callers of the service do and httpx
does not: the service answers such requests on another way."""

from collections.abc import Iterable
from typing import Any

import httpcore
import httpx


class _Stream(httpcore.NetworkStream):
    """Holds back what is written until something is read."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._held = b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._held += buffer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            self._stream.write(self._held, timeout)
            self._held = b""
        return self._stream.read(max_bytes, timeout)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class OnePiece(httpx.HTTPTransport):
    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(network_backend=_Backend())
