"""One GET after another from one source by HTTPS, each into a file: within limits, and never to another host.

What may pass by itself is raised as TransientError; what will not is an error with its next step. It knows no format
and tries nothing twice. No answer of the source is quoted in an error: it could hold anything.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Self

import httpx

from hashcheck_core.errors import ConfigError, FeedError, TransportError
from hashcheck_core.snapshot.files import transport_error
from hashcheck_stores.https import tls_context
from hashcheck_stores.store import Pace
from index_builder.config.fetch import FetchConfig
from index_builder.feeds.fetching.retry import TransientError

_TIMEOUT: Final = httpx.Timeout(60.0, connect=15.0)  # for each step; `Pace` bounds the whole of an answer
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_MAX_LOGIN_BYTES: Final = 64 * 1024
# What is asked for reaches up to this machine's present. Where that lies in the source's future, entries are missed.
MAX_AHEAD: Final = timedelta(minutes=5)


class DeniedError(ConfigError):
    """401 or 403: the credentials do not do. Trying again would only lock the account."""


class PageError(TransientError):
    """An answer came, and it is not a page of what was asked for. Once may be chance; it is kept for a person."""


class HtmlError(PageError):
    """An HTML page: of a proxy, a login, an apology. It says nothing of the list, so nothing of the list is passed."""

    def __init__(self) -> None:
        super().__init__("it is an HTML page, as a proxy or a login sends")


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask for: a path below the feed's address. Neither it nor the parameters hold a credential."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


class Client:
    """For one feed. `clock` is the wall's, to compare with the source's."""

    def __init__(self, feed: str, url: str, config: FetchConfig, clock: Callable[[], datetime]) -> None:
        self._feed = feed
        self._url = url
        self._pace = Pace(config.min_bytes_per_second)
        self._clock = clock
        try:
            context = ssl.SSLContext(
                ssl.PROTOCOL_TLS_CLIENT
            )  # trusts nobody yet: enough for loopback in clear
            if url.startswith("https:"):
                context = tls_context(config.ca)
            self._http = httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False)
        except (OSError, ssl.SSLError):
            raise ConfigError(
                f"Feed {feed!r}: the file of certificates `ca` cannot be used.",
                next_step="Name a file of certificates in PEM, or leave it out for those of the system.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, ask: Ask, headers: Mapping[str, str], to: Path, limit: int) -> None:
        """Write the answer to `to`. Raises TransientError, DeniedError, FeedError above `limit`, or TransportError."""
        with self._answer("GET", ask, headers) as answer:
            kind = answer.headers.get("content-type", "")
            try:
                with to.open("wb") as file:
                    for part in self._body(answer, limit):
                        file.write(part)
            except OSError as error:
                raise transport_error(to, error, "written") from None
        if kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
            raise HtmlError

    def post(self, ask: Ask, form: Mapping[str, str]) -> bytes:
        """The answer to a form; raises as `get` does."""
        with self._answer("POST", ask, {}, form) as answer:
            return b"".join(self._body(answer, _MAX_LOGIN_BYTES))

    def _body(self, answer: httpx.Response, limit: int) -> Iterator[bytes]:
        got = 0
        try:
            for part in self._pace.keep("the answer", answer.iter_bytes()):
                got += len(part)
                if got > limit:
                    raise FeedError(
                        f"Feed {self._feed!r}: an answer has more than {limit} bytes.",
                        next_step="See what the source sends; raise the limit if it is right.",
                    )
                yield part
        except TransportError:
            raise TransientError(f"The source of feed {self._feed!r} answers too slowly") from None
        except httpx.HTTPError as error:
            raise self._broken(error) from None

    @contextmanager
    def _answer(
        self, method: str, ask: Ask, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        url = self._address(ask)
        sent = {"Accept-Encoding": "identity", "User-Agent": "hashcheck index-builder", **headers}
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                answer = self._http.send(
                    self._http.build_request(method, url, headers=sent, data=form), stream=True
                )
            except httpx.HTTPError as error:
                raise self._broken(error) from None
            try:
                if answer.status_code not in _REDIRECTS:
                    self._look_at(answer)
                    yield answer
                    return
                url = self._redirected(url, answer)
            finally:
                answer.close()
        raise self._stopped("redirects without end", "Ask whoever keeps it.")

    def _address(self, ask: Ask) -> httpx.URL:
        try:
            url = httpx.URL(self._url + ask.path)
            if ask.params:
                url = url.copy_merge_params(ask.params)
        except (httpx.InvalidURL, UnicodeError):
            raise self._stopped("leads to what is no address", "Ask whoever keeps it.") from None
        if _origin(url) != _origin(httpx.URL(self._url)):
            raise self._stopped("leads to another host", "Ask whoever keeps it; nothing was sent there.")
        return url

    def _redirected(self, url: httpx.URL, answer: httpx.Response) -> httpx.URL:
        try:
            target = url.join(answer.headers.get("location", ""))
        except (httpx.InvalidURL, UnicodeError):
            target = httpx.URL()
        if _origin(target) != _origin(url):
            raise self._stopped(
                "redirects to another host", "Ask whoever keeps it, and set `fetch.url` to the new address."
            )
        return target

    def _look_at(self, answer: httpx.Response) -> None:
        """Raise for what is no good answer, or for a clock that is wrong."""
        status = answer.status_code
        if status in (401, 403):
            raise DeniedError(
                f"The source of feed {self._feed!r} answers {status}: it does not take these credentials.",
                next_step="Check them, and that this machine's address is allowed there. It was not tried again.",
            )
        if status in _AGAIN:
            raise TransientError(
                f"The source of feed {self._feed!r} answers {status}", self._retry_after(answer)
            )
        if status != httpx.codes.OK:
            raise self._stopped(
                f"answers {status}",
                "Check `fetch.url`; where it went well before, begin the poll anew with: "
                "index-builder fetch --restart",
            )
        told = _date(answer.headers.get("date"))
        ahead = self._clock() - told if told is not None else timedelta()
        if ahead > MAX_AHEAD:
            raise ConfigError(
                f"This machine's clock is {ahead // timedelta(minutes=1)} minutes ahead of that of feed "
                f"{self._feed!r}.",
                next_step="Set the clock: what is asked for up to a time to come would never be asked for again.",
            )

    def _retry_after(self, answer: httpx.Response) -> float | None:
        text = answer.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        moment = _date(text)
        return None if moment is None else max(0.0, (moment - self._clock()).total_seconds())

    def _broken(self, error: httpx.HTTPError) -> TransientError:
        return TransientError(f"The source of feed {self._feed!r} cannot be reached ({type(error).__name__})")

    def _stopped(self, what: str, next_step: str) -> TransportError:
        return TransportError(f"The source of feed {self._feed!r} {what}.", next_step=next_step)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
