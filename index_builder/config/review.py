"""`[review]` of the config: who may decide, how many must agree, and where it is written.

The config stands on the building machine beside the key that signs the list: whoever may change it may switch a gate
off as well, so the people are named here and need no trust of another kind.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from index_builder.config.paths import File

# The gates that hold entries.
Holding = Literal["known_good", "degenerate", "corroboration", "benign"]


class Person(BaseModel):
    """`until`: the number of the last decision with this key that counts, where they left or lost it. Who gets a new
    key is named again, with it: one name is one person, whatever the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^\S(.{0,62}\S)?$")
    key: File
    until: int | None = Field(default=None, ge=0)


class ReviewConfig(BaseModel):
    """`people`: how many different ones must decide the same; `people_for`: for what a gate holds, where it is more."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    decisions: File
    person: tuple[Person, ...] = Field(min_length=1)
    people: int = Field(default=1, ge=1)
    people_for: Mapping[Holding, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _enough_people(self) -> Self:
        deciding = [person.name for person in self.person if person.until is None]
        if len({name.casefold() for name in deciding}) != len(deciding):
            raise ValueError(
                "two people have the same name, or one has two keys of which neither has an `until`"
            )
        if len({p.name for p in self.person}) != len({p.name.casefold() for p in self.person}):
            raise ValueError("two names differ in capitals only")
        if not all(person.name.isprintable() for person in self.person):
            raise ValueError("a name holds what cannot be printed")
        if max(self.people, *self.people_for.values(), 0) > len(deciding):
            raise ValueError(f"more people must agree than the {len(deciding)} who may decide")
        return self

    def needed(self, gate: str) -> int:
        """How many must accept what `gate` holds."""
        return max(self.people, *(count for name, count in self.people_for.items() if name == gate), 0)

    def resolved(self, base: Path) -> Self:
        """With paths taken relative to `base`."""
        people = tuple(person.model_copy(update={"key": base / person.key}) for person in self.person)
        return self.model_copy(update={"decisions": base / self.decisions, "person": people})
