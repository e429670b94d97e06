"""The report of a build as one HTML page that needs nothing else: no script, no font, no address. Pure.

Every word from a feed or config is escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape

import msgspec

from index_builder.report import BuildReport

_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#4a5568", "#975a16", "#285e61")
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1a202c}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.25rem .75rem;border-bottom:1px solid #e2e8f0;
text-align:left;vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums}.failed{color:#c53030;
font-weight:600}.passed{color:#2f855a}.off{color:#975a16}svg text{font-size:12px;fill:#4a5568}code{font-size:13px}"""
_SHOWN = 200


def render(report: BuildReport, earlier: Sequence[BuildReport]) -> str:
    """The page; `earlier` are reports of builds before, oldest first, for the lines over time."""
    title = f"Snapshot {report.snapshot}" if report.snapshot else f"Build {report.version} stopped by a gate"
    builds = [*(r for r in earlier if r.snapshot != report.snapshot), report]
    last = builds[-2] if len(builds) > 1 else None
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Made {report.created_at:%Y-%m-%d %H:%M} UTC, good until {report.expires_at:%Y-%m-%d %H:%M} UTC; "
        f"{report.entries:,} entries.</p>",
        "<h2>Gates</h2>",
        _table(
            ("gate", "", "held", ""),
            ((g.name, g.state, f"{g.held:,}", g.detail) for g in report.gates),
            classes=("", "state", "n", ""),
        ),
        "<h2>Feeds</h2>",
        _table(
            ("feed", "source", "rows", "accepted", "since the last build", "rejected", "why", "notes"),
            (
                (
                    f.name,
                    f.source,
                    f"{f.rows:,}",
                    f"{f.accepted:,}",
                    _change(f.name, f.accepted, last),
                    f"{f.rejected:,}",
                    _counts(f.reasons),
                    _counts(f.notes),
                )
                for f in report.feeds
            ),
            classes=("", "", "n", "n", "n", "n", "", ""),
        ),
        "<h2>Accepted rows by feed</h2>",
        _lines([{f.name: f.accepted for f in build.feeds} for build in builds]),
        "<h2>Accepted rows by category</h2>",
        _lines([_by_category(build) for build in builds]),
        "<h2>Rejected and held</h2>",
        _bars(
            [(f"{f.name}: {reason}", n) for f in report.feeds for reason, n in f.reasons.items()]
            + [(f"held by {g.name}", g.held) for g in report.gates if g.held]
        ),
        *_held(report),
        "<h2>Search</h2>",
        _table(
            ("hash type", "listed", "engine", "plan", "parameters"),
            (
                (t.type, f"{t.listed:,}", t.engine, t.plan, msgspec.json.encode(t.parameters).decode())
                for t in report.types
            ),
            classes=("", "n", "", "", ""),
        ),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _change(feed: str, accepted: int, last: BuildReport | None) -> str:
    before = next((f.accepted for f in last.feeds if f.name == feed), None) if last else None
    return "new" if before is None else f"{accepted - before:+,}"


def _counts(counts: "dict[str, int]") -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _by_category(build: BuildReport) -> "dict[str, int]":
    total: dict[str, int] = {}
    for feed in build.feeds:
        for category, n in feed.categories.items():
            total[category] = total.get(category, 0) + n
    return total


def _held(report: BuildReport) -> Iterable[str]:
    if report.held:
        rows = ((h.entry, h.feed, h.category, h.gate, h.why) for h in report.held[:_SHOWN])
        yield _table(("entry", "feed", "category", "held by", "why"), rows)
        if len(report.held) > _SHOWN:
            yield f"<p>And {len(report.held) - _SHOWN:,} more in held.jsonl.</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    def cell(text: str, kind: str) -> str:
        kind = text if kind == "state" else kind
        return f'<td class="{escape(kind)}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"

    kinds = classes or [""] * len(head)
    body = "".join("<tr>" + "".join(map(cell, row, kinds)) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>{body}</table>"


def _lines(builds: "Sequence[dict[str, int]]") -> str:
    """One line for each name over the builds, the newest at the right."""
    names = sorted({name for build in builds for name in build})
    top = max((n for build in builds for n in build.values()), default=0) or 1
    width, height, left = 720, 180, 90
    step = (width - left - 20) / max(len(builds) - 1, 1)
    parts = [f'<text x="0" y="16">{top:,}</text><text x="0" y="{height}">0</text>']
    for index, name in enumerate(names):
        colour = _COLOURS[index % len(_COLOURS)]
        points = [
            (left + i * step, height - build.get(name, 0) / top * (height - 10))
            for i, build in enumerate(builds)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        row = height + 22 + 16 * index
        parts.append(f'<rect x="{left}" y="{row - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + 18}" y="{row}">{escape(name)}: {builds[-1].get(name, 0):,}</text>')
    whole = height + 30 + 16 * len(names)
    return f'<svg role="img" width="{width}" height="{whole}" viewBox="0 0 {width} {whole}">{"".join(parts)}</svg>'


def _bars(counts: "Sequence[tuple[str, int]]") -> str:
    if not counts:
        return "<p>Nothing.</p>"
    top = max(n for _, n in counts)
    parts = []
    for index, (name, n) in enumerate(counts):
        y = 22 * index
        parts.append(f'<text x="0" y="{y + 14}">{escape(name)}</text>')
        parts.append(
            f'<rect x="300" y="{y + 3}" width="{max(n / top * 320, 1):.1f}" height="14" fill="#c05621"/>'
        )
        parts.append(f'<text x="{310 + n / top * 320:.1f}" y="{y + 14}">{n:,}</text>')
    height = 22 * len(counts) + 4
    return f'<svg role="img" width="720" height="{height}" viewBox="0 0 720 {height}">{"".join(parts)}</svg>'
