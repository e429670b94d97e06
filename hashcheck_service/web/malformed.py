"""Requests that cannot be read as HTTP/1.1: answered, counted, and told in one log line a second at most."""

import asyncio
from collections import Counter
from typing import Final

from hashcheck_service.logs import log
from hashcheck_service.problems import Problem
from hashcheck_service.service import Service
from hashcheck_service.web.context import Context, lines
from hashcheck_service.web.responses import document

_EVERY_SECONDS: Final = 1.0


class Malformed:
    """Who sends such requests needs no key, so each costs little here and no line of the log."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._told: Counter[str] = Counter()  # since the last line, by reason

    def __call__(self, problem: Problem) -> bytes:
        """Count one; the answer: headers, an empty line and the body."""
        self._service.metrics.malformed.labels(problem.code).inc()
        if not self._told:
            asyncio.get_running_loop().call_later(_EVERY_SECONDS, self._tell)
        self._told[problem.code] += 1
        headers, body = document(problem, Context(self._service))
        return b"%b\r\n%b" % (lines(headers), body)

    def _tell(self) -> None:
        log.warning("malformed_requests", count=self._told.total(), reasons=dict(self._told))
        self._told.clear()
