"""`ncmec`: pages of NCMEC's hash sharing API v2, XML. A delta feed with tombstones; an update replaces its entry.

Source: python-threatexchange's client and its test data, and NCMEC's public usage notes. The key of an entry is
(member, id). The code is its classification, empty where there is none. Fingerprints given by address only are not
fetched and the addresses not kept. The feed is a stranger's: a document type or an entity refuses the page.
"""

from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from hashcheck_core.errors import FeedError
from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record, Tombstone
from index_builder.feeds.formats.source_file import EntryTooLargeError, SourceFile, Utf8Source
from index_builder.feeds.formats.times import parse_time

NAMESPACE: Final = "{https://hashsharing.ncmec.org/hashsharing/v2}"
MAX_DEPTH: Final = 24
MAX_ENTRY_CHARS: Final = 1024 * 1024
_TYPES: Final = {"md5": "md5", "sha1": "sha1", "pdq": "pdq", "pdna": "photodna", "netclean": "netclean"}
_LISTED: Final = {"image": "image", "video": "video"}
_DELETED: Final = frozenset({"deletedImage", "deletedVideo"})


def read_ncmec(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Records and tombstones of one page; raises FeedError for what is not one, or is hostile."""
    text = Utf8Source(source, feed.name)
    number = 0
    path: list[Element] = []
    try:
        for event, element in iterparse(text, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                if not path and element.tag != f"{NAMESPACE}queryResult":
                    raise _not_a_page(feed)
                path.append(element)
                if len(path) > MAX_DEPTH:
                    raise _hostile(feed, "nests deeper than any page does")
                continue
            path.pop()
            name = element.tag.removeprefix(NAMESPACE)
            if name in _LISTED or name in _DELETED:
                number += 1
                yield from _entry(number, name, element, text.damaged)
                text.entry_ended()
                del path[-1][:]
    except DefusedXmlException:
        raise _hostile(feed, "has a document type or an entity") from None
    except EntryTooLargeError:
        yield BadRow(number + 1, Reason.TRUNCATED, "one entry does not end; what follows was not read")
    except (ParseError, ValueError, LookupError):
        if not path and number == 0:
            raise _not_a_page(feed) from None
        yield BadRow(number + 1, Reason.TRUNCATED, "the XML ends or breaks here; what follows was not read")


def _entry(number: int, name: str, element: Element, damaged: bool) -> Iterator[Item]:
    texts = list(element.itertext())
    if sum(map(len, texts)) > MAX_ENTRY_CHARS:
        yield BadRow(number, Reason.LINE_TOO_LONG, f"the entry has more than {MAX_ENTRY_CHARS} characters")
        return
    if damaged and any("\ufffd" in part for part in texts):
        yield BadRow(number, Reason.NOT_UTF8, "the entry is not UTF-8")
        return
    member = element.find(f"{NAMESPACE}member")
    who = "" if member is None else member.get("id", "")
    own_id = _text(element, "id")
    if not who or not own_id:
        yield BadRow(number, Reason.MALFORMED_ID, "an entry has a member and an id")
        return
    key, updated = f"{who}/{own_id}", parse_time(_text(element, "timestamp"))
    if name in _DELETED:
        yield Tombstone(number, key, updated)
        return
    up, down = _opinions(element, who)
    common: dict[str, Any] = {
        "member": who,
        "updated": updated,
        "up": up,
        "down": down,
        "media": _LISTED[name],
    }
    found = False
    for fingerprint in element.iterfind(f"{NAMESPACE}fingerprints/*"):
        kind = _TYPES.get(fingerprint.tag.removeprefix(NAMESPACE))
        value = (fingerprint.text or "").strip()
        if kind is not None and value:
            found = True
            yield Record(number, key, kind, value, None, _text(element, "classification"), **common)
    if not found:
        yield BadRow(number, Reason.NOT_FOR_LISTS, "no fingerprint stands in the entry itself")


def _opinions(element: Element, giver: str) -> tuple[int, int]:
    """Members other than the giver that affirmed a fingerprint of the entry, and that denied one."""
    counts = []
    for kind in ("affirmativeFeedback", "negativeFeedback"):
        given = element.iterfind(f"{NAMESPACE}feedback/{NAMESPACE}{kind}")
        members = {member.get("id", "") for one in given for member in one.iter(f"{NAMESPACE}member")}
        counts.append(len(members - {giver, ""}))
    return counts[0], counts[1]


def _text(element: Element, name: str) -> str:
    return (element.findtext(f"{NAMESPACE}{name}") or "").strip()


def _not_a_page(feed: FeedConfig) -> FeedError:
    return FeedError(
        f"Feed {feed.name!r} is not a page of NCMEC hash sharing v2.",
        next_step="Check that it is the right file, whole, in XML; an error page is none.",
    )


def _hostile(feed: FeedConfig, what: str) -> FeedError:
    return FeedError(
        f"Feed {feed.name!r} {what}, which no page of NCMEC's does.",
        next_step="Do not use the file; find out where it came from.",
    )
