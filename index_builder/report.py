"""What a build did, for a script and for a person, and the rejects file.

Both are written to `reports/<snapshot>/` beside the snapshots: report.json, and rejects.jsonl with one line
for every rejected row (feed, line, reason, detail). They quote no hash.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from rich.table import Table

from hashcheck_core.snapshot.files import transport_error, write_atomically
from index_builder.formats.record import BadRow


class FeedReport(msgspec.Struct, frozen=True):
    name: str
    batch: str
    rows: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    notes: dict[str, int]


class TypeReport(msgspec.Struct, frozen=True):
    """`listed`: distinct hashes from feeds. `plan`: how the engine is laid out, for a person."""

    type: str
    listed: int
    engine: str
    plan: str


class BuildReport(msgspec.Struct, frozen=True):
    snapshot: str
    version: int
    created_at: datetime
    expires_at: datetime
    entries: int
    types: list[TypeReport]
    feeds: list[FeedReport]
    directory: str


class _Reject(msgspec.Struct, frozen=True):
    feed: str
    line: int
    reason: str
    detail: str


def report_directory(out: Path, snapshot: str) -> Path:
    return out / "reports" / snapshot


def write_report(out: Path, report: BuildReport, rejects: Mapping[str, Iterable[BadRow]]) -> None:
    """Write report.json and rejects.jsonl; raises TransportError."""
    directory = report_directory(out, report.snapshot)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise transport_error(directory, error, "written") from None
    write_atomically(directory / "rejects.jsonl", b"".join(_reject_lines(rejects)))
    write_atomically(directory / "report.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _reject_lines(rejects: Mapping[str, Iterable[BadRow]]) -> Iterator[bytes]:
    for feed, rows in rejects.items():
        for bad in rows:
            yield msgspec.json.encode(_Reject(feed, bad.line, bad.reason, bad.detail)) + b"\n"


def feed_table(report: BuildReport) -> Table:
    """The feeds of a build as a table for a terminal."""
    table = Table("feed", "rows", "accepted", "rejected", "why", title=f"Snapshot {report.snapshot}")
    for feed in report.feeds:
        why = ", ".join(f"{n} {reason}" for reason, n in feed.reasons.items())
        table.add_row(feed.name, f"{feed.rows:,}", f"{feed.accepted:,}", f"{feed.rejected:,}", why)
    return table
