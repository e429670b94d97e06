"""The times that feeds write: ISO 8601 with or without an offset, `/Date(ms)/`, seconds since 1970.

A time without an offset is UTC. It knows no clock.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DATE_MS = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")  # an offset here only says how to show it
_LATEST = 253_402_300_800 * 1_000_000  # the year 10000


def parse_time(value: object) -> int | None:
    """Microseconds since 1970, or None for what is not a time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _bounded(value * 1_000_000)
    if isinstance(value, Decimal):  # how a fraction in JSON comes
        return _bounded(int(value * 1_000_000)) if value.is_finite() and -_LATEST < value < _LATEST else None
    if not isinstance(value, str) or len(value) > 64:
        return None
    text = value.strip()
    if match := _DATE_MS.fullmatch(text):
        return _bounded(int(match[1]) * 1000)
    if text.isascii() and text.isdigit() and len(text) >= 9:
        return _bounded(int(text) * 1_000_000)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def microseconds(moment: datetime) -> int:
    """`moment`, which has a time zone, in microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def _bounded(value: int) -> int | None:
    return value if abs(value) < _LATEST else None
