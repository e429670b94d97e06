"""`[[feed]]` of the config: one feed, its format, and what its codes mean."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hashcheck_core.categories import Category
from index_builder.config.fetch import FetchConfig
from index_builder.config.paths import File

# Formats whose records have no code of their own: the config names one category for the feed.
ONE_CATEGORY: Final = frozenset({"lines", "scart", "stopncii"})
EITHER_CATEGORY: Final = frozenset({"threatexchange"})
# Formats that send changes: pages of updates and tombstones, of which the newest word on an entry counts.
DELTA_FORMATS: Final = frozenset({"ncmec", "stopncii", "tat", "threatexchange"})
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeedConfig(Section):
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
