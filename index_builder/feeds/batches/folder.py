"""All batches of one feed: a folder of sealed ones, and `incoming`, the one under way.

A sealed batch is never written again. The batches in force are the last full one and every one after it; each names
the one before it, so that none in between can be missing unseen. What a page says is not looked at here.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core import __version__
from hashcheck_core.errors import FeedError, SnapshotError, TransportError
from hashcheck_core.snapshot.files import read_limited, sync_directory, transport_error, write_durably
from hashcheck_core.snapshot.signing import MAX_SIGNATURE_BYTES, TrustedKeys, sign
from index_builder.feeds.batches import seal as seals
from index_builder.feeds.batches.incoming import Incoming
from index_builder.feeds.batches.seal import SEAL_NAME, SIGNATURE_NAME, Page, Seal, damaged

STATE_NAME: Final = "state.sqlite"
_INCOMING: Final = "incoming"


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed batch whose seal has been checked. Its pages have not."""

    path: Path
    seal: Seal

    @property
    def id(self) -> str:
        return self.path.name

    def page(self, page: Page) -> Path:
        return self.path / page.name


class BatchFolder:
    """The batches of the feed `name`, below `root`. Raises TransportError, or FeedError for a damaged batch.

    With `trusted` only what one of these keys signed counts; `signing` signs what is sealed here.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        feed_format: str,
        *,
        trusted: TrustedKeys | None = None,
        signing: Sequence[Ed25519PrivateKey] = (),
    ) -> None:
        self.path = root / name
        self._name = name
        self._format = feed_format
        self._trusted = trusted
        self._signing = tuple(signing)

    @property
    def incoming(self) -> Path:
        return self.path / _INCOMING

    @property
    def state(self) -> Path:
        return self.path / STATE_NAME

    def names(self) -> list[str]:
        """Every sealed batch, the first first."""
        try:
            return sorted(p.name for p in self.path.iterdir() if seals.sequence_of(p.name) is not None)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise transport_error(self.path, error, "read") from None

    def last(self) -> Sealed | None:
        names = self.names()
        return self._open(names[-1]) if names else None

    def in_force(self) -> list[Sealed]:
        """The last full batch and every one after it; empty where there is none at all."""
        found: list[Sealed] = []
        for name in reversed(self.names()):
            batch = self._open(name)
            if found and (
                found[-1].seal.previous != name or found[-1].seal.sequence != batch.seal.sequence + 1
            ):
                raise self._gap(found[-1])
            found.append(batch)
            if batch.seal.full:
                return found[::-1]
        if found:
            raise self._gap(found[-1])
        return []

    def prune(self, keep: int) -> None:
        """Remove what a full batch has taken the place of, but the last `keep` of it. Nothing in force is touched."""
        in_force = self.in_force()
        if not in_force:
            return
        superseded = [name for name in self.names() if name < in_force[0].id]
        for name in superseded[: max(0, len(superseded) - keep)]:
            shutil.rmtree(
                self.path / name, ignore_errors=True
            )  # what is left of one is never read, and goes next time

    def _gap(self, after: Sealed) -> FeedError:
        return FeedError(
            f"Feed {self._name!r}: the batch before {after.id} is not there, which is {after.seal.previous}.",
            next_step="Bring it back from a backup; without one, fetch the feed anew with: index-builder fetch --full",
        )

    def _open(self, name: str) -> Sealed:
        path = self.path / name
        try:
            data = read_limited(path / SEAL_NAME, seals.MAX_SEAL_BYTES)
        except (TransportError, SnapshotError) as error:
            raise damaged(name, error.message.rstrip(".")) from None
        if self._trusted is not None:
            try:
                self._trusted.verify(data, read_limited(path / SIGNATURE_NAME, MAX_SIGNATURE_BYTES))
            except (TransportError, SnapshotError):
                raise damaged(name, "it is not signed by a key of `batches.trusted_keys`") from None
        found = seals.decode(name, data)
        if (found.feed, found.feed_format) != (self._name, self._format):
            raise FeedError(
                f"Batch {name} in {self.path} is of feed {found.feed!r} and format {found.feed_format!r}.",
                next_step="Each feed has batches of its own: move it where it belongs, or set the config right.",
            )
        return Sealed(path, found)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second fetch of the same feed away; raises TransportError where one is at work."""
        path = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o750)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise transport_error(path, error, "opened") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TransportError(
                    f"Another fetch of feed {self._name!r} is at work.", next_step="Wait until it is done."
                ) from None
            yield
        finally:
            os.close(descriptor)

    def seal(self, incoming: Incoming) -> Sealed:
        """Seal the batch under way: from here on it is there, whole, under its name."""
        begin = incoming.begin
        last = self.last()
        seal = Seal(
            format=seals.SEAL_FORMAT,
            feed=self._name,
            feed_format=self._format,
            source=begin.source,
            sequence=1 if last is None else last.seal.sequence + 1,
            previous="" if last is None else last.id,
            full=begin.full,
            covers=begin.covers,
            checkpoint=incoming.checkpoint,
            started_at=begin.started_at,
            fetched_at=_not_before(incoming.at, last),
            rows=sum(page.rows for page in incoming.pages),
            size=sum(page.size for page in incoming.pages),
            pages=list(incoming.pages),
            digest=seals.digest_of(incoming.pages),
            fetcher=f"hashcheck {__version__}",
        )
        data = seals.encode(seal)
        incoming.tidy()
        if self._signing:
            write_durably(incoming.path / SIGNATURE_NAME, sign(data, self._signing), 0o440)
        try:
            for page in incoming.pages:
                (incoming.path / page.name).chmod(0o440)
            write_durably(incoming.path / SEAL_NAME, data, 0o440)
            sync_directory(incoming.path)
        except OSError as error:
            raise transport_error(incoming.path, error, "written") from None
        incoming.forget()
        return self._name_it(seal.sequence, data)

    def finish(self) -> Sealed | None:
        """Name the batch that an earlier run sealed and was killed before it named; None where there is none."""
        if not Incoming.is_forgotten(self.incoming) or not (self.incoming / SEAL_NAME).exists():
            return None
        data = read_limited(self.incoming / SEAL_NAME, seals.MAX_SEAL_BYTES)
        last = self.last()
        Incoming.sweep(self.incoming)
        return self._name_it(1 if last is None else last.seal.sequence + 1, data)

    def _name_it(self, sequence: int, data: bytes) -> Sealed:
        name = seals.batch_name(sequence, data)
        try:
            self.incoming.rename(self.path / name)
            sync_directory(self.path)
        except OSError as error:
            raise transport_error(self.path / name, error, "written") from None
        return self._open(name)


def _not_before(moment: datetime, last: Sealed | None) -> datetime:
    """Batches follow each other in time, also where this machine's clock was set back a little between them."""
    return moment if last is None else max(moment, last.seal.fetched_at)
