"""feeds.toml: which feeds go into a snapshot, and what their codes mean.

Paths are relative to the config file. Unknown keys are refused: a misspelt limit must not be a missing one.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from hashcheck_core.categories import Category
from hashcheck_core.config import mistakes
from hashcheck_core.errors import ConfigError, ConfigMistakesError
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashKind, HashType
from hashcheck_core.snapshot.files import read_limited
from index_builder.config.durations import Duration
from index_builder.config.feed import FeedConfig, Name, Section
from index_builder.config.gates import Gates
from index_builder.config.known_good import KnownGoodConfig
from index_builder.config.paths import File
from index_builder.config.review import ReviewConfig

_MAX_CONFIG_BYTES = 4 * 1024 * 1024
WANTED: Final = (Category.BASELINE, Category.NATIONAL, Category.EXPLOITATIVE)


class SnapshotSection(Section):
    expires_after: Duration
    signing_key: File
    entry_id_key: File | None = None
    categories: tuple[Category, ...] = Field(default=WANTED, min_length=1)

    @model_validator(mode="after")
    def _lists_no_test(self) -> Self:
        if Category.TEST in self.categories:
            raise ValueError("category `test` is reserved for the built-in test hashes")
        return self

    @property
    def entry_id_key_path(self) -> Path:
        return self.entry_id_key or self.signing_key.with_suffix(".ids")


class BatchesSection(Section):
    """Who signs the batches that are fetched here, and whose signature a build asks for.

    `keep_superseded`: how many batches before the last full one stay on disk; all, where it is not given.
    """

    signing_key: File | None = None
    trusted_keys: tuple[File, ...] = ()
    keep_superseded: int | None = Field(default=None, ge=0)


class HashTypeConfig(Section):
    """A perceptual hash type beyond the built-in ones."""

    name: Name
    bits: int
    radius: int
    min_quality: int | None = Field(default=None, ge=0, le=100)


class BuildConfig(Section):
    snapshot: SnapshotSection
    feed: tuple[FeedConfig, ...] = Field(min_length=1)
    hash_type: tuple[HashTypeConfig, ...] = ()
    batches: BatchesSection = Field(default_factory=BatchesSection)
    gates: Gates = Field(default_factory=Gates)
    known_good: tuple[KnownGoodConfig, ...] = ()
    review: ReviewConfig | None = None

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [feed.name for feed in self.feed]
        if len(set(names)) != len(names):
            raise ValueError("two feeds have the same name")
        types = [*BUILT_IN_TYPES, *(custom.name for custom in self.hash_type)]
        if len(set(types)) != len(types):
            raise ValueError("a hash type is defined twice")
        return self

    def hash_types(self) -> Mapping[str, HashType]:
        """Built-in and configured types by name; raises ConfigError for an impossible one."""
        custom = {
            t.name: HashType(t.name, t.bits, HashKind.PERCEPTUAL, t.radius, t.min_quality)
            for t in self.hash_type
        }
        return MappingProxyType({**BUILT_IN_TYPES, **custom})


def load_config(path: Path) -> BuildConfig:
    """Read feeds.toml; raises ConfigMistakesError with every mistake there is, or TransportError."""
    text = read_limited(path, _MAX_CONFIG_BYTES, follow_links=True)
    try:
        config = BuildConfig.model_validate(tomllib.loads(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", next_step="Mend that line.") from None
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        raise ConfigMistakesError(mistakes(told, BuildConfig, str(path), "docs/building.md")) from None
    config.hash_types()
    return _resolve(config, path.parent)


def _resolve(config: BuildConfig, base: Path) -> BuildConfig:
    section, key = config.snapshot, config.batches.signing_key
    return config.model_copy(
        update={
            "snapshot": section.model_copy(
                update={
                    "signing_key": base / section.signing_key,
                    "entry_id_key": base / section.entry_id_key_path,
                }
            ),
            "gates": config.gates.resolved(base),
            "review": config.review and config.review.resolved(base),
            "known_good": tuple(
                known.model_copy(update={"path": base / known.path}) for known in config.known_good
            ),
            "feed": tuple(_resolve_feed(feed, base) for feed in config.feed),
            "batches": config.batches.model_copy(
                update={
                    "signing_key": None if key is None else base / key,
                    "trusted_keys": tuple(base / trusted for trusted in config.batches.trusted_keys),
                }
            ),
        }
    )


def _resolve_feed(feed: FeedConfig, base: Path) -> FeedConfig:
    fetch = None if feed.fetch is None else feed.fetch.resolved(base)
    return feed.model_copy(update={"path": base / feed.path, "fetch": fetch})
