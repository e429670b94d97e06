"""What all decisions about an entry come to. Pure.

Decisions that agree and follow each other add up: when enough different people have made the same, it is in force,
and stays so until enough have decided otherwise. A contrary one ends what was pending, not what is in force. An
acceptance covers what each person saw the entry held for: a ground that too few of them saw holds it still.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from index_builder.config.review import ReviewConfig
from index_builder.review.record import Decision, Verdict


@dataclass(slots=True)
class Agreement:
    """Decisions about one entry that agree, one after another. `votes`: the grounds that each person has seen."""

    verdict: Verdict
    votes: dict[str, set[str]] = field(default_factory=dict)
    reason: str = ""
    number: int = 0

    @property
    def people(self) -> list[str]:
        return list(self.votes)

    def take(self, decision: Decision) -> None:
        self.votes.setdefault(decision.by, set()).update(decision.grounds)
        self.reason, self.number = decision.reason, decision.number

    def seen(self) -> set[str]:
        """What anyone has seen it held for."""
        return set().union(*self.votes.values())

    def covered(self, rules: ReviewConfig) -> set[str]:
        """The grounds that enough people have seen and accepted."""
        return {ground for ground in self.seen() if self._voters(ground) >= rules.needed(gate_of(ground))}

    def in_force(self, rules: ReviewConfig) -> bool:
        if len(self.votes) < rules.people:
            return False
        return self.verdict is Verdict.REJECT or not self.seen() or bool(self.covered(rules))

    def lacking(self, rules: ReviewConfig) -> int:
        """How many more people must make this decision until all of it is in force."""
        lacks = [rules.people - len(self.votes)]
        if self.verdict is Verdict.ACCEPT:
            lacks += [rules.needed(gate_of(ground)) - self._voters(ground) for ground in self.seen()]
        return max(0, *lacks)

    def _voters(self, ground: str) -> int:
        return sum(ground in seen for seen in self.votes.values())


@dataclass(slots=True)
class Standing:
    """Where one entry stands. What is in force may itself lack people for some ground: then it is pending too."""

    in_force: Agreement | None = None
    pending: Agreement | None = None
    _latest: Agreement | None = None

    def take(self, decision: Decision, rules: ReviewConfig) -> None:
        latest = self._latest
        if latest is None or latest.verdict is not decision.verdict:
            agrees = self.in_force is not None and self.in_force.verdict is decision.verdict
            latest = self.in_force if agrees else Agreement(decision.verdict)
        assert latest is not None
        latest.take(decision)
        self._latest = latest
        if latest.in_force(rules):
            self.in_force = latest
        self.pending = latest if latest.lacking(rules) else None

    @property
    def rejected(self) -> bool:
        return self.in_force is not None and self.in_force.verdict is Verdict.REJECT

    def has(self, verdict: Verdict, by: str, grounds: set[str]) -> bool:
        """Whether a decision by that person, who has seen `grounds`, would say nothing new."""
        latest = self._latest
        if latest is None or latest.verdict is not verdict or by not in latest.votes:
            return False
        return verdict is Verdict.REJECT or grounds <= latest.votes[by]

    def accepted(self, rules: ReviewConfig) -> set[str]:
        """The grounds that the entry is listed in spite of."""
        if self.in_force is None or self.in_force.verdict is Verdict.REJECT:
            return set()
        return self.in_force.covered(rules)


def standings(decisions: Iterable[Decision], rules: ReviewConfig) -> dict[str, Standing]:
    """Where every entry stands that someone decided about."""
    found: dict[str, Standing] = {}
    for decision in decisions:
        found.setdefault(decision.entry, Standing()).take(decision, rules)
    return found


def gate_of(ground: str) -> str:
    return ground.partition(":")[0]
