"""`stopncii`: pages of StopNCII's FetchHashes, JSON. A delta feed: the newest record of a hash replaces it.

Source: python-threatexchange's client. A hash is taken back when every case of it is withdrawn or deleted. The
list is not about children; one `category` in the config says what it is here.
"""

from collections.abc import Iterator
from typing import Any, Final

from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.json_items import JsonItems, text
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record, Tombstone
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.formats.times import parse_time

_TYPES: Final = {"ImagePDQ": "pdq", "VideoMD5": "md5", "VideoTMK": "tmk"}
_GONE: Final = frozenset({"withdrawn", "deleted"})


def read_stopncii(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records and tombstones of one page."""
    items = JsonItems(source, feed.name, "hashRecords")
    for item in items:
        yield item if isinstance(item, BadRow) else _record(item.number, item.value, str(feed.category))
    if not items.found:
        yield BadRow(1, Reason.TRUNCATED, "there is no hashRecords")


def _record(number: int, row: dict[str, Any], category: str) -> Item:
    signal, value = text(row.get("signalType")), text(row.get("hashValue")).strip()
    if not signal or not value:
        return BadRow(number, Reason.MALFORMED_ROW, "a record has a signalType and a hashValue")
    entry = f"{signal} {value.lower()}"
    updated = parse_time(row.get("lastModtimestamp"))
    cases = row.get("caseNumbers")
    statuses = [text(status).lower() for status in cases.values()] if isinstance(cases, dict) else []
    if not statuses:
        statuses = [text(row.get("hashStatus")).lower()]
    if all(status in _GONE for status in statuses):
        return Tombstone(number, entry, updated)
    given = row.get("CSPFeedbacks")
    feedback = (
        [text(f.get("feedbackValue")) for f in given if isinstance(f, dict)]
        if isinstance(given, list)
        else []
    )
    return Record(
        number,
        entry,
        _TYPES.get(signal, signal),
        value,
        None,
        category,
        updated=updated,
        up=feedback.count("Blocked"),
        down=feedback.count("NotBlocked"),
        media="video" if signal.startswith("Video") else "image",
    )
