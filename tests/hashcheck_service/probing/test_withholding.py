"""Which hashes a tenant under suspicion gets no answer about, beside a plain reading."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_service.policy import Policy
from hashcheck_service.probing.edge_counter import DAY_SECONDS, NearMatch
from hashcheck_service.probing.withholding import Answered, Surroundings
from tests.small_lists import Listed, batch_of, small_list

TYPES = ("md5", "pdq", "phash")
LIST = small_list([Listed(name, "5a" * BUILT_IN_TYPES[name].bytes, "a" * 32) for name in TYPES])
# How far a value is from the middle of what is withheld: within twice the radius or not.
DISTANCES = (0, 10, 62, 63, 100)


def value(hash_type: str, distance: int, number: int = 0) -> bytes:
    bits = BUILT_IN_TYPES[hash_type].bits
    start = int.from_bytes(b"\x35" * (bits // 8))
    for place in range(min(distance, bits // 4)):
        start ^= 1 << ((place + number) % bits)
    return start.to_bytes(bits // 8)


hashes = st.tuples(st.sampled_from(TYPES), st.sampled_from(DISTANCES), st.integers(0, 2))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(hashes, min_size=1, max_size=5), min_size=1, max_size=8), st.lists(hashes, max_size=4)
)
def test_all_within_twice_the_radius_is_withheld_but_what_was_answered(items: Any, answered: Any) -> None:
    known = {(name, value(name, distance, number)) for name, distance, number in answered}
    middles = {"pdq": value("pdq", 0), "phash": value("phash", 0)}
    around = Surroundings({name: [middle] for name, middle in middles.items()})
    asked = batch_of(LIST, *[[(name, value(name, d, n).hex()) for name, d, n in item] for item in items])
    left = around.withhold(asked, Policy().radius_of, lambda *key: key in known)

    def withheld(name: str, its: bytes) -> bool:
        if name not in middles or (name, its) in known:
            return False
        apart = int.from_bytes(its) ^ int.from_bytes(middles[name])
        return apart.bit_count() <= 2 * BUILT_IN_TYPES[name].radius

    for place, item in enumerate(items):
        values = [(name, value(name, d, n)) for name, d, n in item]
        reasons = [str(reason) for reason in left.reasons.get(place, ())]
        assert reasons == ["probing_suspected"] * sum(withheld(*one) for one in values)
        found = [
            (part.hash_type.name, part.values[row].tobytes())
            for part in left.asked
            for row, owner in zip(part.rows or range(len(part.owners)), part.owners, strict=True)
            if owner == place
        ]
        assert sorted(found) == sorted(one for one in values if not withheld(*one))
    assert all(len(part.values) for part in left.asked)
    assert asked.reasons == {}  # what was asked stays as it was


def test_what_was_answered_is_remembered_for_a_day_and_within_bounds() -> None:
    answered = Answered()

    def near(number: int, tenant: str = "acme", at: int = 0) -> NearMatch:
        return NearMatch(at, tenant, "a", "pdq", number.to_bytes(32), edge=False)

    assert answered.add(near(1))
    assert not answered.add(near(1))
    assert answered.holds("acme", DAY_SECONDS - 1, "pdq", (1).to_bytes(32))
    assert not answered.holds("acme", DAY_SECONDS, "pdq", (1).to_bytes(32))
    assert not answered.holds("acme", 0, "phash", (1).to_bytes(32))
    answered.add(near(1, "other"))
    for number in range(2, 20_000):
        answered.add(near(number))
    assert not answered.holds("acme", 0, "pdq", (1).to_bytes(32))
    assert answered.holds("acme", 0, "pdq", (19_999).to_bytes(32))
    assert answered.holds("other", 0, "pdq", (1).to_bytes(32))
    assert answered.add(near(2, at=2 * DAY_SECONDS))
    assert answered.holds("acme", 2 * DAY_SECONDS, "pdq", (2).to_bytes(32))
