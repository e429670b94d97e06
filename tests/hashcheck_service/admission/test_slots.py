"""Slots: no tenant can take them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcheck_service.admission.slots import Slots
from hashcheck_service.problems import Problem


def take_all(slots: Slots, tenant: str) -> int:
    taken = 0
    while True:
        try:
            slots.take(tenant)
        except Problem:
            return taken
        taken += 1


def test_one_tenant_gets_half_and_the_next_still_finds_some() -> None:
    slots = Slots(100, "checks")
    assert take_all(slots, "a") == 50
    assert take_all(slots, "b") == 25
    assert take_all(slots, "c") >= 12
    with pytest.raises(Problem) as full:
        slots.take("a")
    assert (full.value.status, full.value.code) == (503, "overloaded")


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_of_few_slots_one_can_always_be_had_where_none_is_held(limit: int) -> None:
    slots = Slots(limit, "streams")
    with slots.held("a"):
        pass
    with slots.held("b"):
        pass


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.001, 30)), max_size=60))
def test_what_was_given_back_is_free_again_to_the_last_rest(wishes: list[tuple[str, float]]) -> None:
    slots, held = Slots(100.0, "seconds"), []
    for tenant, amount in wishes:
        try:
            slots.take(tenant, amount)
        except Problem:
            continue
        held.append((tenant, amount))
    assert sum(amount for _, amount in held) <= 100.0 + 1e-6
    for tenant, amount in held:
        slots.give(tenant, amount)
    slots.take("a", 50.0)
    slots.take("b", 50.0)
