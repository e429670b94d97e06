"""The report of a build as one HTML page that needs nothing else: no script, no font, no address. Pure.

Every word from a feed or config is escaped.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import count
from typing import Final

import msgspec

from index_builder.report.model import BuildReport
from index_builder.report.plots import Moment, bars, over_time
from index_builder.report.style import STYLE

_SHOWN: Final = 200


def render(report: BuildReport, earlier: Sequence[BuildReport]) -> str:
    """The page; `earlier` are reports of builds before, oldest first, for the lines over time."""
    title = f"Snapshot {report.snapshot}" if report.snapshot else f"Build {report.version} stopped by a gate"
    builds = [*(r for r in earlier if r.snapshot != report.snapshot), report]
    sections = (
        ("Gates", _gates(report)),
        ("Changes", _changes(report)),
        ("Sizes over time", _sizes(builds)),
        ("Feeds", _feeds(report, builds[-2] if len(builds) > 1 else None)),
        ("Rejected rows", _rejected(report)),
        ("Held for a person", _held(report)),
        ("Decided by people", _decided(report)),
        ("Search", _search(report)),
    )
    body = "".join(
        f"<section><h2>{escape(name)}</h2>{''.join(parts)}</section>\n" for name, parts in sections
    )
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    head = f"{meta}<title>{escape(title)}</title><style>{STYLE}</style>"
    top = f"<header><h1>{escape(title)}</h1>{''.join(_summary(report))}</header>\n"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{top}<main>{body}</main></body></html>\n'


def _summary(report: BuildReport) -> Iterator[str]:
    failed = [gate.name for gate in report.gates if gate.state == "failed"]
    if failed:
        yield f'<p class="failed">Stopped by {escape(", ".join(failed))}: nothing was built. What follows would be.</p>'
    yield (
        f'<p class="soft">Made {report.created_at:%Y-%m-%d %H:%M} UTC, good until '
        f"{report.expires_at:%Y-%m-%d %H:%M} UTC.</p>"
    )
    if report.overlay:
        yield f"<p>Overlay {report.overlay} is part of it.</p>"
    changes = report.changes
    tiles = (
        ("entries", report.entries),
        ("added", changes.added),
        ("removed", changes.removed),
        ("recategorised", changes.moved),
        ("held", len({held.entry for held in report.held})),
        ("rows rejected", sum(feed.rejected for feed in report.feeds)),
        ("decisions pending", report.decisions.count("pending")),
    )
    yield f'<ul class="tiles">{"".join(f"<li><b>{n:,}</b>{escape(name)}</li>" for name, n in tiles)}</ul>'


def _gates(report: BuildReport) -> Iterator[str]:
    rows = ((g.name, g.state, f"{g.held:,}", g.detail) for g in report.gates)
    yield _table(("gate", "", "held", ""), rows, ("", "state", "n", ""))


def _changes(report: BuildReport) -> Iterator[str]:
    changes = report.changes
    since = (
        f"Against {changes.since}, which is in force." if changes.since else "No snapshot is in force here."
    )
    yield f"<p>{escape(changes.note or since)}</p>"
    rows = (
        (r.source, r.category, f"{r.before:,}", _signed(r.added), _signed(-r.removed), f"{r.after:,}")
        for r in changes.listed
    )
    head = ("source", "category", "entries before", "added", "removed", "now")
    yield _table(head, rows, ("", "", "n", "n", "n", "n"))
    if changes.recategorised:
        moved = ((m.before, m.after, f"{m.entries:,}") for m in changes.recategorised)
        yield _table(("recategorised from", "to", "entries"), moved, ("", "", "n"))


def _sizes(builds: Sequence[BuildReport]) -> Iterator[str]:
    numbers = count(1)
    told = [build for build in builds if build.changes.listed]
    if not told:
        yield "<p>No entry is listed.</p>"
        return
    yield '<div class="plots">'
    for title, sizes in (
        ("Entries by source", [build.changes.by_source() for build in told]),
        ("Entries by category", [build.changes.by_category() for build in told]),
    ):
        moments = [Moment(build.created_at, size) for build, size in zip(told, sizes, strict=True)]
        yield over_time(title, moments, numbers)
    for source in sorted(told[-1].changes.by_source()):
        moments = [
            Moment(b.created_at, {r.category: r.after for r in b.changes.listed if r.source == source})
            for b in told
        ]
        yield over_time(f"{source}, by category", moments, numbers)
    yield "</div>"


def _feeds(report: BuildReport, last: BuildReport | None) -> Iterator[str]:
    rows = (
        (f.name, f.source, f"{f.rows:,}", f"{f.accepted:,}", _change(f.name, f.accepted, last), f"{f.rejected:,}",
         _counts(f.reasons), _counts(f.notes))
        for f in report.feeds
    )  # fmt: skip
    head = ("feed", "source", "rows", "accepted", "since the last build", "rejected", "why", "notes")
    yield _table(head, rows, ("", "", "n", "n", "n", "n", "", ""))


def _rejected(report: BuildReport) -> Iterator[str]:
    rows = [(f"{f.name}: {reason}", n) for f in report.feeds for reason, n in f.reasons.items()]
    yield bars(("feed and reason", "rows"), rows) if rows else "<p>None.</p>"


def _held(report: BuildReport) -> Iterator[str]:
    if not report.held:
        yield "<p>Nothing.</p>"
        return
    counted = Counter(f"{held.feed}: {held.gate}, {held.why}" for held in report.held)
    yield bars(("feed and reason", "entries"), sorted(counted.items()))
    rows = ((h.entry, h.feed, h.category, h.gate, h.why) for h in report.held[:_SHOWN])
    yield _table(("entry", "feed", "category", "held by", "why"), rows, ("code", "", "", "", ""))
    if len(report.held) > _SHOWN:
        yield f"<p>And {len(report.held) - _SHOWN:,} more: index-builder review lists them.</p>"


def _decided(report: BuildReport) -> Iterator[str]:
    decided = report.decisions.decided
    if not decided:
        yield "<p>Nothing.</p>"
        return
    counts = ", ".join(
        f"{report.decisions.count(state):,} {state}" for state in ("applied", "pending", "unused")
    )
    yield f"<p>{counts}, as of decision {report.decisions.last.number:,}.</p>"
    rows = (
        (
            d.entry,
            d.feed,
            d.category,
            d.verdict,
            d.state,
            " and ".join(d.people),
            d.reason,
            "; ".join(d.grounds),
        )
        for d in sorted(decided, key=lambda d: (d.state != "pending", -d.number))[:_SHOWN]
    )
    head = ("entry", "feed", "category", "", "", "by", "reason", "gates against it")
    yield _table(head, rows, ("code", "", "", "", "state", "", "", ""))
    if len(decided) > _SHOWN:
        yield f"<p>And {len(decided) - _SHOWN:,} more in report.json.</p>"


def _search(report: BuildReport) -> Iterator[str]:
    rows = (
        (t.type, f"{t.listed:,}", t.engine, t.plan, msgspec.json.encode(t.parameters).decode())
        for t in report.types
    )
    yield _table(("hash type", "listed", "engine", "plan", "parameters"), rows, ("", "n", "", "", ""))


def _change(feed: str, accepted: int, last: BuildReport | None) -> str:
    before = next((f.accepted for f in last.feeds if f.name == feed), None) if last else None
    return "new" if before is None else f"{accepted - before:+,}"


def _signed(change: int) -> str:
    return f"{change:+,}" if change else ""


def _counts(counts: "dict[str, int]") -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kinds: Sequence[str]) -> str:
    """Cells of kind `state` are coloured by what they say, `code` are ids."""

    def cell(text: str, kind: str) -> str:
        inner = f"<code>{escape(text)}</code>" if kind == "code" else escape(text)
        name = text if kind == "state" else kind if kind == "n" else ""
        return f'<td class="{escape(name)}">{inner}</td>' if name else f"<td>{inner}</td>"

    body = "".join("<tr>" + "".join(map(cell, row, kinds)) + "</tr>" for row in rows)
    heads = "".join(
        f'<th scope="col"{" class=n" if kind == "n" else ""}>{escape(name)}</th>'
        for name, kind in zip(head, kinds, strict=True)
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
