"""A store from what an operator wrote: a path, https://host/path or s3://bucket/prefix."""

from collections.abc import Sequence
from pathlib import Path

from hashcheck_core.errors import ConfigError
from hashcheck_stores.directory import DirectoryStore
from hashcheck_stores.https import HttpsStore
from hashcheck_stores.store import Store


def located(location: str, base: Path) -> str:
    """`location` with a path made relative to `base`; the address of a server or bucket stays as it is."""
    return location if "://" in location else str(base / location)


def open_store(
    location: str,
    ca: Path | None = None,
    *,
    identity: Path | None = None,
    recipients: Sequence[str] = (),
) -> Store:
    """The store at `location`; `ca` for HTTPS as in HttpsStore, `identity` (an age key file) and `recipients` for one
    that is encrypted. Raises ConfigError or TransportError. Nothing is fetched from it yet."""
    store = _open(location, ca)
    if identity is None and not recipients:
        return store
    try:
        from hashcheck_stores.sealed import SealedStore, read_identities, read_recipients
    except ImportError:
        raise ConfigError(
            "Encryption needs a library that is not installed.", next_step="Run: pip install 'hashcheck[age]'"
        ) from None
    return SealedStore(
        store, read_identities(identity) if identity is not None else [], read_recipients(recipients)
    )


def _open(location: str, ca: Path | None) -> Store:
    scheme, separator, _ = location.partition("://")
    if not separator:
        return DirectoryStore(Path(location))
    if scheme == "https":
        return HttpsStore(location, ca)
    if scheme == "s3":
        try:
            from hashcheck_stores.bucket import BucketStore
        except ImportError:
            raise ConfigError(
                "A bucket needs a library that is not installed.",
                next_step="Run: pip install 'hashcheck[s3]'",
            ) from None
        return BucketStore(location)
    raise ConfigError(
        f"{scheme[:20]!r} is no kind of store.",
        next_step="Give the path of a directory, https://host/path or s3://bucket/prefix.",
    )
