"""A digest that matches, and a stronger one of the same file that the entry does not have."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_service.checking.verdicts import check
from hashcheck_service.policy import Action, Policy
from tests.small_lists import Listed, batch_of, small_list
from tests.support import Server, Site, serving

DIGESTS = ("md5", "sha1", "sha256")
TYPES = (*DIGESTS, "pdq")
ENTRIES = {"a": "baseline", "b": "baseline", "c": "national"}
OTHER = {"md5": "ab" * 16, "sha1": "ab" * 20, "sha256": "ab" * 32}


def value(hash_type: str, number: int) -> str:
    return (
        f"{number:02x}{'59' * (BUILT_IN_TYPES[hash_type].bytes - 2)}{number:02x}"
        if hash_type != "pdq"
        else (f"{number * 17:02x}" * 32)
    )


rows = st.tuples(st.sampled_from(sorted(ENTRIES)), st.sampled_from(TYPES), st.integers(1, 3))
items = st.lists(st.tuples(st.sampled_from(TYPES), st.integers(1, 4)), min_size=1, max_size=6)
actions = st.dictionaries(st.sampled_from(["baseline", "national"]), st.sampled_from(list(Action)))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(rows, max_size=10), st.lists(rows, max_size=5), st.lists(items, min_size=1, max_size=4), actions
)
def test_answers_are_those_of_a_plain_reading(
    listed: Any, added: Any, asked: Any, match_actions: Mapping[Any, Action]
) -> None:
    policy = Policy.model_validate({"categories": ["baseline", "national"], "match_actions": match_actions})
    # A list has some hash of every type; this one nobody asks about.
    other = [Listed(name, value(name, 9), "f" * 32) for name in TYPES]
    snapshot = small_list([*other, *map(as_listed, listed)], list(map(as_listed, added)))
    batch = batch_of(snapshot, *[[(name, value(name, n)) for name, n in item] for item in asked])
    results = check(snapshot, policy, batch).results
    for place, item in enumerate(asked):
        matched, conflicts, action = plainly([*listed, *added], item, match_actions)
        result = results.get(place)
        assert (result is not None) == bool(matched)
        if result is not None:
            assert {match.entry.id for match in result.matches} == {entry * 32 for entry in matched}
            assert (result.verdict, result.action) == ("match", action)
            assert list(result.reasons) == (["digest_conflict"] if conflicts else [])


def as_listed(row: tuple[str, str, int]) -> Listed:
    entry, hash_type, number = row
    return Listed(hash_type, value(hash_type, number), entry * 32, ENTRIES[entry])


def plainly(
    listed: Sequence[tuple[str, str, int]],
    item: Sequence[tuple[str, int]],
    match_actions: Mapping[Any, Action],
) -> tuple[set[str], set[str], Action | None]:
    """The entries that match, those that are contradicted, and the action."""
    brought = Counter(name for name, _ in item)
    matched: set[str] = set()
    conflicts: set[str] = set()
    severest = None
    for entry, category in ENTRIES.items():
        has = {(name, number) for its, name, number in listed if its == entry}
        types = {name for name, number in item if (name, number) in has}
        if not types:
            continue
        matched.add(entry)
        action = match_actions.get(category, Action.BLOCK)
        if "pdq" not in types:
            best = max(types, key=DIGESTS.index)
            for stronger in DIGESTS[DIGESTS.index(best) + 1 :]:
                if any(name == stronger for name, _ in has) and brought[stronger] >= brought[best]:
                    conflicts.add(entry)
        if entry in conflicts and action is Action.BLOCK:
            action = Action.REVIEW
        order = list(Action)
        severest = action if severest is None else max(severest, action, key=order.index)
    return matched, conflicts, severest


Photograph = dict[str, str]


@pytest.fixture
def coffee(listed: dict[str, Photograph]) -> Photograph:
    return listed["coffee.png"]


@pytest.mark.parametrize(
    ("given", "conflict"),
    [
        ({"md5": True}, False),
        ({"md5": True, "sha256": False}, True),
        ({"md5": True, "sha1": False}, True),
        ({"md5": True, "sha1": True, "sha256": False}, True),
        ({"md5": True, "sha1": False, "sha256": True}, False),  # the strongest one matches
        ({"md5": False, "sha256": True}, False),
        ({"md5": True, "sha256": False, "pdq": True}, False),  # it is the same picture
    ],
    ids=str,
)
def test_a_stronger_digest_that_contradicts_asks_for_a_person(
    server: Server, coffee: Photograph, given: dict[str, bool], conflict: bool
) -> None:
    hashes = [{"type": name, "value": coffee[name] if same else OTHER[name]} for name, same in given.items()]
    result = server.check(*hashes)
    assert result["verdict"] == "match"
    assert result["action"] == ("review" if conflict else "block")
    assert result["reasons"] == (["digest_conflict"] if conflict else [])


def test_another_entry_that_the_stronger_digest_matches_is_no_conflict(
    server: Server, coffee: Photograph, listed: dict[str, Photograph]
) -> None:
    both = server.check(
        {"type": "md5", "value": coffee["md5"]},
        {"type": "sha256", "value": listed["astronaut.png"]["sha256"]},
    )
    assert len({match["entry"] for match in both["matches"]}) == 2
    assert (both["verdict"], both["action"], both["reasons"]) == ("match", "block", ["digest_conflict"])


def test_an_item_of_several_files_need_not_bring_every_digest_of_each(
    server: Server, coffee: Photograph
) -> None:
    result = server.check(
        {"type": "md5", "value": coffee["md5"]},
        {"type": "md5", "value": OTHER["md5"]},
        {"type": "sha256", "value": OTHER["sha256"]},
    )
    assert (result["action"], result["reasons"]) == ("block", [])


def test_an_entry_without_a_stronger_digest_is_matched_as_ever(new_site: Site, coffee: Photograph) -> None:
    rows = [f"coffee,md5,{coffee['md5']},,A", f"other,sha256,{'cd' * 32},,A"]
    new_site.feed.write_text("\n".join(["id,type,value,quality,category", *rows]))
    new_site.publish(new_site.build())
    asked = {"type": "md5", "value": coffee["md5"]}, {"type": "sha256", "value": OTHER["sha256"]}
    with serving(new_site) as server:
        assert server.check(*asked)["action"] == "block"
        assert server.client.post("/v1/check/md5", content=coffee["md5"]).text == "true"
