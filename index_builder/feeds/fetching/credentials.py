"""Credentials: read from the environment or a file when they are needed, and taken out of whatever is kept.

Sources repeat them: ThreatExchange writes the caller's token into the address of every next page. It writes nothing.
"""

import base64
import json
import mmap
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.files import NOT_FOR_OTHERS, read_limited
from index_builder.config.fetch import CREDENTIALS, FetchConfig

MARK: Final = b"REDACTED"
_MAX_BYTES: Final = 64 * 1024
_SHORTEST: Final = 8  # a shorter one could not be told from data, and would be taken out of those


class Credentials:
    """What the config of one feed names, by key. Raises ConfigError, or TransportError for a file."""

    def __init__(self, feed: str, config: FetchConfig) -> None:
        self._values = {
            name: _read(feed, name, reference)
            for name in CREDENTIALS
            if (reference := getattr(config, name)) is not None
        }
        self._secrets: set[bytes] = set()
        for name, value in self._values.items():
            if name != "user":
                self.keep_secret(value)
        if "password" in self._values:
            self.keep_secret(self.basic)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def basic(self) -> str:
        """User and password as HTTP's Basic scheme has them."""
        return base64.b64encode(f"{self['user']}:{self['password']}".encode()).decode()

    def keep_secret(self, value: str) -> None:
        """Take `value` out of what is kept from now on, in every form it is written in."""
        for text in {value, quote(value, safe=""), quote_plus(value)}:
            for form in (text, json.dumps(text)[1:-1], text.replace("/", "\\/"), _lower_escapes(text)):
                self._secrets.add(form.encode())

    def stand_in(self, data: mmap.mmap) -> bool:
        """Whether any credential stands in `data`."""
        return any(data.find(secret) >= 0 for secret in self._secrets)

    def redact(self, data: bytes) -> tuple[bytes, int]:
        """`data` without any credential, and in how many places one stood."""
        count = 0
        for secret in sorted(self._secrets, key=len, reverse=True):
            found = data.count(secret)
            if found:
                count += found
                data = data.replace(secret, MARK)
        return data, count


def _read(feed: str, name: str, reference: str) -> str:
    kind, _, where = reference.partition(":")
    if kind == "env":
        value = os.environ.get(where, "")
        place = f"environment variable {where}"
    else:
        value = _text(read_limited(Path(where), _MAX_BYTES, follow_links=True, privacy=NOT_FOR_OTHERS))
        place = where
    value = value.strip()
    if not value or not value.isprintable() or not value.isascii():
        raise ConfigError(
            f"Feed {feed!r}: {place} holds no `{name}`.", next_step="Put it there, in one line of ASCII."
        )
    if name != "user" and len(value) < _SHORTEST:
        raise ConfigError(
            f"Feed {feed!r}: the `{name}` in {place} has fewer than {_SHORTEST} characters.",
            next_step="See that it is whole; one so short could be guessed, and not be told from data.",
        )
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def _lower_escapes(text: str) -> str:
    """`%7C` as `%7c`: both are written."""
    head, *rest = text.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)
