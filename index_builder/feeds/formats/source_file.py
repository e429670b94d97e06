"""The bytes of a feed as a format reads them: counted, digested, and with a bound on what one entry may take.

It opens nothing: it wraps an open file.
"""

import codecs
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from hashcheck_core.errors import FeedError

MAX_ENTRY_BYTES: Final = 64 * 1024 * 1024  # no parser holds more than this of one entry in memory
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(slots=True)
class SourceFile:
    """An open binary file. After it is read to its end, `digest` and `size` say what it held."""

    file: BinaryIO
    size: int = 0
    on_bytes: Callable[[int], None] = lambda _: None
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def read(self, limit: int = 1 << 16) -> bytes:
        return self._seen(self.file.read(limit))

    def readline(self, limit: int) -> bytes:
        return self._seen(self.file.readline(limit))

    def drain(self) -> None:
        """Read what is left, so that the digest is of every byte."""
        while self.read(1 << 20):
            pass

    def _seen(self, raw: bytes) -> bytes:
        self._hash.update(raw)
        self.size += len(raw)
        self.on_bytes(self.size)
        return raw


class EntryTooLargeError(Exception):
    """One entry has more than MAX_ENTRY_BYTES. Formats turn it into a BadRow; it never leaves them."""


class Utf8Source:
    """A SourceFile as whole UTF-8 for a parser: what is not becomes U+FFFD, and `damaged` says so.

    Without it one stray byte would end a JSON or XML feed where it stands.
    """

    def __init__(self, source: SourceFile, name: str) -> None:
        self._source = source
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._since_entry = 0
        self._begun = False
        self.damaged = False

    def entry_ended(self) -> None:
        self._since_entry = 0

    def read(self, limit: int = 1 << 16) -> bytes:
        if limit == 0:
            return b""
        while True:
            raw = self._source.read(limit)
            self._since_entry += len(raw)
            if self._since_entry > MAX_ENTRY_BYTES:
                raise EntryTooLargeError
            if not self._begun:
                if raw.startswith(_UTF16):
                    raise FeedError(
                        f"Feed {self._name!r} is UTF-16.",
                        next_step="Convert it to UTF-8 where it comes from.",
                    )
                raw_text = raw.removeprefix(codecs.BOM_UTF8)
                self._begun = True
            else:
                raw_text = raw
            text = self._decoder.decode(raw_text, final=not raw)
            self.damaged = self.damaged or "\ufffd" in text
            if text or not raw:
                return text.encode()
