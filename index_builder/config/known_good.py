"""`[[known_good]]` of the config: sets of what is known to be ordinary."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from index_builder.config.paths import File


class KnownGoodConfig(BaseModel):
    """`nsrl`: an RDS v3 database. `lines`: `<type> <hash>` a line. `pictures`: a folder, hashed as it is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    format: Literal["nsrl", "lines", "pictures"]
    path: File
