"""What changed from one snapshot to another: counts by category and source, and the entries added and removed.

Entries are the opaque ids that answers carry; no hash is shown. The files read are checked against their manifests;
signatures are `verify`'s to check.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.search.exact import as_keys
from hashcheck_core.snapshot.files import read_limited, transport_error
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, decode
from hashcheck_core.snapshot.verifier import as_array, verify_entries, verify_file


class Change(msgspec.Struct, frozen=True):
    """How many of something each snapshot has."""

    name: str
    before: int
    after: int


class Difference(msgspec.Struct, frozen=True):
    """`recategorised`: entries in both, in another category. Ids in hex, ascending."""

    before: str
    after: str
    entries: Change
    categories: list[Change]
    sources: list[Change]
    types: list[Change]
    feeds: list[Change]
    added: list[str]
    removed: list[str]
    recategorised: list[str]


def read_entries(directory: Path) -> "tuple[Manifest, dict[str, NDArray[Any]]]":
    """The manifest of a snapshot and the arrays of its entries, mapped; raises TransportError or SnapshotError."""
    manifest = decode(read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES))
    arrays = {}
    for role, entry in manifest.entries.files.items():
        data = _mapped(directory / entry.name, entry.size)
        verify_file(entry, data)
        arrays[role] = as_array(entry, data)
    verify_entries(manifest, arrays)
    return manifest, arrays


def _mapped(path: Path, size: int) -> "memoryview | bytes":
    """The bytes of a file; mapped, where it has as many as it should, so that they take no memory."""
    try:
        if path.stat().st_size == size > 0:
            return np.memmap(path, np.uint8, "r").data
    except OSError as error:
        raise transport_error(path, error, "read") from None
    return read_limited(path, size)


class _Side:
    def __init__(self, directory: Path) -> None:
        self.name = directory.absolute().name
        self.manifest, arrays = read_entries(directory)
        self.ids = as_keys(arrays["ids"])
        self.categories: NDArray[np.uint8] = arrays["categories"]
        names = self.manifest.source_sets
        counts = np.bincount(arrays["source_sets"], minlength=len(names))
        self.sources: Counter[str] = Counter()
        for group, count in zip(names, counts, strict=True):
            for name in group:
                self.sources[name] += int(count)


def compare(before: Path, after: Path) -> Difference:
    """Compare two snapshot directories; raises TransportError or SnapshotError."""
    old, new = _Side(before), _Side(after)
    common, in_old, in_new = np.intersect1d(old.ids, new.ids, assume_unique=True, return_indices=True)
    moved = old.categories[in_old] != new.categories[in_new]
    return Difference(
        before=old.name,
        after=new.name,
        entries=Change("entries", len(old.ids), len(new.ids)),
        categories=_changes(_categories(old), _categories(new)),
        sources=_changes(old.sources, new.sources),
        types=_changes(*({h.type: h.listed for h in side.manifest.hashes} for side in (old, new))),
        feeds=_changes(*({f.name: f.accepted for f in side.manifest.feeds} for side in (old, new))),
        added=_hex(np.setdiff1d(new.ids, old.ids, assume_unique=True)),
        removed=_hex(np.setdiff1d(old.ids, new.ids, assume_unique=True)),
        recategorised=_hex(common[moved]),
    )


def _categories(side: _Side) -> "dict[str, int]":
    counts = np.bincount(side.categories, minlength=len(CATEGORY_CODES))
    return {category: int(n) for category, n in zip(CATEGORY_CODES, counts, strict=True) if n}


def _changes(before: "dict[str, int]", after: "dict[str, int]") -> list[Change]:
    return [Change(name, before.get(name, 0), after.get(name, 0)) for name in sorted({*before, *after})]


def _hex(ids: NDArray[np.bytes_]) -> list[str]:
    width = ids.dtype.itemsize
    raw = np.ascontiguousarray(ids).tobytes()
    return [raw[start : start + width].hex() for start in range(0, len(raw), width)]
