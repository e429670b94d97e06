"""Each line of a file carries a digest of itself and of all lines before it: the chain. Pure.

    {...,"chain":"<SHA-256 of the link before and of this line up to here, in hex>"}

So a line that was changed, taken out, put in or moved shows at its place. A cut end does not show in the chain: the
rest of it is right. It shows by the `end` line that is missing, and by the witness (`witness.py`).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

_KEY: Final = b',"chain":"'
_CLOSE: Final = b'"}\n'
_LINK: Final = 64  # hex digits
_TAIL: Final = len(_KEY) + _LINK + len(_CLOSE)
_MOST_FAULTS: Final = 20


class Chain:
    """Makes lines. `link` is the last one made."""

    def __init__(self, start: str) -> None:
        self.link = start

    def line(self, body: bytes) -> bytes:
        """The line for a JSON object that is not empty."""
        rest = body[:-1]
        self.link = _link(self.link, rest)
        return b"%b%b%b%b" % (rest, _KEY, self.link.encode(), _CLOSE)


@dataclass(slots=True)
class Read:
    """What was found in the lines of a file. `torn`: it ends in half a line; `bytes`: up to the last whole one."""

    lines: int = 0
    hits: int = 0
    bytes: int = 0
    link: str = ""
    start: str | None = None
    after: str | None = None
    chained: bool = True
    ended: bool = False
    torn: bool = False
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(text)


def read_chain(lines: Iterable[bytes], at: int = -1) -> tuple[Read, str | None]:
    """Follow the chain through `lines`, each with its line end.

    Args:
        at: a length in bytes.

    Returns: what was found, and the link of the line that ends at byte `at`; None where no line does.
    """
    read, there = Read(), None
    for line in lines:
        if not line.endswith(b"\n"):
            _torn(read, line)
            break
        read.lines += 1
        read.bytes += len(line)
        if read.lines == 1:
            _first(read, line)
        if read.chained:
            _next(read, line)
        if read.bytes == at:
            there = read.link
    return read, there


def _first(read: Read, line: bytes) -> None:
    record = _record(line)
    if record is not None and "match_id" in record:  # the format before
        read.chained = False
        return
    if record is None or record.get("kind") != "begin" or not isinstance(record.get("start"), str):
        read.fault("line 1 is not the beginning of a file")
        return
    read.start = read.link = record["start"]
    after = record.get("after")
    read.after = after if isinstance(after, str) else None


def _next(read: Read, line: bytes) -> None:
    rest, tail = line[:-_TAIL], line[-_TAIL:]
    link = tail[len(_KEY) : -len(_CLOSE)].decode("latin-1")
    record = _record(line)
    if record is None or tail[: len(_KEY)] != _KEY or tail[-len(_CLOSE) :] != _CLOSE:
        read.fault(f"line {read.lines} is not a line of this log")
    elif link != _link(read.link, rest):
        read.fault(f"line {read.lines} was changed, or what stood before it was")
    elif read.ended:
        read.fault(f"line {read.lines} stands behind the end")
    else:
        hits = record.get("hits")
        read.hits += len(hits) if isinstance(hits, list) else 0
    read.link = link
    read.ended = read.ended or (record is not None and record.get("kind") == "end")


def _torn(read: Read, line: bytes) -> None:
    """A line that a crash cut short; but where only its last byte is wrong, somebody changed that."""
    read.torn = True
    whole = line[:-1] + b"\n"
    link = _link(read.link, whole[:-_TAIL]).encode()
    if read.chained and whole[-_TAIL:] == b"%b%b%b" % (_KEY, link, _CLOSE):
        read.fault(f"line {read.lines + 1} has lost its end")


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _link(before: str, rest: bytes) -> str:
    return hashlib.sha256(before.encode() + rest).hexdigest()
