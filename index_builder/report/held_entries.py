"""What a person sees of a build and what they decide about it: held entries with their standing, and new decisions.

Pure: a report, a chain and a config in; rows or decisions out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from hashcheck_core.errors import ConfigError
from index_builder.config.review import Person, ReviewConfig
from index_builder.report.model import BuildReport
from index_builder.review.agreement import Standing, standings
from index_builder.review.chain import Chain
from index_builder.review.record import (
    DECISION_FORMAT,
    MAX_REASON_CHARS,
    Decision,
    Verdict,
    is_entry,
    is_reason,
)


class HeldRow(msgspec.Struct, frozen=True):
    """An entry that a gate held, and where it stands now. `decided`: accepted, rejected or nothing; `pending`: what
    `people` have decided and `lacking` more must, before it is in force."""

    entry: str
    feed: str
    category: str
    gate: str
    why: str
    decided: str = ""
    pending: str = ""
    people: list[str] = []
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one person decides about some entries."""

    verdict: Verdict
    entries: Sequence[str]
    person: Person
    reason: str
    at: datetime


def held_rows(report: BuildReport, chain: Chain, rules: ReviewConfig | None) -> list[HeldRow]:
    """What the build held, in its order."""
    found = standings(chain.counting, rules) if rules else {}
    rows = []
    for held in report.held:
        row = HeldRow(held.entry, held.feed, held.category, held.gate, held.why)
        standing = found.get(held.entry)
        rows.append(row if standing is None or rules is None else _told(row, held.ground, standing, rules))
    return rows


def _told(row: HeldRow, ground: str, standing: Standing, rules: ReviewConfig) -> HeldRow:
    decided = "rejected" if standing.rejected else "accepted" if ground in standing.accepted(rules) else ""
    pending = standing.pending
    if pending is not None and (decided == "" or pending is not standing.in_force):
        return msgspec.structs.replace(
            row,
            decided=decided,
            pending=pending.verdict,
            people=pending.people,
            lacking=pending.lacking(rules),
        )
    people = standing.in_force.people if decided and standing.in_force else []
    return msgspec.structs.replace(row, decided=decided, people=people)


def person_of(rules: ReviewConfig, name: str) -> Person:
    """Raises ConfigError for one who may not decide."""
    deciding = {person.name: person for person in rules.person if person.until is None}
    if name not in deciding:
        raise ConfigError(
            f"{name!r} is not one who may decide.", next_step=f"[review] has: {', '.join(sorted(deciding))}."
        )
    return deciding[name]


def decisions_of(opinion: Opinion, report: BuildReport, chain: Chain, rules: ReviewConfig) -> list[Decision]:
    """The decisions to add to `chain`; an entry about which the person has said the same already adds none.

    Raises ConfigError where one cannot be made: then none is.
    """
    if not is_reason(opinion.reason):
        raise ConfigError(
            f"A reason has 1 to {MAX_REASON_CHARS} characters, on one line, and quotes no hash and no id.",
            next_step="Say in words why.",
        )
    grounds: dict[str, set[str]] = {}
    for held in report.held:
        grounds.setdefault(held.entry, set()).add(held.ground)
    for decided in report.decisions.decided:
        grounds.setdefault(decided.entry, set()).update(decided.grounds)
    found = standings(chain.counting, rules)
    made = []
    for entry in dict.fromkeys(opinion.entries):
        if not is_entry(entry):
            raise ConfigError(
                f"{entry[:80]!r} is not the id of an entry.", next_step="Copy it from index-builder review."
            )
        standing, seen = found.get(entry, Standing()), grounds.get(entry, set())
        if (
            opinion.verdict is Verdict.ACCEPT
            and not seen
            and standing.in_force is None
            and not standing.pending
        ):
            raise ConfigError(
                f"No gate held {entry} in that build, and nobody rejected it.",
                next_step="See index-builder review; nothing was recorded.",
            )
        if not standing.has(opinion.verdict, opinion.person.name, seen):
            made.append(_decision(opinion, entry, sorted(seen), report.id_key))
    return made


def _decision(opinion: Opinion, entry: str, grounds: "list[str]", id_key: str) -> Decision:
    return Decision(
        format=DECISION_FORMAT,
        number=0,
        previous="",
        id_key=id_key,
        entry=entry,
        verdict=opinion.verdict,
        grounds=grounds if opinion.verdict is Verdict.ACCEPT else [],
        by=opinion.person.name,
        reason=opinion.reason,
        at=opinion.at,
    )
