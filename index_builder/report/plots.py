"""Plots for a report's page, as SVG that needs nothing else. Pure; every word is escaped.

Colours are the page's CSS variables, so that they fit a light page, a dark one and paper; lines differ in their dashes
too. Names stand in a legend of HTML, which wraps.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import count
from typing import Final, NamedTuple

# Okabe and Ito's colours, which most people can tell apart; darker ones for a light page.
COLOURS: Final = (
    *(("#0072b2", "#56b4e9"), ("#b34700", "#ff9e4a"), ("#00735c", "#3ecfa6"), ("#a3478a", "#e49ac9")),
    *(("#7a6a00", "#e8d44d"), ("#4a5568", "#a0aec0")),
)
_DASHES: Final = ("", "7 3", "2 3")
_OTHERS: Final = "others"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 220, 68, 14, 10, 26


class Moment(NamedTuple):
    """The sizes at one time, by name."""

    at: datetime
    sizes: Mapping[str, int]


def over_time(title: str, moments: Sequence[Moment], numbers: "count[int]") -> str:
    """Lines over time, from zero: one for each name, the smallest together where there are many. `numbers` gives each
    plot of a page an id."""
    moments = _fewer(moments)
    names = sorted({name for moment in moments for name in moment.sizes})
    if not names:
        return ""
    top = _nice(max(max(moment.sizes.values(), default=0) for moment in moments))
    first, last = moments[0].at, moments[-1].at
    seconds = (last - first).total_seconds()

    def place(moment: Moment, name: str) -> tuple[float, float]:
        share = (moment.at - first).total_seconds() / seconds if seconds else 1.0
        x = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - moment.sizes.get(name, 0) / top * (_HEIGHT - _TOP - _BOTTOM)
        return round(x, 1), round(y, 1)

    parts = [*_axes(top, first, last)]
    for index, name in enumerate(names):
        points = [(*place(moment, name), moment) for moment in moments]
        path = " ".join(f"{x},{y}" for x, y, _ in points)
        dots = "".join(
            f'<circle cx="{x}" cy="{y}" r="2.5"><title>{escape(name)}, {moment.at:%Y-%m-%d %H:%M}: '
            f"{moment.sizes.get(name, 0):,}</title></circle>"
            for x, y, moment in points
        )
        parts.append(
            f'<g class="c{index % len(COLOURS)}"><polyline {_dash(index)}points="{path}"/>{dots}</g>'
        )
    told = ", ".join(f"{name} {moments[-1].sizes.get(name, 0):,}" for name in names)
    svg = _svg(title, f"{len(moments)} builds; the newest: {told}.", _WIDTH, _HEIGHT, parts, next(numbers))
    legend = "".join(_legend(index, name, moments[-1].sizes.get(name, 0)) for index, name in enumerate(names))
    return f'<figure><figcaption>{escape(title)}</figcaption>{svg}<ul class="legend">{legend}</ul></figure>'


def bars(head: tuple[str, str], rows: Iterable[tuple[str, int]]) -> str:
    """A table with a bar beside each number."""
    rows = list(rows)
    top = max((n for _, n in rows), default=0) or 1
    body = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{n:,}</td>'
        f'<td class="bar"><span style="width:{max(n / top * 100, 0.5):.1f}%"></span></td></tr>'
        for name, n in rows
    )
    heads = f'<th scope="col">{escape(head[0])}</th><th scope="col" class="n">{escape(head[1])}</th>'
    return f'<table class="bars"><thead><tr>{heads}<th class="bar"></th></tr></thead><tbody>{body}</tbody></table>'


def _fewer(moments: Sequence[Moment]) -> list[Moment]:
    """As many names as there are colours: the largest by their greatest size, and the others together."""
    greatest: dict[str, int] = {}
    for moment in moments:
        for name, n in moment.sizes.items():
            greatest[name] = max(greatest.get(name, 0), n)
    if len(greatest) <= len(COLOURS):
        return list(moments)
    kept = set(sorted(greatest, key=lambda name: (-greatest[name], name))[: len(COLOURS) - 1])
    return [
        Moment(
            moment.at,
            {name: n for name, n in moment.sizes.items() if name in kept}
            | {_OTHERS: sum(n for name, n in moment.sizes.items() if name not in kept)},
        )
        for moment in moments
    ]


def _nice(greatest: int) -> int:
    """The next round number, for the top of an axis."""
    power = int(f"1{'0' * (len(str(max(greatest, 1))) - 1)}")
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= max(greatest, 1))


def _axes(top: int, first: datetime, last: datetime) -> Iterable[str]:
    for step in range(5) if top >= 4 else range(0, 5, 4):
        y = _HEIGHT - _BOTTOM - step / 4 * (_HEIGHT - _TOP - _BOTTOM)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(top * step / 4)}</text>'
    if first != last:
        yield f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{first:%Y-%m-%d}</text>'
    yield f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{last:%Y-%m-%d}</text>'


def _short(value: float) -> str:
    for unit, name in ((1_000_000, " M"), (1000, " k")):
        if value >= unit:
            return f"{value / unit:.4g}{name}"
    return f"{value:.4g}"


def _dash(index: int) -> str:
    dash = _DASHES[index % len(_DASHES)]
    return f'stroke-dasharray="{dash}" ' if dash else ""


def _legend(index: int, name: str, size: int) -> str:
    line = f'<line x1="0" x2="24" y1="5" y2="5" {_dash(index)}/>'
    key = f'<svg aria-hidden="true" width="24" height="10" class="key c{index % len(COLOURS)}">{line}</svg>'
    return f"<li>{key}<span>{escape(name)} <b>{size:,}</b></span></li>"


def _svg(title: str, told: str, width: int, height: int, parts: Iterable[str], number: int) -> str:
    """`told` is for those who do not see it."""
    ids = f"plot{number}", f"plot{number}d"
    return (
        f'<svg role="img" viewBox="0 0 {width} {height}" aria-labelledby="{ids[0]} {ids[1]}">'
        f'<title id="{ids[0]}">{escape(title)}</title><desc id="{ids[1]}">{escape(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )
