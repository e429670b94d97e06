"""The plain checks that one turn of the event loop brings: they are answered together at its end.

Under load many connections speak in one turn, and what a search costs beyond its own reads it then costs once. Alone, a
check is answered as soon as the event loop has nothing more to read.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hashcheck_service.hot_path import Written
from hashcheck_service.logs import log_crash
from hashcheck_service.plain import Head

_MOST: Final = 64  # searched together; more gain nothing, and the first would wait for the last


class Connection(Protocol):
    def answer(self, written: Written | None) -> None:
        """Take the answer to what was asked; None where it has to be had the usual way."""
        ...


class Turn:
    """For one event loop."""

    def __init__(self, at_once: Callable[[Sequence[tuple[Head, bytes]]], list[Written | None]]) -> None:
        self._at_once = at_once
        self._connections: list[Connection] = []
        self._requests: list[tuple[Head, bytes]] = []

    def ask(self, connection: Connection, request: tuple[Head, bytes]) -> None:
        self._connections.append(connection)
        self._requests.append(request)
        if len(self._requests) == 1:
            asyncio.get_running_loop().call_soon(self._end)
        elif len(self._requests) == _MOST:
            self._end()

    def _end(self) -> None:
        if not self._requests:
            return
        connections, self._connections = self._connections, []
        requests, self._requests = self._requests, []
        try:
            answers = self._at_once(requests)
        except Exception as error:  # nobody is left without an answer
            log_crash("turn_failed", error)
            answers = [None] * len(requests)
        for connection, answer in zip(connections, answers, strict=True):
            try:
                connection.answer(answer)
            except Exception as error:  # of one connection; the others get their answers
                log_crash("turn_failed", error)
