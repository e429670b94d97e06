"""The decision file by itself: a chain that tells what was done to it, and a file that grows whole or not at all."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcheck_core.errors import DecisionError
from hashcheck_core.snapshot.signing import generate_pair
from index_builder.config.review import Person, ReviewConfig
from index_builder.review.agreement import standings
from index_builder.review.chain import PersonKey, read_chain
from index_builder.review.record import DECISION_FORMAT, Decision, Verdict, sign_decision

PEOPLE = {
    name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in ("anna", "ben", "carl")
}
PUBLIC = {name: [PersonKey(key.public_key())] for name, key in PEOPLE.items()}
ENTRY = "ab" * 16


def decision(by: str, verdict: Verdict, number: int = 0, previous: str = "", *grounds: str) -> Decision:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Decision(
        DECISION_FORMAT, number, previous, "ab" * 8, ENTRY, verdict, [*grounds], by, "seen", at
    )  # fmt: skip


def six_lines() -> list[bytes]:
    lines: list[bytes] = []
    previous = ""
    for number in range(1, 7):
        by = sorted(PEOPLE)[number % 3]
        link = sign_decision(decision(by, Verdict.ACCEPT, number, previous, "known_good: x"), PEOPLE[by])
        lines.append(link.line + b"\n")
        previous = link.sha256
    return lines


LINES = six_lines()
WHOLE = b"".join(LINES)
place = st.integers(0, len(WHOLE) - 1)
line = st.integers(0, 5)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_done_to_a_chain_it_is_refused_or_still_its_beginning(data: st.DataObject) -> None:
    changed = WHOLE
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            lines = changed.splitlines(keepends=True)
            at = data.draw(st.integers(0, len(lines)))
            lines[at : at + data.draw(st.integers(0, 2))] = [
                LINES[i] for i in data.draw(st.lists(line, max_size=2))
            ]
            changed = b"".join(lines)
        else:
            at = data.draw(place)
            changed = (
                changed[:at] + data.draw(st.binary(max_size=3)) + changed[at + data.draw(st.integers(0, 3)) :]
            )
    try:
        chain = read_chain(changed, PUBLIC)
    except DecisionError:
        return
    assert WHOLE.startswith(changed)
    assert chain.encode() == changed
    assert chain.last.number == changed.count(b"\n")


def test_a_line_signed_anew_by_another_of_the_people_breaks_what_follows() -> None:
    """A key that decides is no key to the past."""
    forged = sign_decision(
        decision("ben", Verdict.REJECT, 2, read_chain(LINES[0], PUBLIC).last.sha256), PEOPLE["ben"]
    )
    assert read_chain(LINES[0] + forged.line + b"\n", PUBLIC).last.number == 2
    with pytest.raises(DecisionError, match="Decision 3 does not follow"):
        read_chain(b"".join([LINES[0], forged.line + b"\n", *LINES[2:]]), PUBLIC)


def test_a_signature_of_another_kind_of_document_is_none() -> None:
    link = sign_decision(decision("anna", Verdict.ACCEPT, 1), PEOPLE["anna"])
    other = link.payload.replace(b"hashcheck-decision/1", b"hashcheck-decision/9")
    signature = {"key_id": link.signature.key_id, "signature": PEOPLE["anna"].sign(other).hex()}
    line = json.dumps({"decision": json.loads(other), "signature": signature}, separators=(",", ":"))
    with pytest.raises(DecisionError, match="not as it was written"):
        read_chain(line.encode() + b"\n", PUBLIC)


def rules(people: int, **people_for: int) -> ReviewConfig:
    deciding = [Person(name=name, key=Path(name)) for name in PEOPLE]
    return ReviewConfig.model_validate(
        {"decisions": Path("d"), "person": deciding, "people": people, "people_for": people_for}
    )


votes = st.lists(st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from(Verdict)), max_size=12)


def oracle(given_votes: list[tuple[str, Verdict]], people: int) -> Verdict | None:
    """The verdict of the last run of equal ones that enough people took part in; one that is in force goes on where
    it left off."""
    force: Verdict | None = None
    behind: set[str] = set()
    run: set[str] = set()
    for index, (by, verdict) in enumerate(given_votes):
        if index == 0 or given_votes[index - 1][1] != verdict:
            run = set(behind) if verdict == force else set()
        run.add(by)
        if len(run) >= people:
            force, behind = verdict, set(run)
    return force


@settings(max_examples=300, deadline=None)
@given(votes, st.integers(1, 3))
def test_what_is_in_force_is_what_enough_people_said_last(
    given_votes: list[tuple[str, Verdict]], people: int
) -> None:
    made = [decision(by, verdict, number) for number, (by, verdict) in enumerate(given_votes, 1)]
    standing = standings(made, rules(people)).get(ENTRY)
    in_force = standing.in_force.verdict if standing and standing.in_force else None
    assert in_force == oracle(given_votes, people)
    if standing and standing.pending:
        assert standing.pending.verdict == given_votes[-1][1]
        assert standing.pending.lacking(rules(people)) > 0


def test_a_ground_that_too_few_have_seen_is_not_covered() -> None:
    asks = rules(1, known_good=2)
    seen = [
        decision("anna", Verdict.ACCEPT, 1, "", "known_good: x", "corroboration: disputed"),
        decision("ben", Verdict.ACCEPT, 2, "", "corroboration: disputed"),
        decision("carl", Verdict.ACCEPT, 3, "", "known_good: x"),
    ]
    covered = [standings(seen[:n], asks)[ENTRY] for n in (1, 2, 3)]
    assert [one.accepted(asks) for one in covered] == [
        {"corroboration: disputed"},
        {"corroboration: disputed"},
        {"corroboration: disputed", "known_good: x"},
    ]
    assert [one.pending is not None for one in covered] == [True, True, False]


# A program that forks for each stage: the child decides, and is killed at its n-th touch of the file system.
KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.index_builder import test_decision_file as here

def child(stage, folder):
    touched = 0
    def hook(event, arguments):
        nonlocal touched
        if any(folder in str(a) for a in arguments) and event != "import":
            touched += 1
            if touched == stage:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    here.add(Path(folder), "anna", 2)

folder = sys.argv[1]
here.add(Path(folder), "anna", 1)
before = Path(folder, "d.jsonl").read_bytes()
for stage in range(1, 99):
    Path(folder, "d.jsonl").write_bytes(before)
    pid = os.fork()
    if pid == 0:
        child(stage, folder)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    after = Path(folder, "d.jsonl").read_bytes()
    assert after.startswith(before) and after.count(b"\\n") in (1, 3), stage
    here.read(Path(folder))
    if status == 0:
        assert after.count(b"\\n") == 3
        print(stage - 1)
        break
    assert status == -signal.SIGKILL, status
here.add(Path(folder), "anna", 2)
left = [p.name for p in Path(folder).iterdir() if p.name.endswith(".tmp")]
assert not left, left
"""

# Forks that all decide at once.
AT_ONCE = """
import os, sys
from pathlib import Path
from tests.index_builder import test_decision_file as here

folder = Path(sys.argv[1])
go, start = os.pipe()
children = []
for n in range(12):
    pid = os.fork()
    if pid == 0:
        os.close(start)
        os.read(go, 1)
        here.add(folder, ("anna", "ben", "carl")[n % 3], 1 + n % 2)
        os._exit(0)
    children.append(pid)
os.close(start)
assert all(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 for pid in children)
"""

# A disk that takes no more bytes than this.
FULL = """
import resource, signal, sys
from pathlib import Path
from hashcheck_core.errors import TransportError
from tests.index_builder import test_decision_file as here

folder = Path(sys.argv[1])
here.add(folder, "anna", 3)
before = (folder / "d.jsonl").read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in (0, 10, len(before), len(before) + 10):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        here.add(folder, "ben", 1)
    except TransportError as error:
        print(error)
    else:
        raise AssertionError(limit)
    assert (folder / "d.jsonl").read_bytes() == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
here.add(folder, "ben", 1)
"""


def review_of(folder: Path) -> ReviewConfig:
    people = [{"name": name, "key": folder / f"{name}.pub"} for name in PEOPLE]
    return ReviewConfig.model_validate({"decisions": folder / "d.jsonl", "person": people})


def add(folder: Path, by: str, count: int) -> None:
    from hashcheck_core.snapshot.signing import load_private
    from index_builder.review.file import decide

    key = load_private((folder / f"{by}.pem").read_bytes())
    decide(review_of(folder), key, lambda chain: [decision(by, Verdict.REJECT)] * count)


def read(folder: Path) -> int:
    from index_builder.review.file import read_decisions

    return read_decisions(review_of(folder)).last.number


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PEOPLE:
        private, public = generate_pair()
        (tmp_path / f"{name}.pem").write_bytes(private)
        (tmp_path / f"{name}.pub").write_bytes(public)
    return tmp_path


def python(program: str, folder: Path) -> str:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(folder)]
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_killed_at_any_point_the_file_is_the_old_one_or_the_new_one(folder: Path) -> None:
    stages = int(python(KILLED, folder))
    assert stages > 8
    assert read(folder) == 5


def test_of_those_who_decide_at_once_none_is_lost(folder: Path) -> None:
    python(AT_ONCE, folder)
    assert read(folder) == 18


def test_a_full_disk_leaves_the_file_as_it_was(folder: Path) -> None:
    told = python(FULL, folder)
    assert told.count("could not be written") == 4
    assert read(folder) == 4
    assert sorted(path.name for path in folder.glob(".*")) == [".d.jsonl.lock"]
