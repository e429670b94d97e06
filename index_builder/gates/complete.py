"""complete: enough of each feed's rows can be used, and it was read to its end.

Rows that were set aside (of a type or category that the list does not take) speak neither for nor against a feed.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from index_builder.config.gates import CompleteGate
from index_builder.gates.outcome import Outcome


class FeedRows(NamedTuple):
    """`faulty`: rejects that speak against the feed, by reason."""

    name: str
    rows: int
    faulty: Mapping[str, int]
    truncated: bool


def check(gate: CompleteGate, feeds: Iterable[FeedRows]) -> Outcome:
    outcome = Outcome("Every feed was looked at.")
    for feed in feeds:
        total = sum(feed.faulty.values())
        if feed.truncated:
            outcome.failures.append(f"Feed {feed.name} is cut short.")
        if total > gate.max_rejected_rows and total > gate.max_rejected_share * feed.rows:
            worst = max(feed.faulty, key=lambda reason: feed.faulty[reason])
            outcome.failures.append(
                f"Of feed {feed.name} {total:,} of {feed.rows:,} rows are rejected, mostly {worst}."
            )
    return outcome
