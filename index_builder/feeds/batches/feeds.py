"""Feeds that are fetched, as a build sees them: with their sealed batches. It reads seals, and of files every byte."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import PrivateAttr

from hashcheck_core import __version__
from hashcheck_core.errors import ConfigError, FeedError
from hashcheck_core.snapshot.files import open_regular, read_limited, transport_error
from hashcheck_core.snapshot.signing import TrustedKeys, key_id, load_public
from index_builder.config.feed import DELTA_FORMATS, FeedConfig
from index_builder.config.file import BuildConfig
from index_builder.config.private_keys import read_signing_key
from index_builder.feeds.batches.folder import BatchFolder, Sealed
from index_builder.feeds.batches.seal import Page, damaged
from index_builder.feeds.delta_state import DeltaState

_MAX_KEY_BYTES = 64 * 1024


class FetchedFeed(FeedConfig):
    """A feed with the batches in force. `path` is the one page of a full feed; `state` that of a delta feed."""

    _batches: tuple[Sealed, ...] = PrivateAttr()  # checked where it was read, and not by pydantic
    _state: Path | None = PrivateAttr()

    @classmethod
    def of(cls, feed: FeedConfig, batches: Sequence[Sealed], state: Path | None) -> Self:
        page = {} if feed.format in DELTA_FORMATS else {"path": batches[-1].page(batches[-1].seal.pages[0])}
        delivered = {"delivered_at": feed.delivered_at or batches[-1].seal.fetched_at}
        made = cls.model_construct(**{**dict(feed), **page, **delivered})
        made._batches, made._state = tuple(batches), state
        return made

    @property
    def batches(self) -> tuple[Sealed, ...]:
        return self._batches

    @property
    def state(self) -> Path | None:
        return self._state

    @property
    def batch(self) -> str:
        """The last batch: by its chain it stands for every one in force."""
        return self.batches[-1].id

    @property
    def size(self) -> int:
        return sum(batch.seal.size for batch in self.batches)

    def bring(self, state: DeltaState) -> list[Sealed]:
        """Which batches `state` has yet to take in; it is emptied where others than these are in it.

        Raises FeedError where the newest it took in is gone.
        """
        taken = state.applied()
        if taken and self.batches[0].id not in taken:
            state.empty()
            taken = set()
        gone = sorted(taken - {batch.id for batch in self.batches})
        if gone:
            raise FeedError(
                f"Feed {self.name!r}: batch {gone[0]} was taken in before and is not there any more.",
                next_step=f"Bring it back from a backup; if it is to be forgotten, remove {self.state} as well.",
            )
        return [batch for batch in self.batches if batch.id not in taken]

    @property
    def made_by(self) -> str:
        """What the records in a state depend on besides the batches."""
        return f"{__version__} {self.format} {self.category or ''}"


def batch_folder(config: BuildConfig, feed: FeedConfig, root: Path, *, signing: bool = False) -> BatchFolder:
    """The batches of `feed` below `root`, with the keys that the config names. Raises ConfigError, TransportError."""
    section = config.batches
    trusted = [
        load_public(read_limited(path, _MAX_KEY_BYTES, follow_links=True)) for path in section.trusted_keys
    ]
    keys: list[Ed25519PrivateKey] = []
    if signing and section.signing_key is not None:
        keys = [read_signing_key(section.signing_key)]
    if signing and trusted and not {key_id(key.public_key()) for key in keys} & set(map(key_id, trusted)):
        raise ConfigError(
            "What is fetched here would not count: `batches.signing_key` is none of `batches.trusted_keys`.",
            next_step="Name the private key of one of them, or add its .pub file to them.",
        )
    return BatchFolder(
        root, feed.name, feed.format, trusted=TrustedKeys.of(trusted) if trusted else None, signing=keys
    )


def with_batches(config: BuildConfig, root: Path | None, *, fresh_state: bool = False) -> BuildConfig:
    """`config` with every feed that is fetched pointed at its batches below `root`.

    Raises ConfigError, TransportError, or FeedError for a batch that is damaged or missing. With `fresh_state` the
    states that earlier builds left are not used.
    """
    feeds = [
        feed if feed.fetch is None else _fetched(config, feed, root, fresh_state=fresh_state)
        for feed in config.feed
    ]
    return config.model_copy(update={"feed": tuple(feeds)})


def _fetched(config: BuildConfig, feed: FeedConfig, root: Path | None, *, fresh_state: bool) -> FetchedFeed:
    if root is None:
        raise ConfigError(
            f"Feed {feed.name!r} is fetched.", next_step="Name the folder of its batches with --batches."
        )
    folder = batch_folder(config, feed, root)
    batches = folder.in_force()
    if not batches:
        raise FeedError(
            f"Feed {feed.name!r} has no batch in {folder.path}.",
            next_step=f"Run first: index-builder fetch --config … --batches {root} {feed.name}",
        )
    delta = feed.format in DELTA_FORMATS
    if not delta:
        if len(batches[-1].seal.pages) != 1:
            raise damaged(batches[-1].id, "a file is one page")
        check_pages(batches[-1], batches[-1].seal.pages)
    return FetchedFeed.of(feed, batches, folder.state if delta and not fresh_state else None)


def check_pages(batch: Sealed, pages: Sequence[Page]) -> None:
    """Raises FeedError unless every byte of `pages` is as sealed."""
    for page in pages:
        digest = hashlib.sha256()
        try:
            with open_regular(batch.page(page)) as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except FileNotFoundError:
            raise damaged(batch.id, f"its page {page.name} is missing") from None
        except OSError as error:
            raise transport_error(batch.page(page), error, "read") from None
        if digest.hexdigest() != page.sha256:
            raise damaged(batch.id, f"its page {page.name} is not as it was sealed")
