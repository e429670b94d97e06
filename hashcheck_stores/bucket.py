"""A store in a bucket that speaks S3: AWS, or any that has its conditional puts. Needs the extra `s3` (obstore).

Address of the server, region and credentials come from the usual AWS_* variables, or those of the machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from hashcheck_core.errors import ConfigError, MissingError, TransportError
from hashcheck_core.snapshot.pointer import is_snapshot_name
from hashcheck_stores.directory import missing
from hashcheck_stores.store import checked_name

# One request at a time, each with a deadline of its own: so a trickle is cut off between any two.
_STEP_BYTES: Final = 4 * 1024 * 1024
_SECONDS: Final = "60s"


class BucketStore:
    """`location` is s3://bucket/prefix. Plain HTTP is refused unless AWS_ALLOW_HTTP says otherwise."""

    def __init__(self, location: str) -> None:
        plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
        try:
            self._store = S3Store.from_url(
                location,
                client_options={"timeout": _SECONDS, "connect_timeout": "10s", "allow_http": plain},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
            )
        except BaseError:
            raise ConfigError(
                "The bucket's address or the AWS_* variables cannot be used.",
                next_step="Write s3://bucket/prefix, and see AWS_REGION, AWS_ENDPOINT_URL and the credentials.",
            ) from None

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        path = checked_name(name)
        with _errors(name):
            size = obstore.head(self._store, path)["size"]
        while offset < size:
            end = min(offset + _STEP_BYTES, size)
            with _errors(name):
                part = bytes(obstore.get_range(self._store, path, start=offset, end=end))
            yield part
            offset += len(part) or size  # a server that gives nothing has broken off

    def create(self, name: str, source: Path | bytes) -> bool:
        path = checked_name(name)
        with _errors(name):
            if isinstance(source, bytes):
                try:
                    obstore.put(self._store, path, source, mode="create", use_multipart=False)
                except (AlreadyExistsError, PreconditionError):
                    return False
                return True
            # A large file goes up in parts, which knows no condition. Its name bears the digest of what it belongs
            # to, and the publisher reads it back: another's identical file is no harm.
            try:
                obstore.head(self._store, path)
            except FileNotFoundError:
                obstore.put(self._store, path, source)
                return True
            return False

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        if before is None:
            return self.create(name, after)
        path = checked_name(name)
        with _errors(name):
            try:
                there = obstore.get(self._store, path)
                if bytes(there.bytes()) != before:
                    return False
                obstore.put(
                    self._store, path, after, mode={"e_tag": there.meta["e_tag"]}, use_multipart=False
                )
            except (FileNotFoundError, PreconditionError):
                return False
        return True

    def names(self) -> list[str]:
        with _errors("snapshots"):
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        return sorted(name for prefix in found if is_snapshot_name(name := prefix.rpartition("/")[2]))


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """obstore's errors as this project's. Their text is dropped: it quotes addresses and headers."""
    try:
        yield
    except (MissingError, TransportError):
        raise
    except FileNotFoundError:
        raise missing(name) from None
    except (BaseError, OSError) as error:
        raise TransportError(
            f"The bucket does not give or take {name} ({type(error).__name__}).",
            next_step="Check that it can be reached, and that its credentials allow it.",
        ) from None
