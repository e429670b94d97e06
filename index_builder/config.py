"""feeds.toml: which feeds go into a snapshot, and what their codes mean.

Paths are relative to the config file. Unknown keys are refused: a misspelt limit must not be a missing one.
"""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hashcheck_core.categories import Category
from hashcheck_core.errors import ConfigError, HashcheckError
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashKind, HashType
from hashcheck_core.snapshot.files import read_limited
from index_builder.decisions.settings import ReviewConfig
from index_builder.durations import Duration
from index_builder.fetching.settings import FetchConfig
from index_builder.gates.settings import Gates
from index_builder.known_good import KnownGoodConfig
from index_builder.paths import File

_MAX_CONFIG_BYTES = 4 * 1024 * 1024
# Formats whose records have no code of their own: the config names one category for the feed.
ONE_CATEGORY: Final = frozenset({"lines", "scart", "stopncii"})
EITHER_CATEGORY: Final = frozenset({"threatexchange"})
# Formats that send changes: pages of updates and tombstones, of which the newest word on an entry counts.
DELTA_FORMATS: Final = frozenset({"ncmec", "stopncii", "tat", "threatexchange"})
WANTED: Final = (Category.BASELINE, Category.NATIONAL, Category.EXPLOITATIVE)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SnapshotSection(_Section):
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


class BatchesSection(_Section):
    """Who signs the batches that are fetched here, and whose signature a build asks for.

    `keep_superseded`: how many batches before the last full one stay on disk; all, where it is not given.
    """

    signing_key: File | None = None
    trusted_keys: tuple[File, ...] = ()
    keep_superseded: int | None = Field(default=None, ge=0)


class FeedConfig(_Section):
    """One feed. `source` is the organisation that vouches for it; without it, the feed's own name.

    It is read from its `path`, or fetched as `fetch` says and read from its batches.
    """

    name: Name
    format: Literal[
        "csv", "jsonl", "lines", "vics", "icse", "scart", "ncmec", "stopncii", "tat", "threatexchange"
    ]
    path: File = Path()
    fetch: FetchConfig | None = None
    source: Name | None = None
    categories: Mapping[str, Category] = Field(default_factory=dict)
    category: Category | None = None
    type: str | None = None
    profile: str | None = None
    delivered_at: datetime | None = None
    allow_empty: bool = False
    new: bool = False

    @property
    def source_name(self) -> str:
        return self.source or self.name

    @model_validator(mode="after")
    def _fits_its_format(self) -> Self:
        both_or_neither = (self.category is None) == (not self.categories)
        if self.format in ONE_CATEGORY and (self.category is None or self.categories):
            raise ValueError(
                f"a `{self.format}` feed has no category column: give one `category` for all of it"
            )
        if self.format in EITHER_CATEGORY and both_or_neither:
            raise ValueError(f"a `{self.format}` feed needs one `category` for all of it, or `categories`")
        if self.format not in ONE_CATEGORY | EITHER_CATEGORY and (
            not self.categories or self.category is not None
        ):
            raise ValueError(
                f"a `{self.format}` feed needs `categories` (its codes and what they mean), and takes no `category`"
            )
        if self.type is not None and self.format != "lines":
            raise ValueError("`type` is for bare hashes of a `lines` feed")
        if (self.profile is None) == (self.format == "vics"):
            raise ValueError(
                "a `vics` feed, and no other, needs the `profile` its map is for, such as 2.0/US"
            )
        if ("path" in self.model_fields_set) == (self.fetch is not None):
            raise ValueError("a feed has a `path` to read, or a section `fetch`, and not both")
        if self.fetch is not None:
            self.fetch.check(self.format)
        if Category.TEST in (self.category, *self.categories.values()):
            raise ValueError("category `test` is reserved for the built-in test hashes")
        if self.delivered_at is not None and self.delivered_at.tzinfo is None:
            raise ValueError("`delivered_at` needs a time zone, such as 2026-11-23T12:00:00Z")
        return self


class HashTypeConfig(_Section):
    """A perceptual hash type beyond the built-in ones."""

    name: Name
    bits: int
    radius: int
    min_quality: int | None = Field(default=None, ge=0, le=100)


class BuildConfig(_Section):
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
    """Read feeds.toml; raises ConfigError, or TransportError where it cannot be read."""
    text = read_limited(path, _MAX_CONFIG_BYTES, follow_links=True)
    try:
        config = BuildConfig.model_validate(tomllib.loads(text.decode()))
        config.hash_types()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", next_step="Mend that line.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        raise ConfigError(
            f"{path}: {where}: {first['msg']}.", next_step="See docs/building.md for every key."
        ) from None
    except HashcheckError:
        raise
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
