"""`[gates.*]` of the config: what each gate allows. A gate that is not named has its default and is on."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from index_builder.gates.benign import BenignGate
from index_builder.gates.canaries import CanariesGate
from index_builder.gates.complete import CompleteGate
from index_builder.gates.corroboration import CorroborationGate
from index_builder.gates.degenerate import DegenerateGate
from index_builder.gates.drift import DriftGate
from index_builder.gates.known_good import KnownGoodGate


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
