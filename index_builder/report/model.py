"""The report of a build: what it is. `report_page` draws it, `report_files` writes it.

No hash stands in it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table

from index_builder.gates.outcome import GateResult, Held
from index_builder.report.change_counts import Changes
from index_builder.review.applied import DecisionsReport


class FeedReport(msgspec.Struct, frozen=True):
    """`categories`: accepted rows by category. `notes`: what was odd and yet no reject."""

    name: str
    batch: str
    rows: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    notes: dict[str, int] = {}
    source: str = ""
    categories: dict[str, int] = {}


class TypeReport(msgspec.Struct, frozen=True):
    """`listed`: distinct hashes from feeds. `plan`: how the engine is laid out, for a person."""

    type: str
    listed: int
    engine: str
    plan: str
    parameters: dict[str, Any] = {}


class BuildReport(msgspec.Struct, frozen=True):
    """`snapshot` and `directory` are empty where a gate failed. `overlay`: the one that was taken in; 0 for none.
    `id_key` marks the key that entry ids were made with."""

    snapshot: str
    version: int
    created_at: datetime
    expires_at: datetime
    entries: int
    types: list[TypeReport]
    feeds: list[FeedReport]
    directory: str
    gates: list[GateResult] = []
    held: list[Held] = []
    overlay: int = 0
    decisions: DecisionsReport = DecisionsReport()
    changes: Changes = Changes()
    id_key: str = ""


def feed_table(report: BuildReport) -> Table:
    """The feeds of a build as a table for a terminal."""
    table = Table("feed", "rows", "accepted", "rejected", "why", title=f"Snapshot {report.snapshot}")
    for feed in report.feeds:
        why = ", ".join(f"{n} {reason}" for reason, n in feed.reasons.items())
        table.add_row(feed.name, f"{feed.rows:,}", f"{feed.accepted:,}", f"{feed.rejected:,}", why)
    return table


def gate_table(gates: Sequence[GateResult]) -> Table:
    """What the gates said, for a terminal."""
    table = Table("gate", "", "held", "")
    for gate in gates:
        table.add_row(gate.name, gate.state, str(gate.held), gate.detail)
    return table
