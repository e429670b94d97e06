"""Why a request cannot be read as HTTP/1.1: the codes of framing errors. Each ends its connection."""

from enum import StrEnum
from typing import Final

from hashcheck_service.problems import Problem


class Fault(StrEnum):
    """Stable: clients and alerts use these. docs/checking.md lists them."""

    MALFORMED_REQUEST_LINE = "malformed_request_line"
    MALFORMED_HEADER = "malformed_header"
    BAD_HOST = "bad_host"
    BAD_TARGET = "bad_target"
    BAD_CONTENT_LENGTH = "bad_content_length"
    BAD_TRANSFER_ENCODING = "bad_transfer_encoding"
    MALFORMED_CHUNK = "malformed_chunk"
    TOO_MUCH_CHUNK_OVERHEAD = "too_much_chunk_overhead"
    HEAD_TIMEOUT = "head_timeout"
    HEAD_TOO_LARGE = "head_too_large"
    METHOD_NOT_IMPLEMENTED = "method_not_implemented"
    TRANSFER_CODING_NOT_IMPLEMENTED = "transfer_coding_not_implemented"
    HTTP_VERSION_NOT_SUPPORTED = "http_version_not_supported"


_SAY: Final[dict[Fault, tuple[int, str]]] = {
    Fault.MALFORMED_REQUEST_LINE: (400, "The first line of a request is `METHOD /path HTTP/1.1`, in ASCII."),
    Fault.MALFORMED_HEADER: (
        400,
        "A header is one line `Name: value` that ends with CR LF. It has no space before the colon and no control "
        "character, and does not go on in the next line.",
    ),
    Fault.BAD_HOST: (
        400,
        "A request has one `Host` header with a host name. A full URL in the first line names the same host.",
    ),
    Fault.BAD_TARGET: (
        400,
        "The target in the first line is a path that begins with `/`, without a fragment.",
    ),
    Fault.BAD_CONTENT_LENGTH: (400, "`Content-Length` is given once, as a number in digits."),
    Fault.BAD_TRANSFER_ENCODING: (
        400,
        "`Transfer-Encoding` is `chunked`, once, in HTTP/1.1 only, and never beside `Content-Length`.",
    ),
    Fault.MALFORMED_CHUNK: (400, "The body is not in chunks as RFC 9112 has them."),
    Fault.TOO_MUCH_CHUNK_OVERHEAD: (
        400,
        "The body has far more chunk lines and extensions than content. Send larger chunks.",
    ),
    Fault.HEAD_TIMEOUT: (408, "The head of the request did not arrive in time."),
    Fault.HEAD_TOO_LARGE: (431, "The head of the request, or what follows the last chunk, is too large."),
    Fault.METHOD_NOT_IMPLEMENTED: (501, "CONNECT is for proxies; this is none."),
    Fault.TRANSFER_CODING_NOT_IMPLEMENTED: (
        501,
        "The only transfer coding is `chunked`. Say `Content-Encoding: gzip` for a body that is compressed.",
    ),
    Fault.HTTP_VERSION_NOT_SUPPORTED: (505, "Send HTTP/1.1 or HTTP/1.0."),
}


def problem_of(fault: Fault) -> Problem:
    status, detail = _SAY[fault]
    return Problem(status, fault, detail, {"Connection": "close"})
