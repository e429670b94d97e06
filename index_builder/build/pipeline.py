"""A build, top to bottom: read every feed, vet every row, pass every gate, write one signed snapshot and a report.

A bad row is rejected, counted and written down; it never stops the build. A feed that cannot be read, or of which
nothing is left, and any gate that fails stop it before there is a snapshot: the previous one stays in force.
"""

import hmac
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core import __version__
from hashcheck_core.categories import CATEGORY_CODES
from hashcheck_core.errors import ConfigError, FeedError
from hashcheck_core.hash_types import HashType
from hashcheck_core.reserved import TEST_ENTRY_ID, TEST_HASHES
from hashcheck_core.snapshot.files import sync_directory, transport_error
from hashcheck_core.snapshot.manifest import Canary, FeedSection
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.overlay import Overlay, additions_in_force, retracted_entries
from hashcheck_core.snapshot.signing import TrustedKeys
from hashcheck_core.snapshot.writer import SnapshotContent, write_snapshot
from index_builder.build.gate_run import Judging
from index_builder.build.previous import changes_since, feeds_in_force, must_continue
from index_builder.config.feed import FeedConfig
from index_builder.config.file import BuildConfig
from index_builder.config.private_keys import read_id_key, read_signing_key
from index_builder.feeds.entry_ids import EntryIds
from index_builder.feeds.formats.record import SET_ASIDE, Reason
from index_builder.feeds.reading import FeedReading
from index_builder.feeds.rejects import RejectLog
from index_builder.feeds.vetted_blocks import row_blocks
from index_builder.feeds.vetting import Vetting
from index_builder.gates.complete import FeedRows
from index_builder.gates.drift import FeedSize
from index_builder.gates.outcome import raise_for
from index_builder.report.files import failed_report_directory, write_report
from index_builder.report.model import BuildReport, FeedReport, TypeReport
from index_builder.review.applied import Applied
from index_builder.review.chain import Chain
from index_builder.review.file import read_decisions
from index_builder.table.candidates import sample
from index_builder.table.collector import ColumnCollector
from index_builder.table.engines import describe_plan

_UNNAMED = ".unnamed-"


class Progress(Protocol):
    """Hears how far a build is. Bytes are those of the feed file."""

    def feed(self, name: str, done: int, total: int) -> None: ...

    def step(self, text: str) -> None: ...


@dataclass(slots=True)
class _FeedRun:
    """`categories`: how many rows of each are accepted."""

    config: FeedConfig
    reading: FeedReading
    rejects: RejectLog
    categories: Counter[str]

    @property
    def section(self) -> FeedSection:
        return FeedSection(
            name=self.config.name,
            source=self.config.source_name,
            format=self.config.format,
            batch=self.reading.batch,
            size=self.reading.size,
            delivered_at=self.reading.delivered_at,
            rows=self.reading.rows,
            accepted=self.categories.total(),
            rejected=self.rejects.total,
            categories={str(name): count for name, count in sorted(self.categories.items()) if count},
        )


def build(
    config: BuildConfig,
    out: Path,
    *,
    now: datetime,
    version: int,
    progress: Progress,
    overlay: Overlay | None = None,
    new_decisions: bool = False,
) -> BuildReport:
    """Build a snapshot of `config` below `out`; nothing is published.

    Raises ConfigError, FeedError or TransportError with nothing left behind, and GateError with a report of the
    failure. `now` is the one clock of the build: with the same feeds, keys, `now`, `version` and `overlay` the
    snapshot has the same bytes. What `overlay` retracts is not listed, and what it adds goes through the gates with the
    rest, if its category is wanted. Decisions of people are applied; with `new_decisions` the file of them need not
    continue the one of earlier builds.
    """
    with _unnamed(out) as work:
        try:
            return _build(config, out, work, now, version, progress, overlay, new_decisions=new_decisions)
        except OSError as error:
            raise transport_error(work, error, "used") from None


def _build(
    config: BuildConfig,
    out: Path,
    work: Path,
    now: datetime,
    version: int,
    progress: Progress,
    overlay: Overlay | None,
    *,
    new_decisions: bool,
) -> BuildReport:
    """`work` is a folder for what is needed only meanwhile."""
    signing_key = read_signing_key(config.snapshot.signing_key)
    id_key = read_id_key(config.snapshot.entry_id_key_path)
    decisions = _decisions(config, id_key, None if new_decisions else out)
    collector = ColumnCollector(config.hash_types(), work)
    runs = [_read_feed(feed, config, id_key, collector, work, now, progress) for feed in config.feed]
    for addition in additions_in_force(overlay) if overlay else ():
        if addition.category in config.snapshot.categories:
            collector.add_urgent(addition)
    candidates = collector.finish(progress.step)
    _take_back(runs, collector)
    judging = Judging(config, progress.step, decisions)
    judging.feeds([_rows(run) for run in runs], [_size(run) for run in runs], feeds_in_force(out), now)
    retracted = sorted(retracted_entries(overlay)) if overlay else []
    held = judging.candidates(candidates, config.hash_types(), retracted)
    progress.step("comparing with the snapshot in force")
    changes = changes_since(out, candidates, held)

    def report(directory: Path, name: str) -> BuildReport:
        made = BuildReport(
            snapshot=name,
            version=version,
            created_at=now,
            expires_at=now + config.snapshot.expires_after,
            entries=int((~held).sum()),
            types=types,
            feeds=[_feed_report(run) for run in runs],
            directory=str(out / name) if name else "",
            gates=judging.results,
            held=judging.held,
            overlay=overlay.sequence if overlay else 0,
            decisions=decisions.report(),
            changes=changes,
            id_key=_mark(id_key),
        )
        write_report(directory, made, {run.section.name: run.rejects for run in runs})
        return made

    types: list[TypeReport] = []
    failed = failed_report_directory(out, version, now)
    if any(gate.state == "failed" for gate in judging.results):
        report(failed, "")
        raise_for(judging.results, str(failed))
    entries, hashes = candidates.columns(held, progress.step)
    types += [
        TypeReport(
            h.hash_type.name,
            h.listed,
            h.engine.name,
            describe_plan(h.hash_type, h.engine, len(h.codes)),
            h.engine.parameters,
        )
        for h in hashes
    ]
    content = SnapshotContent(
        version=version,
        created_at=now,
        expires_at=now + config.snapshot.expires_after,
        builder=f"hashcheck {__version__}",
        feeds=[run.section for run in runs],
        entries=entries,
        hashes=hashes,
        canaries=[Canary(h.type.name, h.hex(), TEST_ENTRY_ID.hex()) for h in TEST_HASHES],
        overlay=overlay.sequence if overlay else 0,
        last_decision=decisions.chain.last,
    )
    with _unnamed(out) as place:
        directory = write_snapshot(
            place, content, [signing_key], on_file=lambda name: progress.step(f"wrote {name}")
        )
        progress.step("verifying")
        snapshot = open_snapshot(directory, _own_key(signing_key), now=now)
        judging.finished(snapshot, sample(hashes, config.gates.canaries.rows), candidates)
        if any(gate.state == "failed" for gate in judging.results):
            report(failed, "")
            raise_for(judging.results, str(failed))
        made = report(out / "reports" / directory.name, directory.name)
        _name(directory, out)
    return made


@contextmanager
def _unnamed(out: Path) -> Iterator[Path]:
    """A place on the same disk where a snapshot has no name yet. What killed builds left there is cleared away."""
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o750)
        for left in out.glob(f"{_UNNAMED}*"):
            if not Path(f"/proc/{left.name.removeprefix(_UNNAMED).partition('-')[0]}").exists():
                shutil.rmtree(left, ignore_errors=True)
        place = Path(tempfile.mkdtemp(prefix=f"{_UNNAMED}{os.getpid()}-", dir=out))
    except OSError as error:
        raise transport_error(out, error, "written") from None
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _name(directory: Path, out: Path) -> None:
    final = out / directory.name
    try:
        if not final.exists():
            directory.rename(final)
            sync_directory(out)
    except OSError as error:
        raise transport_error(final, error, "written") from None


def _own_key(key: Ed25519PrivateKey) -> TrustedKeys:
    return TrustedKeys.of([key.public_key()], 1)


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
    config: BuildConfig,
    id_key: bytes,
    collector: ColumnCollector,
    work: Path,
    now: datetime,
    progress: Progress,
) -> _FeedRun:
    types: Mapping[str, HashType] = config.hash_types()
    if feed.type is not None and feed.type not in types:
        raise ConfigError(
            f"Feed {feed.name!r} has type {feed.type!r}, which is not a hash type.",
            next_step=f"Use one of: {', '.join(sorted(types))}.",
        )
    vetting = Vetting(feed, types, config.snapshot.categories)
    rejects = RejectLog()
    categories: Counter[str] = Counter()
    reading = FeedReading(feed, rejects, work, now, _every(1 << 20, feed.name, progress))
    entry_ids = EntryIds(id_key, feed.name)
    for rows in row_blocks(feed, reading, vetting, entry_ids, collector.shape, rejects):
        collector.add(feed.name, feed.source_name, rows)
        for code, count in enumerate(np.bincount(rows.categories).tolist()):
            categories[CATEGORY_CODES[code]] += count
    progress.feed(feed.name, reading.size, reading.size)
    if not categories.total() and not feed.allow_empty:
        raise FeedError(
            f"Feed {feed.name!r} has no usable row: {reading.rows} read, {rejects.total} rejected"
            f"{rejects.most_common()}.",
            next_step="Check the file and the config; set allow_empty = true if an empty list is meant.",
        )
    return _FeedRun(feed, reading, rejects, categories)


def _take_back(runs: Sequence[_FeedRun], collector: ColumnCollector) -> None:
    """Count as rejected what showed only when all rows were there."""
    run_of = {run.config.name: run for run in runs}
    for conflict in collector.conflicts():
        run = run_of[conflict.feed]
        run.categories[conflict.category] -= 1
        run.rejects.add(conflict.bad)


def _every(step: int, name: str, progress: Progress) -> Callable[[int, int], None]:
    """Tell progress about bytes, each `step` of them."""
    told = 0

    def on_bytes(done: int, total: int) -> None:
        nonlocal told
        if done // step != told:
            told = done // step
            progress.feed(name, done, total)

    return on_bytes


def _rows(run: _FeedRun) -> FeedRows:
    counts = run.rejects.counts
    faulty = {reason: count for reason, count in counts.items() if reason not in SET_ASIDE}
    return FeedRows(run.section.name, run.section.rows, faulty, Reason.TRUNCATED in counts)


def _size(run: _FeedRun) -> FeedSize:
    return FeedSize(run.section.name, run.section.categories, run.section.delivered_at, run.config.new)


def _feed_report(run: _FeedRun) -> FeedReport:
    return FeedReport(
        name=run.section.name,
        batch=run.section.batch,
        rows=run.section.rows,
        accepted=run.section.accepted,
        rejected=run.section.rejected,
        reasons=dict(sorted(run.rejects.counts.items())),
        notes=run.reading.notes,
        source=run.section.source,
        categories=run.section.categories,
    )


def _decisions(config: BuildConfig, id_key: bytes, out: Path | None) -> Applied:
    """What people decided, verified; with `out`, that nothing is missing of what builds there were made with."""
    chain = Chain() if config.review is None else read_decisions(config.review)
    if out is not None:
        must_continue(chain, out)
    chain.must_be_of(_mark(id_key))
    return Applied(chain, config.review)


def _mark(id_key: bytes) -> str:
    """A name for the id key that tells nothing of it."""
    return hmac.digest(id_key, b"the key of these entry ids", "sha256")[:8].hex()
