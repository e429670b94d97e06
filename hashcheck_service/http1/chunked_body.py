"""A body in chunks (RFC 9112, 7.1), read strictly and many chunks at a time. Pure.

h11 reads chunks too, but one at a time, which costs a stream of short lines as much as checking them does, and it sets
no limit to chunk extensions.
"""

import re
from typing import Final

from hashcheck_service.http1.faults import Fault, problem_of
from hashcheck_service.http1.head_rules import FIELDS

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?[ \t]*)*\r\n" % (_TOKEN, _TOKEN, _QUOTED)
)
_MAX_LINE: Final = 4 * 1024  # of a size with its extensions
_MAX_TRAILERS: Final = 8 * 1024
# Size lines, extensions and line ends may outweigh twice the content by so much. It allows 5,000 chunks of one byte.
_MAX_EXCESS: Final = 16 * 1024


class ChunkedBody:
    """Reads one body, in whatever parts it comes."""

    def __init__(self) -> None:
        self._kept = b""  # of a line that is not whole, or of trailers
        self._missing = 0  # bytes of the chunk under way
        self._first = True  # no chunk came before
        self._trailers = False  # the last chunk has come
        self._excess = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Read on.

        Returns: content, and what stands behind the body; None for the latter while the body goes on.

        Raises: Problem where `data` is not in chunks. The body cannot be read on then.
        """
        data = self._kept + data if self._kept else data
        parts: list[bytes] = []
        at = 0
        while not self._trailers:
            if self._missing:
                part = data[at : at + self._missing]
                parts.append(part)
                at += len(part)
                self._missing -= len(part)
                if self._missing:
                    self._kept = b""
                    return b"".join(parts), None
            begin = at
            if not self._first:  # the line end behind the chunk before
                if not data.startswith(b"\r\n", at):
                    return self._keep(data, at, parts, b"\r\n".startswith(data[at:]))
                begin += 2
            line = _SIZE_LINE.match(data, begin)
            if line is None:
                return self._keep(data, at, parts, data.find(b"\n", begin) < 0)
            size = int(line[1], 16)
            self._count(line.end() - begin, size)
            self._first = False
            if size:
                at, self._missing = line.end(), size
            else:
                at, self._trailers = line.end() - 2, True  # from the line end on: so none look like some
        return self._look_for_end(data[at:], parts)

    def _keep(self, data: bytes, at: int, parts: list[bytes], unfinished: bool) -> tuple[bytes, None]:
        self._kept = data[at:]
        if not unfinished or len(self._kept) > _MAX_LINE:
            raise problem_of(Fault.MALFORMED_CHUNK)
        return b"".join(parts), None

    def _count(self, line: int, size: int) -> None:
        self._excess = max(0, self._excess + line + 2 - 2 * size)
        if line > _MAX_LINE or self._excess > _MAX_EXCESS:
            raise problem_of(Fault.TOO_MUCH_CHUNK_OVERHEAD)

    def _look_for_end(self, data: bytes, parts: list[bytes]) -> tuple[bytes, bytes | None]:
        end = data.find(b"\r\n\r\n")
        if (len(data) if end < 0 else end) > _MAX_TRAILERS:
            raise problem_of(Fault.HEAD_TOO_LARGE)
        if end < 0:
            self._kept = data
            return b"".join(parts), None
        if FIELDS.fullmatch(data, 2, end + 2) is None:
            raise problem_of(Fault.MALFORMED_CHUNK)
        return b"".join(parts), data[end + 4 :]
