"""Sites to serve: lists of uniform random hashes of any size, built once and kept in benchmarks/.cache.

They are written with the snapshot writer itself, past the builder: reading 10 million lines of text is another
benchmark's business. The same size gives the same hashes: `listed` and `strangers` know which are on the list.
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.categories import CATEGORY_CODES, Category
from hashcheck_core.hash_types import BUILT_IN_TYPES, HashType
from hashcheck_core.snapshot.signing import load_private
from hashcheck_core.snapshot.writer import EntryColumns, HashColumns, SnapshotContent, write_snapshot
from index_builder.table.engines import choose_engine
from tests.support import Site, done

CACHE = Path(__file__).parent / ".cache"
Codes = NDArray[np.uint8]
_PDQ, _MD5 = BUILT_IN_TYPES["pdq"], BUILT_IN_TYPES["md5"]


def site_of(rows: int, *, md5: bool = False) -> Site:
    """A site whose pointer names a list of `rows` PDQ hashes, with `md5` as many MD5 digests too. Its key is in the
    file `key`."""
    site = Site(CACHE / f"list-{rows}{'-md5' if md5 else ''}")
    if not (site.root / "key").exists():
        shutil.rmtree(site.root, ignore_errors=True)
        done("index_builder", "keygen", site.root / "keys" / "builder")
        digests = digests_of(rows) if md5 else None
        site.point_at(write_list(site, codes_of(rows), version=1, digests=digests), 1)
        site.write_settings()
        (site.root / "key").write_text(site.add_key())
    return site


def key_of(site: Site) -> str:
    return (site.root / "key").read_text()


def codes_of(rows: int) -> Codes:
    """The listed PDQ hashes, ascending and distinct as a snapshot has them."""
    return _ascending(rows, _PDQ.bytes, seed=1)


def digests_of(rows: int) -> Codes:
    """The listed MD5 digests, as `codes_of`."""
    return _ascending(rows, _MD5.bytes, seed=3)


def _ascending(rows: int, width: int, seed: int) -> Codes:
    codes = np.random.default_rng(seed).integers(0, 256, (rows, width), np.uint8)
    words = codes.view(">u8")
    return np.ascontiguousarray(codes[np.lexsort(words.T[::-1])])


def strangers(count: int, seed: int = 2) -> Codes:
    """Hashes no list here holds, nor anything near."""
    return np.random.default_rng(seed).integers(0, 256, (count, _PDQ.bytes), np.uint8)


def write_list(site: Site, codes: Codes, version: int, digests: Codes | None = None) -> Path:
    """Write a snapshot that lists `codes`, each as an entry of its own; its directory.

    `digests`: an MD5 digest for each of these entries too.
    """
    rows = len(codes)
    columns = [_columns(_PDQ, codes), *([] if digests is None else [_columns(_MD5, digests)])]
    ids = np.zeros((rows, 16), np.uint8)
    ids[:, :8] = np.arange(rows, dtype=">u8").view(np.uint8).reshape(rows, 8)
    entries = EntryColumns(
        ids,
        np.full(rows, CATEGORY_CODES.index(Category.BASELINE), np.uint8),
        np.zeros(rows, np.uint16),
        [["benchmark"]],
    )
    now = datetime.now(UTC).replace(microsecond=0)
    content = SnapshotContent(version, now, now + timedelta(days=365), "benchmark", [], entries, columns, [])
    key = load_private((site.root / "keys" / "builder.pem").read_bytes())
    return write_snapshot(site.snapshots, content, [key])


def _columns(hash_type: HashType, codes: Codes) -> HashColumns:
    rows = len(codes)
    engine, build = choose_engine(hash_type, codes)
    entries = np.arange(rows, dtype=np.uint32)
    return HashColumns(hash_type, codes, np.arange(rows + 1, dtype=np.uint32), entries, rows, engine, build)
