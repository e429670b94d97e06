"""drift: a feed has not grown, shrunk, changed its mix of categories or aged beyond its limits.

It is compared with the same feed in the snapshot in force. Where nothing is in force there is nothing to compare with.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from index_builder.config.gates import DriftGate
from index_builder.gates.outcome import Outcome


class FeedSize(NamedTuple):
    """`expected_new`: the config says that the feed has not been in a snapshot before."""

    name: str
    categories: Mapping[str, int]
    delivered_at: datetime
    expected_new: bool = False


def check(
    gate: DriftGate,
    feeds: Iterable[FeedSize],
    before: "Mapping[str, Mapping[str, int]] | None",
    now: datetime,
) -> Outcome:
    """`before`: accepted rows by category of each feed in the snapshot in force, None where there is none."""
    outcome = Outcome(
        "Compared with the snapshot in force." if before is not None else "No snapshot is in force."
    )
    for feed in feeds:
        if gate.max_age is not None and now - feed.delivered_at > gate.max_age:
            outcome.failures.append(f"Feed {feed.name} is {(now - feed.delivered_at).days} days old.")
        if before is None:
            continue
        old = before.get(feed.name)
        if old is None:
            if not feed.expected_new and sum(feed.categories.values()) >= gate.min_rows:
                outcome.failures.append(f"Feed {feed.name} is new, and the config does not say `new = true`.")
        else:
            outcome.failures += _changes(gate, feed.name, old, feed.categories)
    return outcome


def _changes(gate: DriftGate, name: str, old: Mapping[str, int], new: Mapping[str, int]) -> "list[str]":
    was, now = sum(old.values()), sum(new.values())
    found = []
    if now - was >= max(gate.min_rows, 1) and now - was > gate.max_growth * was:
        found.append(f"Feed {name} grew from {was:,} to {now:,} rows.")
    if was - now >= max(gate.min_rows, 1) and was - now > gate.max_shrink * was:
        found.append(f"Feed {name} shrank from {was:,} to {now:,} rows.")
    for category in sorted({*old, *new}):
        before, after = old.get(category, 0), new.get(category, 0)
        moved = abs(after / max(now, 1) - before / max(was, 1))
        if moved > gate.max_mix_change and abs(after - before) >= max(gate.min_rows, 1):
            found.append(
                f"Of feed {name} {category} is now {after / max(now, 1):.0%}, and was {before / max(was, 1):.0%}."
            )
    return found
