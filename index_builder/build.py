"""A build, top to bottom: read every feed, vet every row, write one signed snapshot and the report beside it.

A bad row is rejected, counted and written down; it never stops the build. A feed that cannot be read, or of
which nothing is left, stops it before anything is written: the previous snapshot stays in force.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hashcheck_core import __version__
from hashcheck_core.categories import Category
from hashcheck_core.errors import ConfigError, FeedError
from hashcheck_core.hash_types import HashType
from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES
from hashcheck_core.snapshot.files import read_limited, transport_error
from hashcheck_core.snapshot.manifest import Canary, FeedSection
from hashcheck_core.snapshot.signing import load_private
from hashcheck_core.snapshot.writer import SnapshotContent, write_snapshot
from index_builder.columns import ColumnCollector
from index_builder.config import BuildConfig, FeedConfig
from index_builder.engines import describe_plan
from index_builder.formats.record import BadRow
from index_builder.reading import FeedReading
from index_builder.rejects import RejectLog
from index_builder.report import BuildReport, FeedReport, TypeReport, write_report
from index_builder.vetting import Vetting

_MAX_KEY_BYTES = 64 * 1024
_ID_KEY_BYTES = 32


class Progress(Protocol):
    """Hears how far a build is. Bytes are those of the feed file."""

    def feed(self, name: str, done: int, total: int) -> None: ...

    def step(self, text: str) -> None: ...


@dataclass(slots=True)
class _FeedRun:
    section: FeedSection
    rejects: RejectLog
    notes: dict[str, int]


def build(config: BuildConfig, out: Path, *, now: datetime, version: int, progress: Progress) -> BuildReport:
    """Build a snapshot of `config` below `out`; nothing is published.

    Raises ConfigError, FeedError or TransportError, with nothing left behind. `now` is the one clock of the
    build: with the same feeds, keys, `now` and `version` the snapshot has the same bytes.
    """
    signing_key = load_private(read_limited(config.snapshot.signing_key, _MAX_KEY_BYTES, follow_links=True))
    id_key = _load_id_key(config.snapshot.entry_id_key_path)
    types = config.hash_types()
    collector = ColumnCollector(id_key, types)
    wanted = config.snapshot.categories
    with tempfile.TemporaryDirectory(prefix="index-builder-") as work:
        runs = [_read_feed(feed, types, collector, wanted, Path(work), now, progress) for feed in config.feed]

    progress.step("sorting")
    entries, hashes = collector.finish(progress.step)
    content = SnapshotContent(
        version=version,
        created_at=now,
        expires_at=now + config.snapshot.expires_after,
        builder=f"hashcheck {__version__}",
        feeds=[run.section for run in runs],
        entries=entries,
        hashes=hashes,
        canaries=[Canary(h.type.name, h.hex(), TEST_ENTRY_ID.hex()) for h in TEST_HASHES],
    )
    directory = write_snapshot(
        out, content, [signing_key], on_file=lambda name: progress.step(f"wrote {name}")
    )
    report = BuildReport(
        snapshot=directory.name,
        version=version,
        created_at=content.created_at,
        expires_at=content.expires_at,
        entries=len(entries.ids),
        types=[
            TypeReport(
                h.hash_type.name, h.listed, h.engine.name, describe_plan(h.hash_type, h.engine, len(h.codes))
            )
            for h in hashes
        ],
        feeds=[_feed_report(run) for run in runs],
        directory=str(directory),
    )
    write_report(out, report, {run.section.name: run.rejects for run in runs})
    return report


def next_version(out: Path) -> int:
    """One more than the highest version below `out`; 1 where there is none."""
    try:
        names = [path.name for path in out.iterdir()] if out.is_dir() else []
    except OSError as error:
        raise transport_error(out, error, "read") from None
    versions = [int(name[:8]) for name in names if name[:8].isdecimal() and name[8:9] == "-"]
    return max(versions, default=0) + 1


def _read_feed(
    feed: FeedConfig,
    types: Mapping[str, HashType],
    collector: ColumnCollector,
    wanted: Collection[Category],
    work: Path,
    now: datetime,
    progress: Progress,
) -> _FeedRun:
    if feed.type is not None and feed.type not in types:
        raise ConfigError(
            f"Feed {feed.name!r} has type {feed.type!r}, which is not a hash type.",
            next_step=f"Use one of: {', '.join(sorted(types))}.",
        )
    vetting = Vetting(feed, types, wanted)
    rejects = RejectLog()
    reading = FeedReading(feed, rejects, work, now, _every(1 << 20, feed.name, progress))
    for record in reading:
        vetted = vetting.vet(record)
        if not isinstance(vetted, BadRow):
            conflict = collector.add(feed.name, feed.source_name, vetted)
            if conflict is None:
                continue
            vetted = conflict
        rejects.add(vetted)
    progress.feed(feed.name, reading.size, reading.size)
    accepted = reading.rows - rejects.total
    if accepted == 0 and not feed.allow_empty:
        raise FeedError(
            f"Feed {feed.name!r} has no usable row: {reading.rows} read, {rejects.total} rejected"
            f"{rejects.most_common()}.",
            next_step="Check the file and the config; set allow_empty = true if an empty list is meant.",
        )
    section = FeedSection(
        name=feed.name,
        source=feed.source_name,
        format=feed.format,
        batch=reading.batch,
        size=reading.size,
        delivered_at=reading.delivered_at,
        rows=reading.rows,
        accepted=accepted,
        rejected=rejects.total,
    )
    return _FeedRun(section, rejects, reading.notes)


def _every(step: int, name: str, progress: Progress) -> Callable[[int, int], None]:
    """Tell progress about bytes, each `step` of them."""
    told = 0

    def on_bytes(done: int, total: int) -> None:
        nonlocal told
        if done // step != told:
            told = done // step
            progress.feed(name, done, total)

    return on_bytes


def _feed_report(run: _FeedRun) -> FeedReport:
    return FeedReport(
        name=run.section.name,
        batch=run.section.batch,
        rows=run.section.rows,
        accepted=run.section.accepted,
        rejected=run.section.rejected,
        reasons=dict(sorted(run.rejects.counts.items())),
        notes=run.notes,
    )


def _load_id_key(path: Path) -> bytes:
    text = read_limited(path, _MAX_KEY_BYTES, follow_links=True)
    try:
        key = bytes.fromhex(text.decode().strip())
    except (ValueError, UnicodeDecodeError):
        key = b""
    if len(key) != _ID_KEY_BYTES:
        raise ConfigError(f"{path} is not an entry id key.", next_step="Make one with: index-builder keygen")
    return key
