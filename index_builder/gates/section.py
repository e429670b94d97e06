"""The base of each gate's part of the config."""

from pydantic import BaseModel, ConfigDict


class GateSection(BaseModel):
    """`enabled = false` switches the gate off; the report says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    enabled: bool = True
