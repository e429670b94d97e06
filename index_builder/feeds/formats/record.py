"""What a format makes of a feed: records as the source says them, tombstones, or why there is none.

Nothing is checked here: whether a type is known, a category mapped, a hash whole is `index_builder.feeds.vetting`'s.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Reason(StrEnum):
    """Why a row was rejected. The values stand in rejects files and reports; docs/building.md explains them."""

    LINE_TOO_LONG = "line_too_long"
    NOT_UTF8 = "not_utf8"
    MALFORMED_ROW = "malformed_row"
    TRUNCATED = "truncated"
    MALFORMED_ID = "malformed_id"
    UNSUPPORTED_TYPE = "unsupported_type"
    NOT_FOR_LISTS = "not_for_lists"
    MALFORMED_HASH = "malformed_hash"
    MALFORMED_QUALITY = "malformed_quality"
    LOW_QUALITY = "low_quality"
    DEGENERATE = "degenerate"
    EMPTY_FILE = "empty_file"
    UNMAPPED_CATEGORY = "unmapped_category"
    CATEGORY_NOT_WANTED = "category_not_wanted"
    CATEGORY_CONFLICT = "category_conflict"


# Rows that are as they should be and yet not for this list. They speak neither for nor against a feed.
SET_ASIDE: Final = frozenset({Reason.UNSUPPORTED_TYPE, Reason.NOT_FOR_LISTS, Reason.CATEGORY_NOT_WANTED})


class Record(NamedTuple):
    """One hash of one entry as the source says it.

    `line` is the line in a text feed, the number of the entry in XML and JSON: records of one entry share it.
    `id` is the source's own and names the entry, `member` who gave it to the source. `category` is the source's
    code. `updated` is the source's own time in microseconds since 1970. `up` and `down` count opinions for and
    against the entry besides its giver's.
    """

    line: int
    id: str
    type: str
    value: str
    quality: str | int | None
    category: str
    member: str = ""
    updated: int | None = None
    up: int = 0
    down: int = 0
    media: str = ""
    labels: tuple[str, ...] = ()


class Tombstone(NamedTuple):
    """The source takes an entry back."""

    line: int
    id: str
    updated: int | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that gives no record. `detail` is for a person and never quotes a hash."""

    line: int
    reason: Reason
    detail: str


Item = Record | Tombstone | BadRow
