"""Counts what a tenant asks along the edge of an entry. Pure: it is told the time.

A yes or no tells most where it changes, at the radius. Whoever has one near picture flips bits until the answer
changes, and from there learns a bit of the listed hash with each question. So matches at the largest distances are
counted. Copies of a picture seldom lie there, and those that do lie apart from each other: docs/adr/0031-probing.md
has the figures behind each number.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

DAY_SECONDS: Final = 86_400
ALARM_POINTS: Final = 8
_ODD_POINTS: Final = 3
_CLOSE_POINTS: Final = 1
_CLOSE_BITS: Final = 8
_TELL_AGAIN_SECONDS: Final = 3_600
# Their bits are "above the median", so that the number of ones is even. An odd one proves nothing, for hashers differ;
# but every flip of a single bit makes one.
_EVEN_TYPES: Final = frozenset({"pdq", "phash"})
_MOST_VALUES: Final = 64  # of one entry and hash type
_MOST_RECORDS: Final = 4_096  # of one tenant


class NearMatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An item of a tenant that matched an entry by a perceptual hash.

    `at`: seconds since 1970. `value`: the hash that was asked; of several in one item the nearest. `edge`: its distance
    is among the largest that match. `told`: the log has told of it.
    """

    at: int
    tenant: str
    entry: str
    hash_type: str
    value: bytes
    edge: bool
    told: bool = False


class Suspicion(NamedTuple):
    """`questions`: how many distinct hashes at the edge within a day; `odd`: how many have an odd number of ones."""

    questions: int
    odd: int


def at_edge(distance: int, radius: int) -> bool:
    """Whether a match at `distance` bits lies at the edge: at radius 31 from 28 on, at radius 4 from 3 on."""
    return distance >= max(1, radius - max(1, radius // 10))


class _Question(NamedTuple):
    at: int
    points: int
    odd: bool
    number: int  # the value, to count bits by


@dataclass(slots=True)
class _Record:
    """What one tenant asked about one entry by one type of hash: the values, the first asked first."""

    questions: dict[bytes, _Question] = field(default_factory=dict)
    told_at: int = -_TELL_AGAIN_SECONDS

    @property
    def suspected(self) -> bool:
        return sum(question.points for question in self.questions.values()) >= ALARM_POINTS

    def forget(self, now: int) -> None:
        """Forget what is older than a day."""
        for value, question in list(self.questions.items()):
            if question.at > now - DAY_SECONDS:
                break
            del self.questions[value]

    def add(self, match: NearMatch) -> bool:
        """Whether that changed anything: a hash that was asked before tells nothing new."""
        if match.value in self.questions or len(self.questions) >= _MOST_VALUES:
            return False
        number = int.from_bytes(match.value)
        points, odd = 0, False
        if match.edge:
            odd = match.hash_type in _EVEN_TYPES and number.bit_count() % 2 == 1
            close = any(
                (number ^ other.number).bit_count() <= _CLOSE_BITS for other in self.questions.values()
            )
            points = 1 + _ODD_POINTS * odd + _CLOSE_POINTS * close
        self.questions[match.value] = _Question(match.at, points, odd, number)
        return True


class EdgeCounter:
    """What the tenants of one machine asked at the edge within a day.

    It is bounded: a tenant that asks at the edge of thousands of entries pushes out what it asked longest ago, and
    nothing of another tenant.
    """

    def __init__(self) -> None:
        self._records: dict[str, OrderedDict[tuple[str, str], _Record]] = {}
        self._versions: dict[str, int] = {}

    def version(self, tenant: str) -> int:
        """Changes whenever `suspected` of this tenant gains a value."""
        return self._versions.get(tenant, 0)

    def note(self, match: NearMatch) -> bool:
        """Whether it was a new question that counts.

        What does not lie at the edge is only kept for an entry that is under suspicion.
        """
        records = self._records.setdefault(match.tenant, OrderedDict())
        key = match.entry, match.hash_type
        record = records.get(key)
        if record is None:
            if not match.edge:
                return False
            record = records[key] = _Record()
            if len(records) > _MOST_RECORDS:
                records.popitem(last=False)
        records.move_to_end(key)
        record.forget(match.at)
        if match.told:
            record.told_at = max(record.told_at, match.at)
        if not (match.edge or record.suspected) or not record.add(match):
            return False
        if record.suspected:
            self._versions[match.tenant] = self.version(match.tenant) + 1
        return True

    def suspicion(self, match: NearMatch) -> Suspicion | None:
        """What is to be told after `match` was noted; None where there is nothing, or it was told within the hour."""
        record = self._records[match.tenant][match.entry, match.hash_type]
        if not record.suspected or match.at < record.told_at + _TELL_AGAIN_SECONDS:
            return None
        record.told_at = match.at
        edge = [question for question in record.questions.values() if question.points]
        return Suspicion(len(edge), sum(question.odd for question in edge))

    def values_near(self, match: NearMatch) -> Sequence[bytes]:
        """The tenant's own near matches of the entry of `match`, where it is suspected to probe that."""
        record = self._records[match.tenant].get((match.entry, match.hash_type))
        return list(record.questions) if record is not None and record.suspected else ()

    def suspected(self, tenant: str, now: int) -> dict[str, list[bytes]]:
        """By hash type, the tenant's own near matches of entries that it is suspected to probe."""
        found: dict[str, list[bytes]] = {}
        for (_, hash_type), record in self._records.get(tenant, {}).items():
            record.forget(now)
            if record.suspected:
                found.setdefault(hash_type, []).extend(record.questions)
        return found
