"""`[feed.fetch]` in feeds.toml: where a feed is fetched from, with whose credentials, and what that may cost.

A credential stands here by reference alone, `env:NAME` or `file:PATH`; it is read when it is needed and nowhere kept.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from index_builder.config.durations import Duration

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\0]{1,4096}")
CREDENTIALS: Final = ("user", "password", "token", "function_key", "subscription_key")
# What each source needs; every other format is one file, and takes a user with a password, a token, or neither.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "ncmec": ("user", "password"),
    "stopncii": ("function_key", "subscription_key"),
    "tat": ("user", "password"),
    "threatexchange": ("token",),
}
DEFAULT_URLS: Final[Mapping[str, str]] = {
    "stopncii": "https://api.stopncii.org/v1",
    "tat": "https://beta.terrorismanalytics.org",
    "threatexchange": "https://graph.facebook.com/v9.0",
}


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError("a credential is named, never written here: env:NAME or file:PATH")
    return text


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this is no address") from None
    if not host or parts.scheme not in ("https", "http") or any(c.isspace() for c in text):
        raise ValueError("write the address as https://host/path")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("only https will do: a list fetched in clear can be changed on its way")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address has no user, query or fragment here: credentials have keys of their own")
    return text.rstrip("/")


Reference = Annotated[str, AfterValidator(_reference)]
Address = Annotated[str, AfterValidator(_address)]


class FetchConfig(BaseModel):
    """Where one feed comes from. The limits are for one run."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: Address | None = None
    path: Path | None = None
    user: Reference | None = None
    password: Reference | None = None
    token: Reference | None = None
    function_key: Reference | None = None
    subscription_key: Reference | None = None
    privacy_group: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")] | None = None
    ca: Path | None = None
    # A page of a thousand entries has a megabyte; a whole list in one file may have many gigabytes.
    max_page_bytes: int = Field(default=64 * 1024**2, ge=1024)
    max_file_bytes: int = Field(default=16 * 1024**3, ge=1024)
    # Ten million entries by a thousand, four times over: more than that is a source that never ends.
    max_pages: int = Field(default=40_000, ge=1)
    # A first fetch takes hours. What a run did not come to, the next one does.
    max_time: Duration = timedelta(hours=12)
    # A trickle would hold a fetch up for ever. A mobile link is faster than this.
    min_bytes_per_second: int = Field(default=16 * 1024, ge=1)
    # Six, with their waits, bridge a minute or two: a restart at the other end, not an outage.
    attempts: int = Field(default=6, ge=1, le=20)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.url is not None and self.path is not None:
            raise ValueError("a feed is fetched from a `url` or a `path`, not both")
        return self

    def check(self, feed_format: str) -> None:
        """Raises ValueError where a key is missing for `feed_format`, or has no place there."""
        needed = NEEDED.get(feed_format)
        given = {name for name in CREDENTIALS if getattr(self, name) is not None}
        if (self.privacy_group is None) == (feed_format == "threatexchange"):
            raise ValueError("`fetch.privacy_group` is for `threatexchange`, which needs it")
        if needed is not None:
            if self.path is not None:
                raise ValueError(
                    f"a `{feed_format}` feed is fetched from a `url`; saved pages are its `path`"
                )
            if self.url is None and feed_format not in DEFAULT_URLS:
                raise ValueError(f"a `{feed_format}` feed needs `fetch.url`")
            if given != set(needed):
                names = " and ".join(f"`fetch.{name}`" for name in needed)
                raise ValueError(f"a `{feed_format}` feed needs {names}, and no other credential")
        elif self.url is None and self.path is None:
            raise ValueError("a feed that is fetched needs `fetch.url` or `fetch.path`")
        elif given not in (set(), {"token"}, {"user", "password"}) or (given and self.path is not None):
            raise ValueError("a file by https takes `fetch.user` and `fetch.password`, or `fetch.token`")

    def resolved(self, base: Path) -> Self:
        """The same with paths relative to the config's folder `base`."""
        update: dict[str, object] = {
            name: base / value for name in ("path", "ca") if (value := getattr(self, name)) is not None
        }
        for name in CREDENTIALS:
            value = getattr(self, name)
            if value is not None and value.startswith("file:"):
                update[name] = f"file:{base / value.removeprefix('file:')}"
        return self.model_copy(update=update)
