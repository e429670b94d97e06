"""Attackers, honest tenants and several workers, against the guard of real checks."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest
from structlog.testing import capture_logs

from benchmarks.photo_edits import edited, photographs
from benchmarks.probing import ENTRY, POLICIES, RADIUS, Attacker, Watched, information, watched
from benchmarks.probing_attacks import ATTACKS, BITS, Attack, listed_hash, near_hash, pairs_outside
from hashcheck_core.images.hashing import hash_picture
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.verdicts import Checked, Result
from hashcheck_service.policy import Action, Policy, Probing, Verdict
from tests.small_lists import Listed, batch_of, small_list
from tests.support import eventually

ALARM, ENFORCE = POLICIES[Probing.ALARM], POLICIES[Probing.ENFORCE]
MD5 = "ab" * 16


@pytest.fixture
def one() -> Iterator[Watched]:
    with watched() as guarded:
        yield guarded


def listing(value: int) -> Snapshot:
    return small_list([Listed("pdq", text(value), ENTRY), Listed("md5", MD5, ENTRY)])


def text(value: int) -> str:
    return f"{value:064x}"


def asked(
    guarded: Watched, snapshot: Snapshot, policy: Policy, *values: int, tenant: str = "acme"
) -> list[str]:
    """The verdicts on items of one hash each, in one batch."""
    batch = batch_of(snapshot, *[[("pdq", text(value))] for value in values])
    return verdicts(guarded.guard.check(tenant, snapshot, policy, batch))


def verdicts(checked: Checked) -> list[str]:
    plain = Result("", Verdict.NO_MATCH, Action.ALLOW, [], [], more_matches=False)
    return [str(checked.results.get(place, plain).verdict) for place in range(len(checked.batch.refs))]


def flips(value: int) -> list[int]:
    return [value ^ 1 << bit for bit in range(BITS)]


def edge_hashes(rng: random.Random, listed: int, count: int) -> list[int]:
    """At the edge, an even number of ones, and far from each other."""
    return [near_hash(rng, listed, 30) for _ in range(count)]


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack is not pairs_outside])
def test_every_attack_raises_an_alarm_before_thirty_questions(one: Watched, attack: Attack) -> None:
    """In the middle; bad luck of the counter's takes some more."""
    alarms = [Attacker(one, ALARM, attack, seed, after=0).at_alarm for seed in range(7)]
    questions = [alarm[0] for alarm in alarms if alarm is not None]
    assert len(questions) == len(alarms)
    assert median(questions) < 30
    assert max(questions) < 60


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_has_learnt_much_at_the_alarm_nor_more_after_it(one: Watched, attack: Attack) -> None:
    for seed in range(2):
        attacker = Attacker(one, ENFORCE, attack, seed, after=100)
        assert attacker.at_alarm is not None
        questions, matches, known = attacker.at_alarm
        assert information(questions, matches) < BITS / 4
        assert len(attacker.known) - known <= 4  # what follows from answers it had before
        assert attacker.wrong == 0


@pytest.mark.parametrize("seed", range(3))
def test_what_is_answered_to_a_suspect_does_not_depend_on_the_listed_hash(one: Watched, seed: int) -> None:
    """Two lists that gave the same answers until the alarm give the same answers ever after."""
    rng = random.Random(seed)
    listed = listed_hash(rng)
    inside = near_hash(rng, listed, 30)
    before = [inside, *(inside ^ 1 << bit for bit in rng.sample(range(BITS), 40))]
    # Two bits in which all that was asked is the same, once right and once wrong: the distances stay what they were.
    same = [bit for bit in range(BITS) if len({value >> bit & 1 for value in before}) == 1]
    right = next(bit for bit in same if not (listed ^ inside) >> bit & 1)
    wrong = next(bit for bit in same if (listed ^ inside) >> bit & 1)
    other = listed ^ 1 << right ^ 1 << wrong
    after = [
        *flips(inside),
        *(near_hash(rng, listed, distance) for distance in range(2, 60, 2)),
        *(inside ^ sum(1 << bit for bit in rng.sample(range(BITS), size)) for size in range(1, 120)),
        *(listed_hash(rng) for _ in range(20)),
        *before,
    ]
    rng.shuffle(after)
    answers = []
    for name, value in (("one", listed), ("other", other)):
        snapshot = listing(value)
        answers.append(
            [asked(one, snapshot, ENFORCE, question, tenant=name) for question in (*before, *after)]
        )
        assert one.alarmed(name)
    assert answers[0] == answers[1]
    assert any(
        ((value ^ listed).bit_count() <= RADIUS) != ((value ^ other).bit_count() <= RADIUS) for value in after
    )


def test_an_attack_in_one_batch_is_answered_as_far_as_one_by_one(one: Watched) -> None:
    rng = random.Random(3)
    listed = listed_hash(rng)
    inside = near_hash(rng, listed, 30)
    questions = [inside, *flips(inside)]
    answers = asked(one, listing(listed), ENFORCE, *questions)
    assert one.alarmed("acme")
    assert "no_match" not in answers  # what lies so near is withheld once the batch has shown what it is
    assert 2 <= answers.count("match") <= 8
    assert answers.count("unknown") == len(questions) - answers.count("match")
    assert asked(one, listing(listed), ENFORCE, *questions) == answers


def test_what_was_answered_stays_and_an_exact_match_stays(one: Watched) -> None:
    rng = random.Random(4)
    listed = listed_hash(rng)
    snapshot = listing(listed)
    first, probes, last = near_hash(rng, listed, 6), edge_hashes(rng, listed, 8), near_hash(rng, listed, 6)
    assert asked(one, snapshot, ENFORCE, first) == ["match"]
    assert asked(one, snapshot, ENFORCE, *probes) == ["match"] * 8
    assert asked(one, snapshot, ENFORCE, first, *probes) == ["match"] * 9
    assert asked(one, snapshot, ENFORCE, last) == ["unknown"]
    assert asked(one, snapshot, ENFORCE, last, tenant="another") == ["match"]
    batch = batch_of(snapshot, [("md5", MD5), ("pdq", text(last))], [("pdq", text(last))])
    both, alone = one.guard.check("acme", snapshot, ENFORCE, batch).results.values()
    assert (both.verdict, both.action, both.reasons) == ("match", "block", ["probing_suspected"])
    assert [match.hash_type for match in both.matches] == ["md5"]
    assert (alone.verdict, alone.action, alone.reasons) == ("unknown", "review", ["probing_suspected"])


def test_without_enforcement_all_is_answered(one: Watched) -> None:
    rng = random.Random(5)
    listed = listed_hash(rng)
    inside = near_hash(rng, listed, 30)
    answers = asked(one, listing(listed), ALARM, *flips(inside))
    assert one.alarmed("acme")
    wanted = ["match" if (value ^ listed).bit_count() <= RADIUS else "no_match" for value in flips(inside)]
    assert answers == wanted


def test_one_item_with_many_hashes_is_one_question(one: Watched) -> None:
    rng = random.Random(6)
    listed = listed_hash(rng)
    snapshot = listing(listed)
    items = [[("pdq", text(value)) for value in edge_hashes(rng, listed, 16)] for _ in range(8)]
    one.guard.check("acme", snapshot, ALARM, batch_of(snapshot, *items[:7]))
    assert not one.alarmed("acme")
    one.guard.check("acme", snapshot, ALARM, batch_of(snapshot, items[7]))
    assert one.alarmed("acme")


def test_fifty_copies_of_a_listed_photograph_raise_no_alarm(one: Watched) -> None:
    """`scripts/bench probing` says of how many photographs that holds."""
    _, photo = next(photographs())
    listed = int.from_bytes(hash_picture(photo)[0].hash.value)
    copies = [int.from_bytes(hashes[0].hash.value) for _, hashes in edited(photo, 90, 1)]
    answers = asked(one, listing(listed), ALARM, *copies)
    assert answers.count("match") >= 50
    assert not one.alarmed("acme")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Sequence[Watched]]:
    """Two workers of one machine."""
    with ExitStack() as stack, capture_logs():
        yield [stack.enter_context(watched(tmp_path)) for _ in range(2)]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


@pytest.mark.parametrize("policy", [ALARM, ENFORCE], ids=["alarm", "enforce"])
def test_an_attack_over_two_workers_is_noticed_as_soon(
    workers: Sequence[Watched], tmp_path: Path, policy: Policy
) -> None:
    rng = random.Random(8)
    listed = listed_hash(rng)
    snapshot = listing(listed)
    inside = near_hash(rng, listed, 30)
    for number, question in enumerate([inside, *flips(inside)]):
        before = size(tmp_path)
        [answer] = asked(workers[number % 2], snapshot, policy, question)
        if answer == "match":  # as a service does: it is on record before it is answered
            eventually(lambda before=before: size(tmp_path) > before, "the other worker can know")  # type: ignore[misc]
        if any(worker.alarmed("acme") for worker in workers):
            break
    assert number < 30
    for worker in workers:
        later = asked(worker, snapshot, policy, near_hash(rng, listed, 4))
        assert later == ["unknown" if policy is ENFORCE else "match"]
    assert sum(worker.alarmed("acme") for worker in workers) == 1


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    rng = random.Random(9)
    listed = listed_hash(rng)
    snapshot = listing(listed)
    *probes, last = edge_hashes(rng, listed, 8)
    for probe in probes:
        with watched(tmp_path) as one:
            asked(one, snapshot, ALARM, probe)
            assert not one.alarmed("acme")
    with watched(tmp_path) as one:
        asked(one, snapshot, ALARM, last)
        assert one.alarmed("acme")


def test_threads_that_ask_at_once_learn_little_more_than_one(one: Watched) -> None:
    rng = random.Random(10)
    listed = listed_hash(rng)
    snapshot = listing(listed)
    inside = near_hash(rng, listed, 30)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda value: asked(one, snapshot, ENFORCE, value)[0], flips(inside)))
    assert one.alarmed("acme")
    assert answers.count("unknown") > BITS // 2
    for value, answer in zip(flips(inside), answers, strict=True):
        matches = (value ^ listed).bit_count() <= RADIUS
        assert answer in ("unknown", "match" if matches else "no_match")


def test_the_log_tells_who_and_about_which_entry_and_no_hash(tmp_path: Path) -> None:
    rng = random.Random(11)
    listed = listed_hash(rng)
    with capture_logs() as logs, watched(tmp_path) as one:
        asked(one, listing(listed), ALARM, *flips(near_hash(rng, listed, 30)))
    [line] = [line for line in logs if line["event"] == "probing_suspected"]
    assert (line["log_level"], line["tenant"], line["entry"], line["hash_type"]) == (
        *("warning", "acme", ENTRY, "pdq"),
    )
    assert set(line) == {
        *("event", "log_level", "tenant", "entry", "hash_type", "questions", "odd", "enforced"),
    }


def test_a_batch_at_the_edge_of_more_entries_than_are_remembered_comes_to_an_end(
    one: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of a tenant is bounded; two questions about each of more entries push each other out."""
    monkeypatch.setattr("hashcheck_service.probing.edge_counter._MOST_RECORDS", 8)
    rng = random.Random(12)
    hashes = [listed_hash(rng) for _ in range(20)]
    snapshot = small_list([Listed("pdq", text(value), f"{place:032x}") for place, value in enumerate(hashes)])
    probes = []
    for value in hashes:
        inside = near_hash(rng, value, 30)
        wrong = [bit for bit in range(BITS) if (inside ^ value) >> bit & 1]
        probes += [inside ^ 1 << wrong[0], inside ^ 1 << wrong[1]]  # odd, and close to each other
    answers = asked(one, snapshot, ENFORCE, *probes)
    assert one.alarmed("acme")
    assert set(answers) <= {"match", "unknown"}
