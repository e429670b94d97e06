"""Paths as a config gives them: any, but one that no system takes."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def _no_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path holds no NUL character")
    return path


File = Annotated[Path, AfterValidator(_no_nul)]
