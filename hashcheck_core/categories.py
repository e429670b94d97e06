"""What an entry is listed as. Each feed's own codes are mapped to these by an explicit map in the config."""

from enum import StrEnum
from typing import Final


class Category(StrEnum):
    BASELINE = "baseline"
    NATIONAL = "national"
    EXPLOITATIVE = "exploitative"
    COMPARISON = "comparison"
    NON_PERTINENT = "non_pertinent"
    UNKNOWN = "unknown"
    TEST = "test"


# The number that stands for a category in a snapshot's arrays. Part of the format: only ever add at the end.
CATEGORY_CODES: Final = (
    Category.BASELINE,
    Category.NATIONAL,
    Category.EXPLOITATIVE,
    Category.COMPARISON,
    Category.NON_PERTINENT,
    Category.UNKNOWN,
    Category.TEST,
)
