"""The report of a build on disk: as JSON for programs, as a page for people, its rejects and held entries line by line.

It lies beside the snapshots, not in them: a reject names a line of a feed, which is the operator's business alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from hashcheck_core.errors import ConfigError, DataError, TransportError
from hashcheck_core.snapshot.files import open_regular, transport_error, write_atomically
from index_builder.feeds.formats.record import BadRow
from index_builder.report.model import BuildReport
from index_builder.report.page import render


class _Reject(msgspec.Struct, frozen=True):
    feed: str
    line: int
    reason: str
    detail: str


def report_directory(out: Path, snapshot: str) -> Path:
    return out / "reports" / snapshot


def failed_report_directory(out: Path, version: int, now: datetime) -> Path:
    return out / "reports" / f"failed-{version:08}-{now:%Y%m%dT%H%M%SZ}"


def write_report(directory: Path, report: BuildReport, rejects: Mapping[str, Iterable[BadRow]]) -> None:
    """Write report.json, report.html, rejects.jsonl and held.jsonl; raises TransportError."""
    earlier = read_reports(directory.parent, before=report.created_at)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise transport_error(directory, error, "written") from None
    write_atomically(directory / "rejects.jsonl", b"".join(_reject_lines(rejects)))
    write_atomically(
        directory / "held.jsonl", b"".join(msgspec.json.encode(held) + b"\n" for held in report.held)
    )
    write_atomically(directory / "report.html", render(report, earlier).encode())
    write_atomically(directory / "report.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def read_reports(folder: Path, *, before: datetime, last: int = 60) -> list[BuildReport]:
    """The reports of earlier builds that made a snapshot, oldest first; those that cannot be read are left out."""
    found = []
    for path in sorted(folder.glob("0*/report.json"))[-last:] if folder.is_dir() else ():
        with suppress(TransportError, DataError):
            report = _read(path)
            if report.created_at <= before:
                found.append(report)
    return found


class NamedReport(NamedTuple):
    """`name` is that of its directory."""

    name: str
    report: BuildReport


def newest_report(out: Path) -> NamedReport | None:
    """The report that was written last, of a build that failed too; one that cannot be read is passed over."""
    found = [(_changed(path), path) for path in (out / "reports").glob("*/report.json")]
    for _, path in sorted(found, reverse=True):
        with suppress(TransportError, DataError):
            return NamedReport(path.parent.name, _read(path))
    return None


def named_report(out: Path, name: str) -> NamedReport:
    """Raises ConfigError for a name that has no report, TransportError or DataError where it cannot be read."""
    path = out / "reports" / Path(name).name / "report.json"
    if not path.exists():
        raise ConfigError(f"{out} has no report {name!r}.", next_step=f"Look into {out / 'reports'}.")
    return NamedReport(path.parent.name, _read(path))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> BuildReport:
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read(), type=BuildReport)
    except OSError as error:
        raise transport_error(path, error, "read") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise DataError(f"{path} is not a report.", next_step="Build again, or name another.") from None


def _reject_lines(rejects: Mapping[str, Iterable[BadRow]]) -> Iterator[bytes]:
    for feed, rows in rejects.items():
        for bad in rows:
            yield msgspec.json.encode(_Reject(feed, bad.line, bad.reason, bad.detail)) + b"\n"
