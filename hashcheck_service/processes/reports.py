"""What each process counts, as it travels between processes, and the sums of those that have ended.

Prometheus asks one worker, whichever; its answer is of the whole machine. So each process reports to the supervisor,
and the supervisor hands all reports to the worker that was asked. Counts of a process that has ended stay in the sums:
a counter never goes back. What it said of the present (gauges) ends with it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import msgspec

Labels = tuple[tuple[str, str], ...]


class Merge(StrEnum):
    """How the values of one series in several processes become one."""

    SUM = "sum"
    LOWEST = "lowest"
    HIGHEST = "highest"


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One value, by its full name and labels."""

    name: str
    labels: Labels
    value: float


class Family(msgspec.Struct, frozen=True):
    """One metric with all its samples. `kind` as Prometheus names it: counter, gauge, histogram."""

    name: str
    help: str
    kind: str
    samples: Annotated[list[Sample], msgspec.Meta(max_length=50_000)]
    merge: Merge = Merge.SUM


Report = Annotated[list[Family], msgspec.Meta(max_length=500)]


def merged(reports: Iterable[list[Family]]) -> list[Family]:
    """All families of several reports, each once, its samples merged."""
    found: dict[str, tuple[Family, dict[tuple[str, Labels], float]]] = {}
    for family in (family for report in reports for family in report):
        _, values = found.setdefault(family.name, (family, {}))
        for sample in family.samples:
            key = (sample.name, sample.labels)
            values[key] = _merge(family.merge, values[key], sample.value) if key in values else sample.value
    return [
        msgspec.structs.replace(family, samples=[Sample(*key, value) for key, value in values.items()])
        for family, values in found.values()
    ]


def lasting(report: Iterable[Family]) -> list[Family]:
    """What of a report stays true when its process has ended."""
    return [family for family in report if family.kind != "gauge"]


def _merge(how: Merge, one: float, other: float) -> float:
    match how:
        case Merge.SUM:
            return one + other
        case Merge.LOWEST:
            return min(one, other)
        case Merge.HIGHEST:
            return max(one, other)


def gauge(name: str, help_: str, *samples: tuple[dict[str, str], float]) -> Family:
    """A gauge with its (labels, value) pairs, for processes that hold no metrics library."""
    return _family("gauge", name, name, help_, samples)


def counter(name: str, help_: str, *samples: tuple[dict[str, str], float]) -> Family:
    """A counter; `name` without `_total`."""
    return _family("counter", name, f"{name}_total", help_, samples)


def _family(
    kind: str, name: str, full_name: str, help_: str, samples: Iterable[tuple[dict[str, str], float]]
) -> Family:
    return Family(
        name,
        help_,
        kind,
        [Sample(full_name, tuple(sorted(labels.items())), value) for labels, value in samples],
    )
