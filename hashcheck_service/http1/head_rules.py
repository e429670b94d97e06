"""What RFC 9112 forbids in the head of a request and h11 lets pass. Pure.

A proxy in front may read such a head in another way than we do. Then it takes one caller's bytes for another caller's
request (request smuggling). So a head that could be read in two ways is refused.
"""

import re
from collections.abc import Iterator
from typing import Final

from hashcheck_service.http1.faults import Fault, problem_of

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110, 5.1 and 5.5: a name is a token, a value has no control character but the tab. No folded lines.
FIELDS: Final = re.compile(rb"(?:%b:[\t\x20-\x7e\x80-\xff]*\r\n)*" % _TOKEN)
_REQUEST_LINE: Final = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])\r\n" % _TOKEN)
# RFC 9112, 3.2.2. The path may be missing before a query.
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(/?[^\r\n]*)", re.IGNORECASE)
HOST: Final = re.compile(rb"[0-9A-Za-z\-._~!$&'()*+,;=%:\[\]]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


def checked_head(head: bytes) -> bytes:
    """Look over a whole head, from the request line to the empty line.

    Returns: the head as h11 is to read it. It differs in one thing: a full URL in the request line became a path.

    Raises: Problem for what is forbidden.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise problem_of(Fault.MALFORMED_REQUEST_LINE)
    method, target, version = line.groups()
    if version not in (b"1.0", b"1.1"):
        raise problem_of(Fault.HTTP_VERSION_NOT_SUPPORTED)
    if FIELDS.fullmatch(head, line.end(), len(head) - 2) is None:
        raise problem_of(Fault.MALFORMED_HEADER)
    if method == b"CONNECT":
        raise problem_of(Fault.METHOD_NOT_IMPLEMENTED)
    hosts, lengths, codings = [], [], []
    for name, value in _fields(head[line.end() : -2]):
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if len(hosts) > 1 or (version == b"1.1" and not hosts) or not all(map(HOST.fullmatch, hosts)):
        raise problem_of(Fault.BAD_HOST)
    _look_at_framing(lengths, codings, version)
    path = _path(method, target, hosts)
    return head if path is target else head[: line.start(2)] + path + head[line.end(2) :]


def _look_at_framing(lengths: list[bytes], codings: list[bytes], version: bytes) -> None:
    """Raises Problem unless it is clear where the body ends."""
    if codings:
        if lengths or len(codings) > 1 or version == b"1.0":
            raise problem_of(Fault.BAD_TRANSFER_ENCODING)
        named = {coding.strip(b" \t") for coding in codings[0].lower().split(b",")}
        if not named <= {b"chunked", b""}:
            raise problem_of(Fault.TRANSFER_CODING_NOT_IMPLEMENTED)
        if codings[0].lower() != b"chunked":
            raise problem_of(Fault.BAD_TRANSFER_ENCODING)
    elif len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise problem_of(Fault.BAD_CONTENT_LENGTH)


def _path(method: bytes, target: bytes, hosts: list[bytes]) -> bytes:
    """The target in origin-form; raises Problem where it has none, or has another host."""
    if b"#" in target:
        raise problem_of(Fault.BAD_TARGET)
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise problem_of(Fault.BAD_TARGET)
    host, path = absolute.groups()
    if not host or [host.lower()] != [given.lower() for given in hosts]:
        raise problem_of(Fault.BAD_HOST)
    return path if path.startswith(b"/") else b"/" + path


def _fields(lines: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names in lower case, and values."""
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        yield name.lower(), value.strip(b" \t")
