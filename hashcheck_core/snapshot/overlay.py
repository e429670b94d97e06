"""The overlay: entries taken out of force, and hashes put on the list at once, without a build.

A small signed document that lies over whatever snapshot is in force. It is whole each time (every retraction
still meant stands in the newest one), and its sequence number only rises. Pure: it reads and writes no files,
and does not say which keys may sign (`keys` does).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.degenerate import is_degenerate
from hashcheck_core.errors import HashError
from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash, HashKind, HashType
from hashcheck_core.reserved import TEST_ENTRY_ID
from hashcheck_core.search.engine import SearchEngine
from hashcheck_core.search.exact import SortedEngine
from hashcheck_core.search.flat import FlatEngine
from hashcheck_core.snapshot.signed import decode_payload, malformed
from hashcheck_core.snapshot.snapshot import (
    Entries,
    HashTable,
    Listing,
    Snapshot,
    digests_by_entry,
    places_of,
)

OVERLAY_FORMAT: Final = "hashcheck-overlay/1"
MAX_OVERLAY_BYTES: Final = 16 * 1024 * 1024
# What is added is scanned for every query: thousands cost nothing, more belongs into a build.
MAX_ADDITIONS: Final = 10_000
MAX_RETRACTIONS: Final = 100_000
_WHAT: Final = "the overlay"
_ENTRY: Final = re.compile(r"[0-9a-f]{32}")


class Retraction(msgspec.Struct, frozen=True):
    """`reason` is for people at the list's side; no answer shows it."""

    entry: str
    reason: str
    at: datetime


class Addition(msgspec.Struct, frozen=True):
    """One hash of a built-in type; several may share an entry."""

    type: str
    value: str
    entry: str
    category: str
    source: str
    reason: str
    at: datetime


class Overlay(msgspec.Struct, frozen=True):
    format: str
    sequence: int
    created_at: datetime
    retractions: list[Retraction] = []
    additions: list[Addition] = []


def decode_overlay(payload: bytes) -> Overlay:
    """Read a verified payload; raises SnapshotFormatError for anything that is no overlay."""
    overlay = decode_payload(payload, Overlay, OVERLAY_FORMAT, _WHAT)
    entries = [one.entry for one in overlay.retractions] + [one.entry for one in overlay.additions]
    if overlay.sequence < 1 or overlay.created_at.tzinfo is None:
        raise malformed(_WHAT, "its sequence or time is out of range")
    if len(overlay.retractions) > MAX_RETRACTIONS or len(overlay.additions) > MAX_ADDITIONS:
        raise malformed(_WHAT, f"more than {MAX_RETRACTIONS} retractions or {MAX_ADDITIONS} additions")
    if not all(_ENTRY.fullmatch(entry) and entry != TEST_ENTRY_ID.hex() for entry in entries):
        raise malformed(_WHAT, "an entry id is not one")
    categories: dict[str, str] = {}
    for addition in overlay.additions:
        addition_hash(addition)
        if categories.setdefault(addition.entry, addition.category) != addition.category:
            raise malformed(_WHAT, "an entry has two categories")
    return overlay


def addition_hash(addition: Addition) -> Hash:
    """The hash an addition lists; raises SnapshotFormatError where it could list none."""
    hash_type = BUILT_IN_TYPES.get(addition.type)
    if hash_type is None or addition.category not in set(Category) - {Category.TEST}:
        raise malformed(_WHAT, "an addition has a type or category that cannot be added")
    try:
        listed = Hash.from_hex(hash_type, addition.value)
    except HashError:
        raise malformed(_WHAT, "an addition is not a hash of its type") from None
    if is_degenerate(hash_type, listed.value):
        raise malformed(_WHAT, "an addition would match every blank picture")
    return listed


def lay_over(snapshot: Snapshot, overlay: Overlay | None) -> Snapshot:
    """`snapshot` with `overlay` (and no other) over it: a new object that shares every array."""
    if overlay is None:
        return replace(snapshot, overlay=0, overlay_at=None, withdrawn=np.empty(0, np.uint32), urgent=())
    retracted = retracted_entries(overlay)
    kept = additions_in_force(overlay)
    return replace(
        snapshot,
        overlay=overlay.sequence,
        overlay_at=overlay.created_at,
        withdrawn=places_of(snapshot.entries.ids, sorted(retracted)),
        urgent=(_listing(kept),) if kept else (),
    )


def retracted_entries(overlay: Overlay) -> set[str]:
    return {retraction.entry for retraction in overlay.retractions}


def additions_in_force(overlay: Overlay) -> list[Addition]:
    """Those that no retraction takes back."""
    retracted = retracted_entries(overlay)
    return [addition for addition in overlay.additions if addition.entry not in retracted]


def _listing(additions: Sequence[Addition]) -> Listing:
    """A small list of its own, searched beside the snapshot."""
    entries = sorted({addition.entry for addition in additions})
    number = {entry: index for index, entry in enumerate(entries)}
    first = {addition.entry: addition for addition in reversed(additions)}
    codes = {category: code for code, category in enumerate(CATEGORY_CODES)}
    by_type: dict[str, dict[bytes, set[int]]] = {}
    for addition in additions:
        value = addition_hash(addition).value
        by_type.setdefault(addition.type, {}).setdefault(value, set()).add(number[addition.entry])
    tables = {name: _table(BUILT_IN_TYPES[name], rows) for name, rows in by_type.items()}
    return Listing(
        tables=MappingProxyType(tables),
        entries=Entries(
            np.frombuffer(bytes.fromhex("".join(entries)), np.uint8).reshape(len(entries), -1),
            np.array([codes[Category(first[entry].category)] for entry in entries], np.uint8),
            np.arange(len(entries), dtype=np.uint16),
            tuple((first[entry].source,) for entry in entries),
        ),
        digests=digests_by_entry(tables, len(entries)),
    )


def _table(hash_type: HashType, rows: dict[bytes, set[int]]) -> HashTable:
    ordered = sorted(rows)
    codes = np.frombuffer(b"".join(ordered), np.uint8).reshape(len(ordered), -1)
    links = [sorted(rows[value]) for value in ordered]
    engine: SearchEngine = SortedEngine(codes) if hash_type.kind is HashKind.EXACT else FlatEngine(codes)
    return HashTable(
        hash_type,
        engine,
        np.cumsum([0, *map(len, links)]).astype(np.uint32),
        np.array([entry for row in links for entry in row], np.uint32),
        len(ordered),
    )
