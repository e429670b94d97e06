"""Durations in a config."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

from hashcheck_core.durations import parse_duration

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
