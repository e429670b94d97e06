"""Times as feeds write them: what is none is None, whatever its size."""

from decimal import Decimal

import pytest

from index_builder.feeds.formats.times import parse_time


@pytest.mark.parametrize(
    "value", ["1E+772323200", "-1E+772323200", "1E+40", "Infinity", "-Infinity", "NaN", "sNaN"]
)
def test_a_number_that_is_no_time_is_none(value: str) -> None:
    assert parse_time(Decimal(value)) is None


def test_a_fraction_is_kept_to_the_microsecond() -> None:
    assert parse_time(Decimal("1700000000.25")) == 1_700_000_000_250_000
    assert parse_time(Decimal("1E-772323200")) == 0
