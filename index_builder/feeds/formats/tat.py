"""`tat`: pages of Tech Against Terrorism's hash list, JSON. A delta feed with explicit `deleted`.

Source: python-threatexchange's client. The code of a row is its `ideology`.
"""

from collections.abc import Iterator
from typing import Any

from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.json_items import JsonItems, text
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record, Tombstone
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.formats.times import parse_time


def read_tat(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records and tombstones of one page."""
    items = JsonItems(source, feed.name, "results")
    for item in items:
        yield item if isinstance(item, BadRow) else _record(item.number, item.value)
    if not items.found:
        yield BadRow(1, Reason.TRUNCATED, "there is no results")


def _record(number: int, row: dict[str, Any]) -> Item:
    entry, deleted = text(row.get("id")), row.get("deleted")
    updated = parse_time(row.get("updated_on"))
    if not entry:
        return BadRow(number, Reason.MALFORMED_ID, "a result has an id")
    if deleted is True or text(deleted).lower() == "true":
        return Tombstone(number, entry, updated)
    return Record(
        number,
        entry,
        text(row.get("algorithm")).lower().replace("-", ""),
        text(row.get("hash_digest")).strip(),
        None,
        text(row.get("ideology")),
        updated=updated,
        media=text(row.get("file_type")).lower(),
    )
