"""Durations as people write them: `30m`, `12h`, `7d`, `2w`."""

import re
from datetime import timedelta
from typing import Final

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
_LONGEST: Final = timedelta(weeks=520)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: object) -> timedelta:
    """`30m`, `12h`, `7d` or `2w` as a timedelta, which is handed on as it is. Raises ValueError."""
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("give a number and a unit, such as 30m, 12h, 7d or 2w")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > _LONGEST:
        raise ValueError("the longest is 520w")
    return duration
