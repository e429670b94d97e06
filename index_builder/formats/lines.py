"""The lines of a text feed, numbered, with a limit on each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from index_builder.formats.record import BadRow, Reason
from index_builder.formats.source_file import SourceFile

MAX_LINE_BYTES: Final = 64 * 1024  # a row has a few hundred bytes; one of megabytes is damage or an attack


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end, or why it has no text."""

    number: int
    text: str
    bad: BadRow | None = None


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
            if len(raw) > MAX_LINE_BYTES:
                while raw and not raw.endswith(b"\n"):
                    raw = self.source.readline(1 << 20)
                yield self._bad(Reason.LINE_TOO_LONG, f"the line has more than {MAX_LINE_BYTES} bytes")
                continue
            if self.count == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            try:
                yield Line(self.count, raw.decode().removesuffix("\n").removesuffix("\r"))
            except UnicodeDecodeError:
                yield self._bad(Reason.NOT_UTF8, "the line is not UTF-8")

    def _bad(self, reason: Reason, detail: str) -> Line:
        return Line(self.count, "", BadRow(self.count, reason, detail))
