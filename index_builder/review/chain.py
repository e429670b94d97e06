"""All decisions, in the order they were made, each bound to the one before. Pure: bytes in, a chain out.

Nothing that is done to the bytes makes it accept what the people did not write (DecisionError):
- a line that is changed, or signed by a key that is not of the person it names;
- a line removed, moved, put between or written twice: each names the digest of the one before;
- a last line that is cut.
Lines taken away at the end leave a chain that is sound; `must_continue` finds them, given the last decision that a
build has applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hashcheck_core.errors import DecisionError
from hashcheck_core.snapshot.manifest import LastDecision
from hashcheck_core.snapshot.signing import TrustedKeys
from index_builder.review.record import Decision, SignedDecision, damaged, read_line


class PersonKey(NamedTuple):
    """`until`: the number of the last decision with it that counts; None while it is in use."""

    key: Ed25519PublicKey
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """Verified decisions; that of number n is `links[n - 1]`. Those of the numbers in `void` do not count: the key's
    time was over."""

    links: tuple[SignedDecision, ...] = ()
    void: frozenset[int] = frozenset()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(link.decision for link in self.links)

    @property
    def counting(self) -> tuple[Decision, ...]:
        return tuple(one for one in self.decisions if one.number not in self.void)

    @property
    def last(self) -> LastDecision:
        return LastDecision(len(self.links), self.links[-1].sha256) if self.links else LastDecision()

    def encode(self) -> bytes:
        return b"".join(link.line + b"\n" for link in self.links)

    def must_continue(self, applied: LastDecision, by: str) -> None:
        """Raises DecisionError unless the decision that `by` applied last is in the chain, at its place."""
        number = applied.number
        if number and (number > len(self.links) or self.links[number - 1].sha256 != applied.sha256):
            found = f"ends with {len(self.links)}" if number > len(self.links) else "has another"
            raise DecisionError(
                f"The decision file {found}, and {by} was made with decision {number}.",
                next_step="Put back the newest copy of the file that is whole. If it is lost for good, decide anew and "
                "build with --new-decisions.",
            )

    def must_be_of(self, id_key: str) -> None:
        """Raises DecisionError where the decisions name entries by ids that another key made."""
        if self.links and self.links[0].decision.id_key != id_key:
            raise DecisionError(
                "The decisions name entries by ids that were made with another id key: none of them would hold.",
                next_step="Set entry_id_key to the .ids file they were made with. If that is lost for good, begin a "
                "new decision file, decide anew, and build with --new-decisions.",
            )


def read_chain(data: bytes, people: Mapping[str, Sequence[PersonKey]]) -> Chain:
    """Verify a decision file; raises DecisionError. `people`: all keys of all who ever decided, by name."""
    *lines, rest = data.split(b"\n")
    if rest:
        raise damaged(f"Decision {len(lines) + 1} is cut short.")
    links: list[SignedDecision] = []
    void: set[int] = set()
    for number, line in enumerate(lines, 1):
        link = read_line(line, number)
        decision = link.decision
        if decision.number != number or decision.previous != (links[-1].sha256 if links else ""):
            raise damaged(
                f"Decision {number} does not follow the one before it: something is missing or moved."
            )
        keys = people.get(decision.by)
        if keys is None:
            raise DecisionError(
                f"Decision {number} is by {decision.by!r}, who is not in [review].",
                next_step="Put them back with their key, with `until` if they may decide no longer; if nobody here is "
                "called so, find out who wrote it.",
            )
        signers = [one for one in keys if TrustedKeys.of([one.key]).signers(link.payload, [link.signature])]
        if not signers:
            raise damaged(f"Decision {number} is not signed by {decision.by}'s key.")
        if links and decision.id_key != links[0].decision.id_key:
            raise damaged(f"Decision {number} is about the entry ids of another key.")
        links.append(link)
        if all(one.until is not None and number > one.until for one in signers):
            void.add(number)
    return Chain(tuple(links), frozenset(void))
