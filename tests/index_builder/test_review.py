"""People decide about what gates hold: through the command line, as they do it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.feed import feed_rows
from examples.photographs import FOLDER, UNLISTED
from hashcheck_core.reserved import TEST_ENTRY_ID
from hashcheck_core.snapshot.signing import generate_pair
from tests.index_builder.conftest import Run
from tests.index_builder.test_gates import failed, made_up, write_rows
from tests.specimens.feeds import md5
from tests.support import Site, write_private

FEW = "corroboration: too few sources and opinions"
ORDINARY = "known_good: an ordinary file or picture"


@dataclass
class Desk:
    """A site where people decide."""

    site: Site
    run: Run
    people: dict[str, int | None] = field(default_factory=dict)
    options: str = ""
    gates: str = ""

    @property
    def file(self) -> Path:
        return self.site.root / "decisions.jsonl"

    def join(self, *names: str) -> None:
        for name in names:
            private, public = generate_pair()
            write_private(self.site.root / f"{name}.pem", private)
            (self.site.root / f"{name}.pub").write_bytes(public)
            self.people[name] = None

    def configure(self, options: str | None = None, gates: str | None = None) -> None:
        """Write the config: `options` of [review], and gates beside known_good."""
        self.options = self.options if options is None else options
        self.gates = self.gates if gates is None else gates
        people = ""
        for key, until in self.people.items():
            last = "" if until is None else f"until = {until}\n"
            people += f'[[review.person]]\nname = "{key.removesuffix("2")}"\nkey = "{key}.pub"\n{last}'
        review = f'[review]\ndecisions = "decisions.jsonl"\n{self.options}\n{people}' if people else ""
        self.site.write_config(more=f"{self.gates}\n{review}")

    @property
    def _where(self) -> tuple[str | Path, ...]:
        return ("--config", self.site.root / "feeds.toml", "--out", self.site.snapshots)

    def build(self, *more: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, report and standard error; the report of the gate that failed, where one did."""
        before = set(self.site.snapshots.glob("reports/failed-*"))
        for path in before:  # two builds of one second have one name
            path.rename(path.with_name(f"was-{len(list(path.parent.iterdir()))}"))
        code, out, error = self.run("build", *self._where, "--json", *more)
        found = list(self.site.snapshots.glob("reports/failed-*/report.json"))
        report = json.loads(out or (found[0].read_text() if found else "{}"))
        return code, report, error

    def review(self, *filters: str) -> list[dict[str, Any]]:
        code, out, error = self.run("review", *self._where, "--json", *filters)
        assert code == 0, error
        held = json.loads(out)["held"]
        assert isinstance(held, list)
        return held

    def decide(
        self, verdict: str, by: str, *entries: str, key: str = "", reason: str = "seen"
    ) -> tuple[int, str]:
        """Exit code, and what was told."""
        signing = ("--by", by, "--key", self.site.root / f"{key or by}.pem", "--reason", reason)
        code, out, error = self.run(verdict, *entries, *self._where, *signing)
        return code, out or error


@pytest.fixture
def desk(new_site: Site, run_here: Run) -> Desk:
    """Ten entries, of which three are known to be ordinary files, and anna and ben to decide about them."""
    write_rows(new_site.feed, made_up(10))
    (new_site.root / "good.txt").write_text("".join(f"md5 {md5(n)}\n" for n in range(3)))
    desk = Desk(new_site, run_here)
    desk.join("anna", "ben")
    good = '[[known_good]]\nname = "own"\nformat = "lines"\npath = "good.txt"\n'
    desk.configure(options="people = 2", gates=f"{good}[gates.known_good]\nmax_held = 1\n")
    return desk


def listed(report: dict[str, Any]) -> int:
    return sum(t["listed"] for t in report["types"] if t["type"] == "md5")


def states(report: dict[str, Any]) -> dict[str, str]:
    return {one["entry"]: one["state"] for one in report["decisions"]["decided"]}


def test_two_people_decide_about_what_stopped_a_build_and_the_next_one_passes(desk: Desk) -> None:
    code, report, _ = desk.build()
    assert (code, failed(report)) == (1, {"known_good"})
    held = desk.review()
    first, second, third = (row["entry"] for row in held)
    assert {(row["gate"], row["feed"], row["decided"]) for row in held} == {
        ("known_good", "example-hotline", "")
    }

    code, told = desk.decide("accept", "anna", first)
    assert (code, told) == (0, f"{first}: accept by anna waits for 1 more\n")
    desk.decide("reject", "anna", second)
    assert {row["entry"]: (row["pending"], row["lacking"]) for row in desk.review()} == {
        first: ("accept", 1), second: ("reject", 1), third: ("", 0),
    }  # fmt: skip
    code, report, _ = desk.build()
    assert (code, states(report)) == (1, {first: "pending", second: "pending"})

    code, told = desk.decide("accept", "ben", first)
    assert (code, told) == (0, f"{first}: accepted by anna and ben\n")
    desk.decide("reject", "ben", second)
    assert [row["decided"] for row in desk.review()] == ["accepted", "rejected", ""]
    code, report, _ = desk.build()
    assert code == 0
    assert listed(report) == 8  # of ten: one is rejected, one still held
    assert [row["entry"] for row in report["held"]] == [third]
    assert states(report) == {first: "applied", second: "applied"}
    manifest = json.loads((Path(report["directory"]) / "manifest.json").read_text())
    assert manifest["last_decision"] == report["decisions"]["last"]
    assert manifest["last_decision"]["number"] == 4
    page = (desk.site.snapshots / "reports" / report["snapshot"] / "report.html").read_text()
    assert "anna and ben" in page


def test_one_person_is_not_two(desk: Desk) -> None:
    desk.build()
    entry = desk.review()[0]["entry"]
    for _ in range(2):
        code, told = desk.decide("accept", "anna", entry)
        assert (code, told) == (0, f"{entry}: accept by anna waits for 1 more\n")
    assert len(desk.file.read_text().splitlines()) == 1
    code, told = desk.decide("accept", "ben", entry, key="anna")
    assert (code, "is not the key of ben" in told) == (2, True)
    code, told = desk.decide("accept", "eve", entry, key="anna")
    assert (code, "'eve' is not one who may decide" in told) == (2, True)
    shutil.copy(desk.site.root / "anna.pub", desk.site.root / "ben.pub")
    code, told = desk.decide("accept", "ben", entry, key="anna")
    assert (code, "Two people in [review] have the same key" in told) == (2, True)


def test_a_gate_may_ask_for_two_where_one_decides_otherwise(desk: Desk) -> None:
    desk.configure(options="people_for = {known_good = 2}")
    desk.build()
    first, second, third = (row["entry"] for row in desk.review())
    assert "waits for 1 more" in desk.decide("accept", "anna", first)[1]
    assert desk.decide("reject", "anna", second) == (0, f"{second}: rejected by anna\n")
    desk.decide("accept", "ben", first)
    code, report, _ = desk.build()
    assert (code, listed(report), [row["entry"] for row in report["held"]]) == (0, 8, [third])


def test_an_acceptance_covers_what_was_seen_and_nothing_else(desk: Desk) -> None:
    desk.configure(options="")
    desk.build()
    entries = [row["entry"] for row in desk.review()]
    desk.decide("accept", "anna", *entries)
    code, report, _ = desk.build()
    assert (code, listed(report), report["held"]) == (0, 10, [])

    desk.configure(gates=f"{desk.gates}[gates.corroboration.minimum.baseline]\nsources = 2\nopinions = 2\n")
    code, report, _ = desk.build()
    assert (code, len(report["held"]), listed(report)) == (0, 10, 0)
    assert {row["gate"] for row in report["held"]} == {"corroboration"}
    assert {tuple(one["grounds"]) for one in report["decisions"]["decided"]} == {(FEW, ORDINARY)}
    desk.decide("accept", "anna", entries[0])
    assert listed(desk.build()[1]) == 1


def test_a_later_decision_undoes_an_earlier_one_and_both_stay_in_the_file(desk: Desk) -> None:
    desk.configure(options="")
    desk.build()
    entry = desk.review()[0]["entry"]
    lists = []
    for verdict in ("reject", "accept", "reject", "accept"):
        assert desk.decide(verdict, "anna", entry, reason=f"now {verdict}")[0] == 0
        _, report, _ = desk.build()
        lists.append((states(report), len(report["held"])))
    assert lists == [({entry: "applied"}, 2)] * 4
    desk.configure(gates=desk.gates.replace("max_held = 1", "max_held = 2"))
    assert listed(desk.build()[1]) == 8
    desk.decide("reject", "ben", entry)
    assert listed(desk.build()[1]) == 7
    code, out, _ = desk.run("review", *desk._where, "--history")
    assert code == 0
    assert [line.split("│")[1].strip() for line in out.splitlines() if entry in line] == list("12345")
    assert out.count("now accept") == 2


def test_what_no_gate_holds_can_be_rejected_and_cannot_be_accepted(desk: Desk) -> None:
    desk.configure(options="", gates="")
    _, report, _ = desk.build()
    assert listed(report) == 10
    ids = (Path(report["directory"]) / "entries-ids.bin").read_bytes()
    entry = next(i for n in range(11) if not (i := ids[n * 16 : n * 16 + 16].hex()).startswith("7e577e57"))
    code, told = desk.decide("accept", "anna", entry)
    assert (code, "No gate held" in told) == (2, True)
    assert desk.decide("reject", "anna", entry)[0] == 0
    assert listed(desk.build()[1]) == 9
    assert desk.decide("accept", "anna", entry)[0] == 0
    assert listed(desk.build()[1]) == 10
    write_rows(desk.site.feed, [("other", "md5", md5(99), "", "A")])
    _, report, _ = desk.build()
    assert states(report) == {entry: "unused"}


def test_what_matches_ordinary_pictures_is_named_and_a_rejection_lets_the_rest_pass(desk: Desk) -> None:
    (desk.site.root / "pictures").mkdir()
    shutil.copy(FOLDER / UNLISTED[0], desk.site.root / "pictures")
    write_rows(desk.site.feed, [*made_up(3), *feed_rows(UNLISTED[:1], "A")])
    desk.configure(options="", gates='[gates.benign]\npictures = "pictures"\n')
    code, report, _ = desk.build()
    assert (code, failed(report)) == (1, {"benign"})
    [row] = desk.review()
    assert (row["gate"], row["feed"], row["category"]) == ("benign", "example-hotline", "baseline")
    desk.decide("reject", "anna", row["entry"])
    code, report, _ = desk.build()
    assert (code, listed(report)) == (0, 3)
    desk.decide("accept", "anna", row["entry"])
    assert desk.build()[0] == 1  # what benign found was not seen when it was undone
    desk.decide("accept", "anna", row["entry"])
    code, report, _ = desk.build()
    assert (code, listed(report)) == (0, 4)


@pytest.fixture
def corroborated(desk: Desk) -> tuple[Desk, str, str]:
    """Two entries of different sources that list one hash, where two sources are asked for; the first lists another."""
    write_rows(desk.site.feed, [(name, "md5", md5(n), "", "A") for name, n in (("a", 1), ("a", 2))])
    write_rows(desk.site.root / "second.csv", [("b", "md5", md5(1), "", "A")])
    more = '[[feed]]\nname = "second"\nformat = "csv"\npath = "second.csv"\ncategories = {A = "baseline"}\n'
    more += "[gates.corroboration.minimum.baseline]\nopinions = 2\n"
    desk.configure(options="", gates=f"{more}sources = 3\n")
    desk.build()
    of_feed = {row["feed"]: row["entry"] for row in desk.review()}
    desk.configure(gates=f"{more}sources = 2\n")
    _, report, _ = desk.build()
    assert (grounds(report), entry_ids(report)) == (set(), set(of_feed.values()))
    return desk, of_feed["example-hotline"], of_feed["second"]


def entry_ids(report: dict[str, Any]) -> set[str]:
    """The listed entries, but that of the test hashes."""
    data = (Path(report["directory"]) / "entries-ids.bin").read_bytes()
    ids = {data[at : at + 16].hex() for at in range(0, len(data), 16)}
    return ids - {TEST_ENTRY_ID.hex()}


def grounds(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["entry"], f"{row['gate']}: {row['why']}") for row in report["held"]}


def test_what_people_rejected_corroborates_nothing(corroborated: tuple[Desk, str, str]) -> None:
    desk, first, second = corroborated
    desk.decide("reject", "anna", first, reason="a stock picture")
    _, report, _ = desk.build()
    assert (grounds(report), entry_ids(report)) == ({(second, FEW)}, set())
    desk.decide("accept", "anna", second)
    _, report, _ = desk.build()
    assert (grounds(report), entry_ids(report)) == (set(), {second})


def test_what_another_gate_holds_corroborates_nothing_until_people_accept_it(
    corroborated: tuple[Desk, str, str],
) -> None:
    desk, first, second = corroborated
    (desk.site.root / "good.txt").write_text(f"md5 {md5(2)}\n")
    desk.configure(gates=f'{desk.gates}[[known_good]]\nname = "own"\nformat = "lines"\npath = "good.txt"\n')
    _, report, _ = desk.build()
    assert (grounds(report), entry_ids(report)) == ({(first, ORDINARY), (second, FEW)}, set())
    desk.decide("accept", "anna", first)
    _, report, _ = desk.build()
    assert (grounds(report), entry_ids(report)) == (set(), {first, second})


def test_what_is_retracted_corroborates_nothing(corroborated: tuple[Desk, str, str]) -> None:
    desk, first, second = corroborated
    site = desk.site
    where = ("--store", site.snapshots, *site.signing)
    assert desk.run("retract", first, "--reason", "a stock picture", *where)[0] == 0
    _, report, _ = desk.build("--store", str(site.snapshots), "--trusted-keys", str(site.trusted_keys))
    assert (grounds(report), entry_ids(report)) == ({(second, FEW)}, set())


def test_review_narrows_down_and_its_ids_go_into_a_decision(desk: Desk) -> None:
    shutil.copy(desk.site.feed, desk.site.root / "second.csv")
    more = '[[feed]]\nname = "second"\nformat = "csv"\npath = "second.csv"\ncategories = {A = "national"}\n'
    desk.configure(options="", gates=desk.gates + more)
    desk.build()
    assert len(desk.review()) == 6
    for narrow in (
        ("--feed", "second"),
        ("--category", "national"),
        ("--gate", "known_good", "--feed", "second"),
    ):
        assert {row["feed"] for row in desk.review(*narrow)} == {"second"}
    assert desk.review("--gate", "degenerate") == []
    code, ids, _ = desk.run("review", *desk._where, "--feed", "second", "--ids")
    assert (code, len(ids.split())) == (0, 3)
    desk.decide("reject", "anna", *ids.split())
    assert {row["feed"] for row in desk.review("--undecided")} == {"example-hotline"}
    code, table, _ = desk.run("review", *desk._where)
    assert code == 0
    assert table.count("rejected by anna") == 3
    assert table.count("an ordinary file or picture") == 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("people = 3", "more people must agree than the 2 who may decide"),
        ("people_for = {benign = 3}", "more people must agree"),
        ("people_for = {drift = 2}", "review.people_for"),
        ("poeple = 2", "review.poeple"),
    ],
)
def test_a_review_that_cannot_work_is_refused_in_the_config(desk: Desk, options: str, says: str) -> None:
    desk.configure(options=options)
    code, _, error = desk.build()
    assert (code, says in error) == (2, True)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 1001, f"like {md5(1)}"])
def test_a_reason_is_in_words_and_quotes_no_hash(desk: Desk, reason: str) -> None:
    desk.build()
    code, told = desk.decide("reject", "anna", desk.review()[0]["entry"], reason=reason)
    assert (code, "A reason has 1 to 1000 characters" in told) == (2, True)
    assert not desk.file.exists()


def test_one_wrong_id_among_many_and_nothing_is_recorded(desk: Desk) -> None:
    desk.build()
    entry = desk.review()[0]["entry"]
    for wrong in ("", entry[:-1], entry.upper(), "7e577e57" * 4, md5(5) + "0"):
        code, told = desk.decide("reject", "anna", entry, wrong)
        assert (code, "is not the id of an entry" in told) == (2, True), wrong
    assert not desk.file.exists()


def test_no_listed_hash_stands_in_the_decision_file(desk: Desk) -> None:
    desk.configure(options="")
    desk.build()
    desk.decide("accept", "anna", *(row["entry"] for row in desk.review()))
    text = desk.file.read_text()
    assert len(text.splitlines()) == 3
    assert not any(md5(n) in text for n in range(10))


# What is done to the file of four decisions, and what is said of it.
Attack = Callable[[list[str]], list[str]]
ATTACKS: dict[str, tuple[Attack, str]] = {
    "a verdict is turned": (lambda d: [d[0].replace("accept", "reject"), *d[1:]], "not signed by anna"),
    "a reason is changed": (lambda d: [*d[:3], d[3].replace("seen", "sean")], "Decision 4 is not signed"),
    "a name is changed": (
        lambda d: [d[0].replace('"anna"', '"ben"'), *d[1:]],
        "Decision 1 is not signed by ben",
    ),
    "a name nobody has": (lambda d: [d[0].replace('"anna"', '"eve"'), *d[1:]], "who is not in [review]"),
    "a signature is taken off": (lambda d: [d[0][:-140] + d[0][-3:], *d[1:]], "Decision 1"),
    "a space is added": (lambda d: [d[0].replace('":', '": ', 1), *d[1:]], "not as it was written"),
    "a field is added": (
        lambda d: [d[0].replace('{"decision"', '{"x":1,"decision"'), *d[1:]],
        "not as it was",
    ),
    "one is removed": (lambda d: [d[0], *d[2:]], "Decision 2 does not follow"),
    "the first is removed": (lambda d: d[1:], "Decision 1 does not follow"),
    "two are exchanged": (lambda d: [d[0], d[2], d[1], d[3]], "Decision 2 does not follow"),
    "one is written twice": (lambda d: [d[0], d[0], *d[1:]], "Decision 2 does not follow"),
    "an old one comes again": (lambda d: [*d, d[0]], "Decision 5 does not follow"),
    "an empty line": (lambda d: [*d, ""], "Decision 5 cannot be read"),
    "the last is cut": (lambda d: [*d[:3], f"{d[3][:40]}\x00"], "Decision 4 is cut short"),
    "the last is taken away": (lambda d: d[:3], "ends with 3, and the newest build"),
    "all are taken away": (lambda d: [], "ends with 0, and the newest build"),
    "it is something else": (lambda d: ["<html>"], "Decision 1 cannot be read"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_decision_file_that_people_did_not_write_stops_the_build(desk: Desk, attack: str) -> None:
    desk.build()
    for name in ("anna", "ben"):
        desk.decide("accept", name, *(row["entry"] for row in desk.review()[:2]))
    assert desk.build()[0] == 0
    change, says = ATTACKS[attack]
    lines = "".join(line + "\n" for line in change(desk.file.read_text().splitlines()))
    desk.file.write_text(lines.removesuffix("\x00\n"))
    before = sorted(desk.site.snapshots.glob("0*"))
    code, report, error = desk.build()
    assert (code, report) == (1, {})
    [line] = error.splitlines()
    assert says in line
    assert "Put" in line or "copy" in line
    assert sorted(desk.site.snapshots.glob("0*")) == before
    if "taken away" not in attack:  # a sound chain: only a build knows that it went on
        assert desk.run("review", *desk._where)[0] == 1
        assert desk.decide("reject", "anna", "0" * 32)[0] == 1


def test_decisions_that_the_snapshot_in_force_was_made_with_must_still_be_there(desk: Desk) -> None:
    desk.build()
    for name in ("anna", "ben"):
        desk.decide("accept", name, *(row["entry"] for row in desk.review()))
    _, report, _ = desk.build()
    snapshot = report["snapshot"]
    desk.run("publish", report["directory"], *desk.site.signing)
    shutil.rmtree(desk.site.snapshots / "reports")
    kept = desk.file.read_bytes()
    desk.file.write_bytes(b"".join(kept.splitlines(keepends=True)[:5]))
    code, _, error = desk.build()
    assert (
        code,
        f"ends with 5, and snapshot {snapshot}, which is in force, was made with decision 6" in error,
    ) == (
        1,
        True,
    )
    desk.file.unlink()
    assert desk.build()[0] == 1
    people, desk.people = desk.people, {}  # nor does it help to forget the whole section
    desk.configure()
    assert desk.build()[0] == 1
    desk.people = people
    desk.configure()
    code, report, _ = desk.build("--new-decisions")
    assert (code, failed(report)) == (1, {"known_good"})  # all are held again
    desk.file.write_bytes(kept)
    assert desk.build()[0] == 0


def test_decisions_about_the_ids_of_another_key_stop_the_build(desk: Desk) -> None:
    """Rejections that no longer find their entries would let them in."""
    desk.configure(options="")
    desk.build()
    desk.decide("reject", "anna", *(row["entry"] for row in desk.review()[:2]))
    ids = desk.site.root / "keys" / "builder.ids"
    before = ids.read_bytes()
    ids.write_text("ab" * 32)
    code, _, error = desk.build()
    assert (code, "made with another id key" in error) == (1, True)
    assert desk.build("--new-decisions")[0] == 1
    ids.write_bytes(before)
    assert desk.build()[0] == 0


def test_who_has_left_decides_no_more_and_what_they_decided_stays(desk: Desk) -> None:
    desk.configure(options="")
    desk.build()
    first, second, third = (row["entry"] for row in desk.review())
    desk.decide("accept", "ben", first)
    desk.decide("accept", "ben", second)
    desk.people["ben"] = 1
    desk.configure()
    code, told = desk.decide("accept", "ben", third)
    assert (code, "'ben' is not one who may decide. [review] has: anna" in told) == (2, True)
    _, report, _ = desk.build()
    assert states(report) == {first: "applied"}
    assert {row["entry"] for row in report["held"]} == {second, third}
    code, out, _ = desk.run("review", *desk._where, "--history")
    assert (code, out.count("accept (void)")) == (0, 1)


def test_a_person_with_a_new_key_is_still_one_person(desk: Desk) -> None:
    desk.build()
    entry = desk.review()[0]["entry"]
    desk.decide("accept", "anna", entry)
    desk.join("anna2", "carl")
    desk.configure()
    code, _, error = desk.build()
    assert (code, "one has two keys" in error) == (2, True)
    desk.people["anna"] = 1
    desk.configure()
    assert desk.decide("accept", "anna", entry)[0] == 2  # with the old key
    code, told = desk.decide("accept", "anna", entry, key="anna2")
    assert (code, told) == (0, f"{entry}: accept by anna waits for 1 more\n")
    assert (
        desk.decide("reject", "anna", entry, key="anna2")[1] == f"{entry}: reject by anna waits for 1 more\n"
    )
    assert desk.decide("accept", "carl", entry)[1] == f"{entry}: accept by carl waits for 1 more\n"
    code, told = desk.decide("accept", "anna", entry, key="anna2")
    assert (code, told) == (0, f"{entry}: accepted by carl and anna\n")
