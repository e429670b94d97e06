"""What a format makes of one line: a row as it stands in the feed, or why there is none."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a row was rejected. The values stand in rejects files and reports; docs/building.md explains them."""

    LINE_TOO_LONG = "line_too_long"
    NOT_UTF8 = "not_utf8"
    MALFORMED_ROW = "malformed_row"
    MALFORMED_ID = "malformed_id"
    UNSUPPORTED_TYPE = "unsupported_type"
    MALFORMED_HASH = "malformed_hash"
    MALFORMED_QUALITY = "malformed_quality"
    LOW_QUALITY = "low_quality"
    DEGENERATE = "degenerate"
    EMPTY_FILE = "empty_file"
    UNMAPPED_CATEGORY = "unmapped_category"
    CATEGORY_CONFLICT = "category_conflict"


class Row(NamedTuple):
    """One hash of one entry as the feed says it; nothing is checked yet. `quality` None where not given."""

    line: int
    id: str
    type: str
    value: str
    quality: str | int | None
    category: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that gives no row. `detail` is for a person and never quotes a hash."""

    line: int
    reason: Reason
    detail: str
