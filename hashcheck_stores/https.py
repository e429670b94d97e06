"""A store behind an HTTPS server: read only. Publish into the directory or bucket that the server serves."""

import ssl
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from hashcheck_core.errors import ConfigError, TransportError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_stores.directory import missing
from hashcheck_stores.store import checked_name

_MAX_CA_BYTES: Final = 16 * 1024 * 1024  # a system's own bundle has a quarter of a megabyte
_TIMEOUT: Final = httpx.Timeout(10.0)  # for each step: connecting, and every read; `Pace` bounds the whole


class HttpsStore:
    """`location` is https://host/path. `ca` is a file of certificates to trust in the place of the system's."""

    def __init__(self, location: str, ca: Path | None = None) -> None:
        try:
            context = tls_context(ca)
            self._client = httpx.Client(
                base_url=location.rstrip("/") + "/", verify=context, timeout=_TIMEOUT, trust_env=False
            )
            weakref.finalize(self, self._client.close)
        except (OSError, ssl.SSLError, httpx.InvalidURL):
            raise ConfigError(
                "The store's address, or the file of certificates, cannot be used.",
                next_step="Write https://host/path; `store_ca` names a file of certificates in PEM.",
            ) from None

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
        try:
            with self._client.stream("GET", checked_name(name), headers=headers) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise missing(name)
                if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                    raise TransportError(
                        f"The store answers {answer.status_code} for {name}.",
                        next_step="See the server's log.",
                    )
                # A server that knows no ranges sends it all again.
                skip = offset if answer.status_code == httpx.codes.OK else 0
                for part in answer.iter_raw():  # as it comes: nothing of a broken answer is lost
                    if skip < len(part):
                        yield part[skip:]
                    skip = max(0, skip - len(part))
        except httpx.HTTPError as error:
            raise TransportError(
                f"The store does not give {name} ({type(error).__name__}).",
                next_step="Check that the server can be reached and that its certificate is good.",
            ) from None

    def create(self, name: str, source: Path | bytes) -> bool:
        raise _read_only()

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        raise _read_only()

    def names(self) -> list[str]:
        raise _read_only()


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """What verifies a server: by the certificates in `ca`, or by the system's. Raises OSError or TransportError."""
    if ca is None:
        return ssl.create_default_context()
    # Read here: the library would wait for ever at a named pipe.
    text = read_limited(ca, _MAX_CA_BYTES, follow_links=True).decode("ascii", "replace")
    return ssl.create_default_context(cadata=text)


def _read_only() -> ConfigError:
    return ConfigError(
        "Nothing can be published by HTTPS.",
        next_step="Publish into the directory or the bucket that the server serves.",
    )
