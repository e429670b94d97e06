"""The lines of a text feed, numbered, with a limit on each: one by one, or in blocks of many."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from index_builder.feeds.formats.record import BadRow, Reason
from index_builder.feeds.formats.source_file import SourceFile

MAX_LINE_BYTES: Final = 64 * 1024  # a row has a few hundred bytes; one of megabytes is damage or an attack
BLOCK_BYTES: Final = 2 * 1024 * 1024  # some 25,000 rows: what a block costs beside its rows is nothing


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end, or why it has no text."""

    number: int
    text: str
    bad: BadRow | None = None

    @classmethod
    def of(cls, number: int, raw: bytes) -> "Line":
        """Line `number` from its bytes, its end included; of one that is too long its start is enough."""
        if len(raw) > MAX_LINE_BYTES:
            return cls._bad(number, Reason.LINE_TOO_LONG, f"the line has more than {MAX_LINE_BYTES} bytes")
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            return cls(number, raw.decode().removesuffix("\n").removesuffix("\r"))
        except UnicodeDecodeError:
            return cls._bad(number, Reason.NOT_UTF8, "the line is not UTF-8")

    @classmethod
    def _bad(cls, number: int, reason: Reason, detail: str) -> "Line":
        return cls(number, "", BadRow(number, reason, detail))


@dataclass(slots=True)
class LineReader:
    """Iterate over the lines of a source.

    A byte order mark at the start is dropped. Only LF and CRLF end a line: other Unicode line ends are data.
    """

    source: SourceFile
    count: int = 0

    def __iter__(self) -> Iterator[Line]:
        while raw := self.source.readline(MAX_LINE_BYTES + 1):
            self.count += 1
            line = Line.of(self.count, raw)
            if len(raw) > MAX_LINE_BYTES:
                while raw and not raw.endswith(b"\n"):
                    raw = self.source.readline(1 << 20)
            yield line


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines, the first of them numbered `first`. Of a line that is too long only its start may be there."""

    first: int
    data: bytes


def line_blocks(source: SourceFile, first: int, size: int = BLOCK_BYTES) -> Iterator[LineBlock]:
    """What is left of a source, cut at line ends into blocks of about `size` bytes."""
    begun = b""
    while data := source.read(size):
        data = begun + data
        end = data.rfind(b"\n") + 1
        begun = data[end:][: MAX_LINE_BYTES + 1]
        if end:
            block = LineBlock(first, data[:end])
            first += block.data.count(b"\n")
            yield block
    if begun:
        yield LineBlock(first, begun)
