"""`threatexchange`: pages of Meta ThreatExchange's threat_updates, JSON. A delta feed with tombstones.

Source: python-threatexchange's client. The code of a row is its tags, sorted and joined by `+`; a config with one
`category` does not look at them. Descriptors and reactions are opinions: for, and against. A row that has both is
disputed, which the corroboration gate sees.
"""

from collections.abc import Iterator
from typing import Any

from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.json_items import JsonItems, text
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record, Tombstone
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.formats.times import parse_time


def read_threatexchange(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records and tombstones of one page."""
    category = None if feed.category is None else str(feed.category)
    items = JsonItems(source, feed.name, "data")
    for item in items:
        yield item if isinstance(item, BadRow) else _record(item.number, item.value, category)
    if not items.found:
        yield BadRow(1, Reason.TRUNCATED, "there is no data")


def _record(number: int, row: dict[str, Any], category: str | None) -> Item:
    entry, updated = text(row.get("id")), parse_time(row.get("last_updated"))
    if not entry:
        return BadRow(number, Reason.MALFORMED_ID, "an update has an id")
    # Without descriptors nobody vouches for it any more (facebook/ThreatExchange#834).
    if row.get("should_delete") is True or row.get("descriptors") is None:
        return Tombstone(number, entry, updated)
    kind = text(row.get("type"))
    if not kind.startswith("HASH_"):
        return BadRow(number, Reason.NOT_FOR_LISTS, "an indicator that is not a hash")
    descriptors = _list(row.get("descriptors"), "data")
    votes: dict[str, set[str]] = {"up": set(), "down": set()}
    tags: set[str] = set()
    for descriptor in descriptors:
        owner = descriptor.get("owner")
        who = text(owner.get("id")) if isinstance(owner, dict) else ""
        status = descriptor.get("status")
        if status in ("MALICIOUS", "NON_MALICIOUS"):
            votes["up" if status == "MALICIOUS" else "down"].add(who)
        given = descriptor.get("tags")
        if isinstance(given, dict):  # so the endpoint for single descriptors writes them
            given = [tag.get("text") for tag in _list(given, "data")]
        tags.update(text(tag) for tag in (given if isinstance(given, list) else []))
    up, down = len(votes["up"]), len(votes["down"])
    for descriptor in descriptors:
        for reaction in _list(descriptor.get("reactions")):
            down += reaction.get("key") == "DISAGREE_WITH_TAGS"
            up += reaction.get("key") == "HELPFUL"
    code = "+".join(sorted(tags - {""})) if category is None else category
    return Record(
        number,
        entry,
        kind.removeprefix("HASH_").lower(),
        text(row.get("indicator")).strip(),
        None,
        code,
        updated=updated,
        up=max(0, up - 1),  # the first opinion is the giver's own
        down=down,
    )


def _list(value: object, key: str = "") -> list[dict[str, Any]]:
    if key and isinstance(value, dict):
        value = value.get(key)
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list) else []
