"""A whole request for a check in the bytes just read: what its head says, if it is of the plainest kind. Pure.

Nearly every request has a head of a handful of plain fields. Whatever is not plainly that (two at once, a field twice,
another method, a query, chunks) goes the usual way through h11: where the two could disagree there is nothing to
disagree about.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hashcheck_service.admission.api_keys import ApiKey, ApiKeys
from hashcheck_service.http1.head_rules import FIELDS, HOST

# With one of these what follows the head is not simply a body of its length, or is not simply on its way.
_UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"proxy-connection", b"content-encoding"})
# A server may ignore an Upgrade (RFC 9110, 7.8), and we do. Java's HttpClient and curl --http2 send one.
_IGNORED: Final = frozenset({b"keep-alive", b"upgrade", b"http2-settings"})
_MAX_BYTES: Final = 8 * 1024  # of a head; a plain one has a few hundred, and it is kept
_MAX_DIGITS: Final = 9  # of a length; no body is so long
_MAX_HELD: Final = (
    24 * 1024
)  # of a request whose body has not all come; one that is answered at once is smaller


@dataclass(slots=True)
class Head:
    """What counts of a head: the path, two fields (empty where they are missing), and the length of the body.

    `key` is for whoever has found out whose key it bears, and among which: the next request with the same head need
    not find it out again.
    """

    path: str
    authorization: bytes
    content_type: bytes
    length: int
    key: tuple[ApiKeys, ApiKey] | None = field(default=None, compare=False)


def read_head(data: bytes, paths: Mapping[bytes, str]) -> tuple[int, Head] | None:
    """The length of the plain head that `data` begins with, and what it says, if it asks for one of `paths`."""
    first = data.find(b"\r\n")
    path = paths.get(data[:first])
    end = data.find(b"\r\n\r\n", first) + 2
    if path is None or not 2 <= end <= _MAX_BYTES or FIELDS.fullmatch(data, first + 2, end) is None:
        return None
    lines = data[first + 2 : end - 2].split(b"\r\n")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip(b" \t")
    length = fields.get(b"content-length", b"")
    if (
        len(fields) < len(lines)
        or not _UNUSUAL.isdisjoint(fields)
        or not (length.isdigit() and len(length) <= _MAX_DIGITS)
        or HOST.fullmatch(fields.get(b"host", b" ")) is None
        or not _keeps(fields.get(b"connection"))
    ):
        return None
    authorization, content_type = fields.get(b"authorization", b""), fields.get(b"content-type", b"")
    return end + 2, Head(path, authorization, content_type, int(length))


def _keeps(connection: bytes | None) -> bool:
    """Whether a `Connection` field says nothing that we heed."""
    return connection is None or _IGNORED.issuperset([one.strip() for one in connection.lower().split(b",")])


def request_lines(paths: Iterable[str]) -> Mapping[bytes, str]:
    """Each of `paths` by the line that asks for it by POST."""
    return {f"POST {path} HTTP/1.1".encode(): path for path in paths}


class PlainReader:
    """Reads one connection. A caller mostly sends the same head again and again, so the last one is kept: what is the
    same to the byte says the same."""

    __slots__ = ("_bytes", "_head", "_paths")

    def __init__(self, paths: Mapping[bytes, str]) -> None:
        self._paths = paths
        self._bytes = b""
        self._head: Head | None = None

    def whole(self, data: bytes) -> tuple[Head, bytes] | None:
        """Head and body of the one request that `data` is, no more and no less; None where it is anything else."""
        head = self._head
        if head is None or not data.startswith(self._bytes):
            read = read_head(data, self._paths)
            if read is None:
                return None
            size, self._head = read
            self._bytes = data[:size]
            head = self._head
        body = data[len(self._bytes) :]
        return (head, body) if len(body) == head.length else None

    def begins(self, data: bytes) -> bool:
        """Whether `data`, just refused by `whole`, is the first part of one short request, its head being whole."""
        head = self._head
        return (
            head is not None
            and data.startswith(self._bytes)
            and len(data) < len(self._bytes) + head.length <= _MAX_HELD
        )
