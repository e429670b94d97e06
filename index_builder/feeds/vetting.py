"""Whether one row may go into the list. Pure: a row in, a vetted hash or the reason against it out.

It sees one row at a time; what only shows across rows (an entry with two categories) is `columns`' to see.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hashcheck_core.categories import Category
from hashcheck_core.degenerate import is_degenerate, is_empty_file
from hashcheck_core.errors import HashError
from hashcheck_core.hash_types import HashType, parse_hex
from index_builder.config.feed import FeedConfig
from index_builder.config.file import WANTED
from index_builder.feeds.formats.record import BadRow, Reason, Record

_MAX_ID_CHARS = 256
_MAX_OPINIONS = 1_000_000
_HASH_LIKE = re.compile(r"[0-9a-fA-F]{16}")
_HASH_GAPS = re.compile(r"[\s:-]")


@dataclass(frozen=True, slots=True)
class VettedRow:
    line: int
    id: str
    hash_type: HashType
    value: bytes
    category: Category
    up: int = 0
    down: int = 0


class Vetting:
    """The rules for the rows of one feed: the types there are, the categories wanted, and what its codes mean."""

    def __init__(
        self, feed: FeedConfig, types: Mapping[str, HashType], wanted: Collection[Category] = WANTED
    ) -> None:
        self.types = types
        self.wanted = frozenset(wanted)
        self.categories = {str(feed.category): feed.category} if feed.category else dict(feed.categories)

    def vet(self, row: Record) -> VettedRow | BadRow:
        """The row as the list takes it, or the first thing wrong with it."""
        if not 1 <= len(row.id) <= _MAX_ID_CHARS:
            return BadRow(row.line, Reason.MALFORMED_ID, f"an id has 1 to {_MAX_ID_CHARS} characters")
        category = self.categories.get(row.category)
        if category is None:
            return BadRow(
                row.line, Reason.UNMAPPED_CATEGORY, f"category code {_quoted(row.category)} is not in the map"
            )
        if category not in self.wanted:
            return BadRow(row.line, Reason.CATEGORY_NOT_WANTED, f"the list takes no {category}")
        hash_type = self.types.get(row.type)
        if hash_type is None:
            return BadRow(row.line, Reason.UNSUPPORTED_TYPE, f"hash type {_quoted(row.type)} is not known")
        try:
            value = parse_hex(hash_type, row.value)
        except HashError as error:
            return BadRow(row.line, Reason.MALFORMED_HASH, error.message)
        return _worth(row, hash_type, value) or VettedRow(
            row.line, row.id, hash_type, value, category, _opinions(row.up), _opinions(row.down)
        )


def _opinions(count: int) -> int:
    return min(max(count, 0), _MAX_OPINIONS)


def _quoted(cell: str) -> str:
    """The start of a cell for a reject; of one that may be a hash in the wrong column only its length."""
    if _HASH_LIKE.search(_HASH_GAPS.sub("", cell)):
        return f"of {len(cell)} characters"
    return repr(cell[:40])


def _worth(row: Record, hash_type: HashType, value: bytes) -> BadRow | None:
    """Why a whole, well-formed hash still says nothing about a picture."""
    if is_empty_file(hash_type, value):
        return BadRow(row.line, Reason.EMPTY_FILE, "the hash of an empty file")
    if is_degenerate(hash_type, value):
        return BadRow(row.line, Reason.DEGENERATE, "nearly all bits are equal: it would match blank pictures")
    if row.quality is None or hash_type.min_quality is None:
        return None
    quality = _quality(row.quality)
    if quality is None:
        return BadRow(row.line, Reason.MALFORMED_QUALITY, "a quality is a whole number from 0 to 100")
    if quality < hash_type.min_quality:
        return BadRow(row.line, Reason.LOW_QUALITY, f"quality {quality} is below {hash_type.min_quality}")
    return None


def _quality(given: str | int) -> int | None:
    if isinstance(given, str):
        if not (given.isascii() and given.isdigit() and len(given) <= 3):
            return None
        given = int(given)
    return given if 0 <= given <= 100 else None
