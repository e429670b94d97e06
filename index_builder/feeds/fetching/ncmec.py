"""NCMEC hash sharing v2: ranges of time, each of many pages. https://report.cybertip.org/ws-hashsharing/v2/documentation

- A page is not in order of time, and thousands of entries may share one second: a range counts when its last page is
  in, and nothing but the end of a whole range is ever a checkpoint.
- The link to the next page is a path below the root. It is followed as it is, and not after twelve hours: then the
  range begins again.
- A range that holds too much is asked for in parts, so that what has to begin again is never much. So is one with a
  page that stays damaged, if a person wants to go past that: down to the second it is in, which then is passed.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from index_builder.feeds.fetching.client import Ask, Client, PageError
from index_builder.feeds.fetching.credentials import Credentials
from index_builder.feeds.fetching.poller import Plan, Poller, Step
from index_builder.feeds.formats.ncmec import NAMESPACE

# What is being written at this moment is asked for next time.
_SETTLED: Final = timedelta(seconds=5)
# Each poll looks back over this much of the last one: more than clocks may differ by (see client.MAX_AHEAD).
_OVERLAP: Final = timedelta(minutes=10)
_LINK_GOOD_FOR: Final = timedelta(hours=12)
MAX_RANGE_ENTRIES: Final = 400_000  # a quarter of an hour at a page in two seconds
_PARTS: Final = 16
_ENTRIES: Final = "/v2/entries"


class _Cursor(msgspec.Struct, frozen=True):
    """`ranges` still to do, in seconds since 1970; of the first of them `pages` are in and `next` is the way on."""

    ranges: list[tuple[int, int]]
    next: str = ""
    pages: int = 0


class NcmecPoller(Poller):
    def sign_in(self, client: Client, credentials: Credentials) -> dict[str, str]:
        return {"Authorization": f"Basic {credentials.basic}"}

    def begin(self, checkpoint: str, now: datetime) -> Plan:
        to = int((now - _SETTLED).timestamp())
        start = 0
        if checkpoint:
            start = int((datetime.fromisoformat(checkpoint) - _OVERLAP).timestamp())
        start = max(0, min(start, to - 1))
        return Plan(_encode(_Cursor([(start, to)])), {"from": _iso(start), "to": _iso(to)})

    def ask(self, cursor: str) -> Ask:
        at = _decode(cursor)
        if at.next:
            return Ask(at.next)
        start, end = at.ranges[0]
        return Ask(_ENTRIES, {"from": _iso(start), "to": _iso(end)})

    def read(self, page: Path, cursor: str, now: datetime) -> Step:
        at = _decode(cursor)
        link = _next(page)
        start, end = at.ranges[0]
        if not link:
            return _after(at.ranges)
        if at.pages == 0 and _expected(link) > MAX_RANGE_ENTRIES and end - start > 1:
            return Step(_encode(_Cursor([*_parts(start, end), *at.ranges[1:]])), keep=False)
        return Step(_encode(_Cursor(at.ranges, link, at.pages + 1)))

    def resume(self, cursor: str, checkpoint: str, at: datetime, now: datetime) -> Step | None:
        begun = _decode(cursor)
        if not begun.next or now - at < _LINK_GOOD_FOR:
            return None
        return Step(_encode(_Cursor(begun.ranges)), drop=begun.pages)

    def past(self, page: Path, cursor: str, checkpoint: str) -> Step:
        at = _decode(cursor)
        start, end = at.ranges[0]
        if end - start > 1:
            smaller = _Cursor([*_parts(start, end), *at.ranges[1:]])
            return Step(_encode(smaller), keep=False, drop=at.pages)
        return _after(at.ranges)


def _after(ranges: list[tuple[int, int]]) -> Step:
    """The step from the last page of the first range to the next one, or to the end."""
    return Step(_encode(_Cursor(ranges[1:]))) if ranges[1:] else Step(None, _iso(ranges[0][1]))


def _next(page: Path) -> str:
    """The path of the next page, empty for none."""
    try:
        root = parse(page, forbid_dtd=True).getroot()
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise PageError("it is no XML, or breaks off") from None
    link = (root.findtext(f"{NAMESPACE}paging/{NAMESPACE}next") or "").strip()
    if link and (not link.startswith("/") or link.startswith("//") or "\\" in link or not link.isprintable()):
        raise PageError("its link to the next page is not a path below the root")
    return link


def _expected(link: str) -> int:
    """How many entries the range has, by what stands in the link: a hint and no more."""
    query = parse_qs(urlsplit(link).query)
    try:
        return int(query["max"][0]) - int(query["start"][0])
    except (KeyError, ValueError):
        return 0


def _parts(start: int, end: int) -> list[tuple[int, int]]:
    count = min(_PARTS, end - start)
    edges = [start + (end - start) * part // count for part in range(count + 1)]
    return list(pairwise(edges))


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encode(cursor: _Cursor) -> str:
    return msgspec.json.encode(cursor).decode()


def _decode(cursor: str) -> _Cursor:
    return msgspec.json.decode(cursor, type=_Cursor)
