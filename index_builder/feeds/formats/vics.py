"""`vics`: a hash set of Project VIC or CAID in VICS JSON, 1.x and 2.0. Full replace: it has no tombstones.

Source: the readers of IPED and GLEAPP; the specification itself is given out under agreement only. A case file has
the same outer shape and is refused: it is an investigation, not a list.

Category numbers mean different things by version and country, so the config names the `profile` its map is for,
and a file of another is refused.
"""

import re
from collections.abc import Iterator
from typing import Any

from hashcheck_core.errors import FeedError
from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.json_items import JsonItems, text
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record
from index_builder.feeds.formats.source_file import SourceFile
from index_builder.feeds.formats.times import parse_time

_CONTEXT = re.compile(r"/ProjectVic/DataModels/(\d+\.\d+)\.xml(?:/([A-Za-z]+)/\$metadata)?#(\w+)$")


def read_vics(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records of a hash set: MD5, SHA-1 and PhotoDNA of each medium. The MD5 is the id: MediaIDs do not last."""
    items = JsonItems(source, feed.name, "value")
    first = True
    for item in items:
        if first:
            _check_kind(items.header, feed)
            first = False
        if isinstance(item, BadRow):
            yield item
        elif "Media" in item.value:
            raise _is_a_case(feed)
        else:
            yield from _records(item.number, item.value)
    if not items.found:
        _check_kind(items.header, feed)
        yield BadRow(1, Reason.TRUNCATED, "there is no list of media")


def _records(number: int, media: dict[str, Any]) -> Iterator[Record | BadRow]:
    md5 = text(media.get("MD5")).strip()
    if not md5:
        yield BadRow(number, Reason.MALFORMED_ID, "a medium has an MD5")
        return
    labels = tuple(
        name
        for name in ("VictimIdentified", "OffenderIdentified", "IsDistributed", "SelfGenerated")
        if media.get(name) is True or text(media.get(name)).lower() == "true"
    )
    kind = text(media.get("MimeType")).partition("/")[0]

    def record(hash_type: str, value: str) -> Record:
        return Record(
            number,
            md5.lower(),
            hash_type,
            value.strip(),
            None,
            text(media.get("Category")),
            updated=parse_time(media.get("DateUpdated")),
            media=kind,
            labels=labels,
        )

    yield record("md5", md5)
    if sha1 := text(media.get("SHA1")):
        yield record("sha1", sha1)
    for value in sorted(_photo_dna(media)):
        yield record("photodna", value)


def _photo_dna(media: dict[str, Any]) -> set[str]:
    """PhotoDNA stands in its own field, or among the alternative hashes, or in both."""
    found = {text(media.get("PhotoDNA"))}
    others = media.get("AlternativeHashes")
    for other in others if isinstance(others, list) else []:
        if isinstance(other, dict) and text(other.get("HashName")).lower() == "photodna":
            found.add(text(other.get("HashValue")))
    return found - {""}


def _check_kind(header: dict[str, Any], feed: FeedConfig) -> None:
    context = header.get("odata.metadata") or header.get("@odata.context")
    match = _CONTEXT.search(context) if isinstance(context, str) else None
    if match is None:
        raise FeedError(
            f"Feed {feed.name!r} does not begin with the context of a VICS file.",
            next_step="Check that it is a Project VIC or CAID hash set, whole, in JSON.",
        )
    version, country, kind = match.groups()
    if kind != "Media":
        raise _is_a_case(feed)
    profile = version if country is None else f"{version}/{country}"
    if profile != feed.profile:
        raise FeedError(
            f"Feed {feed.name!r} is VICS {profile}, and its category map is for {feed.profile}.",
            next_step="Ask the source what its category numbers mean now; then change `categories` and `profile`.",
        )


def _is_a_case(feed: FeedConfig) -> FeedError:
    return FeedError(
        f"Feed {feed.name!r} is a VICS case file, which describes an investigation.",
        next_step="Export the hash set (Media) instead, and keep the case file out of here.",
    )
