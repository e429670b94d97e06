"""What a match means here: radius for each hash type, categories in force, action for each verdict. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hashcheck_core.categories import Category
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashType


class Verdict(StrEnum):
    MATCH = "match"
    NO_MATCH = "no_match"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """Advice to the caller, mildest first."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


class Probing(StrEnum):
    """What becomes of a tenant that seems to feel for a listed hash: told, or also not answered near what it asked."""

    ALARM = "alarm"
    ENFORCE = "enforce"


class NearMatches(StrEnum):
    """What an answer tells of a perceptual match: all, or the entry alone."""

    FULL = "full"
    ENTRY = "entry"


_SEVERITY = list(Action)


class Policy(BaseModel):
    """The one policy of this service. `[policy]` in the settings file; docs/running.md explains each key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Only what every source and every law agrees on, unless the operator asks for more.
    categories: frozenset[Category] = frozenset({Category.BASELINE})
    radius: Mapping[str, Annotated[int, Field(ge=0, le=128)]] = Field(default_factory=dict)
    match_actions: Mapping[Category, Action] = Field(default_factory=dict)
    unknown_action: Action = Action.REVIEW
    show_distance: bool = False
    near_matches: NearMatches = NearMatches.FULL
    probing: Probing = Probing.ALARM
    # A dense family can hold thousands of entries; a caller acts on the first.
    max_matches: Annotated[int, Field(ge=1, le=1000)] = 20

    @model_validator(mode="after")
    def _radii_are_possible(self) -> Self:
        for name, radius in self.radius.items():
            known = BUILT_IN_TYPES.get(name)
            if known is not None and radius > known.max_radius:
                raise ValueError(f"radius {radius} of {name} is above {known.max_radius}")
        return self

    def in_force(self, category: str) -> bool:
        """Reserved test hashes match for everyone; the rest as configured."""
        return category in self.categories or category == Category.TEST

    def radius_of(self, hash_type: HashType) -> int:
        """The radius for a type, in bits; a configured one never exceeds the type's largest."""
        return min(self.radius.get(hash_type.name, hash_type.radius), hash_type.max_radius)

    def action(
        self, verdict: Verdict, categories: Iterable[Category], doubtful: Iterable[Category] = ()
    ) -> Action:
        """The action for a verdict; for a match the severest of its categories' actions.

        Args:
            doubtful: categories of entries that match, and that something contradicts: a review at most.
        """
        if verdict is Verdict.NO_MATCH:
            return Action.ALLOW
        if verdict is Verdict.UNKNOWN:
            return self.unknown_action
        actions = [self._of_match(category) for category in categories]
        actions += [
            min(self._of_match(category), Action.REVIEW, key=_SEVERITY.index) for category in doubtful
        ]
        return max(actions, key=_SEVERITY.index, default=Action.BLOCK)

    def _of_match(self, category: Category) -> Action:
        return self.match_actions.get(category, Action.BLOCK)
