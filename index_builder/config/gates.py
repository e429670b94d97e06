"""`[gates.*]` of the config: what each gate allows. A gate that is not named has its default and is on."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from hashcheck_core.categories import Category
from index_builder.config.durations import Duration


class GateSection(BaseModel):
    """`enabled = false` switches the gate off; the report says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    enabled: bool = True


class BenignGate(GateSection):
    pictures: Path | None = None
    max_matches: int = Field(default=0, ge=0)


class CanariesGate(GateSection):
    rows: int = Field(default=64, ge=1, le=10_000)  # of every hash type, besides the reserved test hashes


class CompleteGate(GateSection):
    """A feed fails with more rejects than both limits allow."""

    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
    max_rejected_rows: int = Field(default=20, ge=0)


class Minimum(BaseModel):
    """Either is enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sources: int = Field(default=2, ge=1)
    opinions: int = Field(default=2, ge=1)


class CorroborationGate(GateSection):
    minimum: Mapping[Category, Minimum] = Field(default_factory=dict)
    hold_disputed: bool = True
    max_held: int | None = Field(default=None, ge=0)


class DegenerateGate(GateSection):
    """A family is too dense where a member has `max_family` others and `max_family_share` of the list in its radius."""

    max_family: int = Field(default=1000, ge=1)
    max_family_share: float = Field(default=0.01, ge=0, le=1)
    max_held: int = Field(default=1000, ge=0)


class DriftGate(GateSection):
    """Shares are of what the feed had before. A change of fewer than `min_rows` rows is never too much."""

    max_growth: float = Field(default=0.5, ge=0)
    max_shrink: float = Field(default=0.2, ge=0, le=1)
    max_mix_change: float = Field(default=0.1, ge=0, le=1)
    min_rows: int = Field(default=1000, ge=0)
    max_age: Duration | None = timedelta(days=30)


class KnownGoodGate(GateSection):
    max_held: int = Field(default=10, ge=0)


class Gates(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    complete: CompleteGate = Field(default_factory=CompleteGate)
    drift: DriftGate = Field(default_factory=DriftGate)
    known_good: KnownGoodGate = Field(default_factory=KnownGoodGate)
    degenerate: DegenerateGate = Field(default_factory=DegenerateGate)
    corroboration: CorroborationGate = Field(default_factory=CorroborationGate)
    canaries: CanariesGate = Field(default_factory=CanariesGate)
    benign: BenignGate = Field(default_factory=BenignGate)

    def resolved(self, base: Path) -> Self:
        """With paths taken relative to `base`."""
        if self.benign.pictures is None:
            return self
        benign = self.benign.model_copy(update={"pictures": base / self.benign.pictures})
        return self.model_copy(update={"benign": benign})
