"""Durations as people write them in a config: `30m`, `12h`, `7d`, `2w`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
_LONGEST = timedelta(weeks=520)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: object) -> object:
    """`30m`, `12h`, `7d` or `2w` as a timedelta; anything else is handed on for pydantic to refuse."""
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("give a number and a unit, such as 30m, 12h, 7d or 2w")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > _LONGEST:
        raise ValueError("the longest is 520w")
    return duration


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
