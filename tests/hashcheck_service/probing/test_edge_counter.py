"""What is counted of near matches, beside a plain count."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_service.probing.edge_counter import DAY_SECONDS, EdgeCounter, NearMatch, Suspicion, at_edge

HOUR = 3600
BASE = int("5a" * 32, 16)


def match(value: int, at: int = 0, *, entry: str = "a", tenant: str = "acme", edge: bool = True) -> NearMatch:
    return NearMatch(at, tenant, entry, "pdq", value.to_bytes(32), edge)


def flipped(*bits: int) -> int:
    value = BASE
    for bit in bits:
        value ^= 1 << bit
    return value


def far_apart(count: int) -> list[int]:
    """Values with an even number of ones, 20 bits apart."""
    return [flipped(*range(10 * place, 10 * place + 10)) for place in range(count)]


def told(counter: EdgeCounter, matches: Sequence[NearMatch]) -> list[Suspicion]:
    suspicions = [counter.suspicion(one) for one in matches if counter.note(one)]
    return [suspicion for suspicion in suspicions if suspicion is not None]


def test_the_edge_of_pdq_is_28_to_31_bits() -> None:
    assert [bits for bits in range(32) if at_edge(bits, 31)] == [28, 29, 30, 31]
    assert [bits for bits in range(5) if at_edge(bits, 4)] == [3, 4]
    assert [bits for bits in range(2) if at_edge(bits, 1)] == [1]
    assert not at_edge(0, 0)


def test_eight_unlike_hashes_at_the_edge_raise_an_alarm_and_seven_do_not() -> None:
    eight = [match(value) for value in far_apart(8)]
    assert told(EdgeCounter(), eight[:7]) == []
    assert told(EdgeCounter(), eight) == [Suspicion(8, 0)]


def test_hashes_a_few_bits_apart_raise_it_sooner_and_single_flips_soonest() -> None:
    pairs = [match(flipped(2 * place, 2 * place + 1)) for place in range(8)]
    assert told(EdgeCounter(), pairs[:4]) == []
    assert told(EdgeCounter(), pairs[:5]) == [Suspicion(5, 0)]
    singles = [match(flipped(place)) for place in range(8)]
    assert told(EdgeCounter(), singles[:2]) == [Suspicion(2, 2)]


def test_what_is_asked_again_or_lies_further_in_does_not_count() -> None:
    counter = EdgeCounter()
    inside = [match(value, edge=False) for value in far_apart(20)]
    again = [match(far_apart(1)[0], at) for at in range(20)]
    assert told(counter, [*inside, *again]) == []


def test_each_entry_and_each_tenant_counts_for_itself() -> None:
    counter = EdgeCounter()
    values = far_apart(7)
    assert told(counter, [match(v, entry=entry) for v in values for entry in "ab"]) == []
    assert told(counter, [match(v, tenant=name) for v in values for name in ("b", "c")]) == []


def test_an_alarm_is_told_again_after_an_hour_and_not_before() -> None:
    values = far_apart(20)
    counter = EdgeCounter()
    assert len(told(counter, [match(value, place) for place, value in enumerate(values[:12])])) == 1
    assert told(counter, [match(values[12], HOUR)]) == []
    assert told(counter, [match(values[13], HOUR + 10)]) == [Suspicion(14, 0)]


def test_an_alarm_that_another_worker_told_is_not_told_again() -> None:
    values = far_apart(9)
    counter = EdgeCounter()
    for value in values[:7]:
        counter.note(match(value))
    counter.note(NearMatch(0, "acme", "a", "pdq", values[7].to_bytes(32), True, told=True))
    assert told(counter, [match(values[8], 5)]) == []


def test_a_tenant_that_asks_at_very_many_edges_forgets_its_own_oldest_and_nobody_elses() -> None:
    counter = EdgeCounter()
    values = far_apart(8)
    for name in ("acme", "other"):
        for value in values[:7]:
            counter.note(match(value, tenant=name))
    for place in range(5000):
        counter.note(match(values[0], entry=str(place)))
    assert told(counter, [match(values[7])]) == []
    assert told(counter, [match(values[7], tenant="other")]) == [Suspicion(8, 0)]


steps = st.lists(
    st.tuples(
        st.integers(0, DAY_SECONDS // 2),  # after the one before
        st.sampled_from(["a", "b"]),
        st.lists(st.sampled_from([0, 1, 2, 3, 40, 41, 80, 81, 120, 160, 200]), max_size=4),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_who_is_suspected_is_what_a_plain_count_says(taken: Any) -> None:
    counter = EdgeCounter()
    now = 0
    noted: list[tuple[int, str, int, int]] = []  # when, entry, value, points
    for wait, entry, bits, edge in taken:
        now += wait
        value = flipped(*bits)
        noted = [one for one in noted if one[0] > now - DAY_SECONDS or one[1] != entry]
        before = [one for one in noted if one[1] == entry]
        if value not in [one[2] for one in before] and (edge or sum(one[3] for one in before) >= 8):
            points = 0
            if edge:
                points = 1 + 3 * (value.bit_count() % 2)
                points += any((value ^ one[2]).bit_count() <= 8 for one in before)
            noted.append((now, entry, value, points))
        counter.note(match(value, now, entry=entry, edge=edge))
        alive = [one for one in noted if one[0] > now - DAY_SECONDS]
        suspected = [
            one[2]
            for name in "ab"
            if sum(one[3] for one in alive if one[1] == name) >= 8
            for one in alive
            if one[1] == name
        ]
        found = counter.suspected("acme", now).get("pdq", [])
        assert sorted(int.from_bytes(value) for value in found) == sorted(suspected)
