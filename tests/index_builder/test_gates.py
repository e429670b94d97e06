"""The gates as an operator meets them: a config, feeds, and a build that stops or holds."""

import json
import shutil
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.feed import HEADER, feed_rows
from examples.photographs import FOLDER, UNLISTED, photograph, reencoded
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import pdq
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.signing import TrustedKeys, load_public
from index_builder.config.gates import CanariesGate, DriftGate
from index_builder.gates import canaries, drift
from index_builder.gates.drift import FeedSize
from index_builder.gates.outcome import NAMES
from tests.specimens.feeds import md5, ncmec, ncmec_entry, rows, vics, vics_media
from tests.support import Site, done, run

DAY = datetime(2026, 11, 1, tzinfo=UTC)
CMS = UNLISTED[:2]  # what comes with a common CMS, and is known
ORDINARY = UNLISTED[2:]  # what anyone might upload


def write_rows(path: Path, given: Iterable[tuple[str, ...]]) -> None:
    path.write_text("\n".join(",".join(row) for row in (HEADER, *given)) + "\n")


def made_up(count: int, code: str = "A", start: int = 0) -> list[tuple[str, ...]]:
    return [(f"m{i}", "md5", md5(i), "", code) for i in range(start, start + count)]


def build(site: Site) -> tuple[int, str, dict[str, Any]]:
    """Exit code, standard error and the report of a build, of one that failed too."""
    arguments = ("--config", site.root / "feeds.toml", "--out", site.snapshots, "--json")
    result = run("index_builder", "build", *arguments)
    if result.returncode == 0:
        report = json.loads(result.stdout)
    else:
        found = sorted(
            site.snapshots.glob("reports/failed-*/report.json"), key=lambda p: p.stat().st_mtime_ns
        )
        report = json.loads(found[-1].read_text()) if found else {}
    return result.returncode, result.stderr, report


def failed(report: dict[str, Any]) -> set[str]:
    return {gate["name"] for gate in report["gates"] if gate["state"] == "failed"}


def june_2021(site: Site, *, off: Iterable[str] = (), other: str = ', other = "national"') -> None:
    """A list in force, and then a new supplier with a code `other`, ticked by mistake, for ordinary web pictures."""
    write_rows(site.feed, made_up(60))
    for name in ("cms", "ordinary"):
        shutil.rmtree(site.root / name, ignore_errors=True)
        (site.root / name).mkdir()
    for folder, names in (("cms", CMS), ("ordinary", ORDINARY)):
        for name in names:
            shutil.copy(FOLDER / name, site.root / folder / name)
    web = [(f"w{row[0]}", *row[1:4], "other") for row in feed_rows(UNLISTED, "other")]
    write_rows(site.root / "supplier.csv", [*made_up(40, "baseline", 1000), *web])
    more = f"""[[feed]]
name = "supplier"
format = "csv"
path = "supplier.csv"
categories = {{baseline = "baseline"{other}}}
[[known_good]]
name = "cms"
format = "pictures"
path = "cms"
[gates.complete]
max_rejected_rows = 0
[gates.drift]
min_rows = 1
[gates.known_good]
max_held = 0
[gates.corroboration]
max_held = 0
[gates.corroboration.minimum.national]
sources = 2
[gates.benign]
pictures = "ordinary"
"""
    for gate in off:
        head = f"[gates.{gate}]\n"
        more = (
            more.replace(head, f"{head}enabled = false\n")
            if head in more
            else f"{more}{head}enabled = false\n"
        )
    site.write_config(more=more)


@pytest.fixture
def in_force(new_site: Site) -> Site:
    """A site with a list in force, made of 60 made-up hashes."""
    write_rows(new_site.feed, made_up(60))
    new_site.publish(new_site.build())
    return new_site


def test_june_2021_is_stopped_by_name_and_whichever_gate_is_off_others_still_catch_it(in_force: Site) -> None:
    before = (in_force.snapshots / "current").read_bytes()
    before_candidates = {"drift", "known_good", "corroboration"}
    for off in ((), *((name,) for name in NAMES)):
        june_2021(in_force, off=off)
        code, error, report = build(in_force)
        assert code == 1
        assert failed(report) == before_candidates - set(off)
        for name in failed(report):
            assert f"Gate {name} failed" in error
    june_2021(in_force, off=before_candidates)
    code, error, report = build(in_force)
    assert (code, failed(report)) == (1, {"benign"})
    assert all(name in error for name in ORDINARY)
    assert (in_force.snapshots / "current").read_bytes() == before
    assert len(list(in_force.snapshots.glob("0*"))) == 1
    assert not list(in_force.snapshots.glob(".unnamed-*"))


def test_june_2021_with_every_gate_off_is_what_the_gates_are_for(in_force: Site) -> None:
    june_2021(in_force, off=("drift", "known_good", "corroboration", "benign"))
    code, _, report = build(in_force)
    assert code == 0
    assert {t["type"]: t["listed"] for t in report["types"]}["pdq"] == len(UNLISTED)


def test_june_2021_without_the_tick_rejects_the_code_nobody_mapped(in_force: Site) -> None:
    june_2021(in_force, other="", off=("drift",))
    code, error, report = build(in_force)
    assert (code, failed(report)) == (1, {"complete"})
    assert "mostly unmapped_category" in error


def test_june_2021_mapped_to_a_category_the_list_does_not_take_lists_none_of_it(in_force: Site) -> None:
    june_2021(in_force, other=', other = "non_pertinent"', off=("drift",))
    code, _, report = build(in_force)
    assert code == 0
    assert report["feeds"][1]["reasons"] == {"category_not_wanted": 5 * len(UNLISTED)}
    assert "pdq" not in {t["type"] for t in report["types"] if t["listed"]}


def test_what_looks_like_an_ordinary_picture_is_held_and_listed_for_a_person(new_site: Site) -> None:
    copy = reencoded(photograph(CMS[0]))
    value = pdq(decode(copy, ImageLimits()).grey)[0].hash.hex()
    write_rows(
        new_site.feed, [*made_up(3), ("x1", "pdq", value, "100", "A"), ("x1", "md5", md5(77), "", "A")]
    )
    (new_site.root / "own").mkdir()
    shutil.copy(FOLDER / CMS[0], new_site.root / "own")
    new_site.write_config(more='[[known_good]]\nname = "own"\nformat = "pictures"\npath = "own"\n')
    code, _, report = build(new_site)
    assert code == 0
    [held] = report["held"]
    assert (held["feed"], held["category"], held["gate"]) == ("example-hotline", "baseline", "known_good")
    assert {t["type"]: t["listed"] for t in report["types"]}["md5"] == 3
    folder = new_site.snapshots / "reports" / report["snapshot"]
    [line] = (folder / "held.jsonl").read_text().splitlines()
    assert json.loads(line) == held
    assert value not in "".join(path.read_text() for path in folder.iterdir())


def test_nsrl_and_lists_of_exact_hashes_veto(new_site: Site) -> None:
    write_rows(new_site.feed, made_up(5))
    db = sqlite3.connect(new_site.root / "rds.db")
    db.execute("CREATE TABLE FILE (sha1 TEXT, md5 TEXT, package_id INTEGER)")
    db.execute("CREATE TABLE PKG (package_id INTEGER, name TEXT)")
    db.executemany("INSERT INTO FILE VALUES (?, ?, 1)", [("0" * 40, md5(2).upper()), ("zz", "")])
    db.commit()
    db.close()
    (new_site.root / "own.txt").write_text(f"md5 {md5(3)}\n")
    known = '[[known_good]]\nname = "nsrl"\nformat = "nsrl"\npath = "rds.db"\n'
    known += '[[known_good]]\nname = "own"\nformat = "lines"\npath = "own.txt"\n'
    new_site.write_config(more=known)
    code, _, report = build(new_site)
    assert (code, len(report["held"])) == (0, 2)
    new_site.write_config(more=known + "[gates.known_good]\nmax_held = 1\n")
    code, error, report = build(new_site)
    assert (code, failed(report)) == (1, {"known_good"})
    assert "2 entries are held, and 1 is the limit" in error
    (new_site.root / "rds.db").write_bytes(b"no database, but longer than any header" * 9)
    code, error, _ = build(new_site)
    assert code == 1
    assert "not a whole NSRL" in error


def test_a_family_that_is_too_dense_is_held_and_the_rest_listed(new_site: Site) -> None:
    rng = np.random.default_rng(5)
    centre = rng.integers(0, 2, 256, np.uint8)
    family = np.repeat(centre[None], 300, 0)
    for row in family:
        row[rng.permutation(256)[:8]] ^= 1
    others = rng.integers(0, 2, (50, 256), np.uint8)
    values = [bytes(np.packbits(bits)).hex() for bits in (*family, *others)]
    write_rows(new_site.feed, [(f"p{i}", "pdq", value, "", "A") for i, value in enumerate(values)])
    new_site.write_config(more="[gates.degenerate]\nmax_family = 100\n")
    code, _, report = build(new_site)
    assert code == 0
    assert len(report["held"]) == 300
    assert {t["type"]: t["listed"] for t in report["types"]}["pdq"] == 50
    new_site.write_config(more="[gates.degenerate]\nmax_family = 100\nmax_held = 299\n")
    assert failed(build(new_site)[2]) == {"degenerate"}


def test_disputed_entries_are_held_and_two_sources_corroborate(new_site: Site) -> None:
    one, two, three = rows(3)
    no = '<feedback><negativeFeedback type="Md5"><members><member id="7"/></members></negativeFeedback></feedback>'
    yes = no.replace("negative", "affirmative")
    (new_site.root / "page.xml").write_bytes(
        ncmec([ncmec_entry(one, no), ncmec_entry(two, yes), ncmec_entry(three)])
    )
    write_rows(new_site.feed, [("same", "md5", three.md5, "", "A"), ("alone", "md5", md5(9), "", "A")])
    more = '[[feed]]\nname = "n"\nformat = "ncmec"\npath = "page.xml"\ncategories = {A = "baseline"}\n'
    more += "[gates.corroboration.minimum.baseline]\nsources = 2\nopinions = 2\n"
    new_site.write_config(more=more)
    code, _, report = build(new_site)
    assert code == 0
    few = "too few sources and opinions"
    assert sorted((held["feed"], held["why"]) for held in report["held"]) == [
        ("example-hotline", few),
        ("n", "disputed"),
        ("n", few),
    ]
    assert {gate["name"]: gate["held"] for gate in report["gates"]}["corroboration"] == 2
    assert report["entries"] == 1 + 3


def test_a_feed_cut_short_fails_and_leaves_the_one_before(in_force: Site) -> None:
    whole = vics([vics_media(row) for row in rows(50)])
    more = '[[feed]]\nname = "v"\nformat = "vics"\nprofile = "2.0/US"\npath = "v.json"\ncategories = {1 = "baseline"}\n'
    in_force.write_config(more=more)
    (in_force.root / "v.json").write_bytes(whole[:-100])
    code, error, report = build(in_force)
    assert (code, failed(report)) == (1, {"complete"})
    assert "Feed v is cut short" in error
    assert len(list(in_force.snapshots.glob("0*"))) == 1
    (in_force.root / "v.json").write_bytes(whole)
    assert build(in_force)[0] == 0


def sizes(new: bool = False, age: int = 0, **categories: int) -> list[FeedSize]:
    return [FeedSize("f", categories, DAY - timedelta(days=age), new)]


@pytest.mark.parametrize(
    ("feeds", "before", "says"),
    [
        (sizes(baseline=1500), {"baseline": 1000}, ""),
        (sizes(baseline=1600), {"baseline": 1000}, "grew from 1,000 to 1,600"),
        (sizes(baseline=800), {"baseline": 1000}, ""),
        (sizes(baseline=799), {"baseline": 1000}, "shrank from 1,000 to 799"),
        (sizes(), {"baseline": 1000}, "shrank from 1,000 to 0"),
        (sizes(baseline=800, national=200), {"baseline": 1000}, "national is now 20%, and was 0%"),
        (sizes(baseline=1000, age=31), {"baseline": 1000}, "31 days old"),
        (sizes(baseline=10), None, "is new"),
        (sizes(baseline=10, new=True), None, ""),
    ],
)
def test_drift(feeds: list[FeedSize], before: dict[str, int] | None, says: str) -> None:
    outcome = drift.check(DriftGate(min_rows=1), feeds, {"f": before} if before else {}, DAY)
    assert bool(outcome.failures) == bool(says)
    assert says in " ".join(outcome.failures)


def test_drift_has_nothing_to_compare_with_before_the_first_publish() -> None:
    assert not drift.check(DriftGate(min_rows=1), sizes(baseline=10), None, DAY).failures


def test_a_listed_hash_that_a_snapshot_misses_fails_the_canaries(new_site: Site) -> None:
    directory = new_site.build()
    trusted = TrustedKeys.of([load_public(read_limited(new_site.public_key, 9999))], 1)
    snapshot = open_snapshot(directory, trusted, now=datetime.now(UTC))
    listed = {"pdq": np.random.default_rng(1).integers(0, 256, (3, 32), np.uint8)}
    outcome = canaries.check(CanariesGate(), snapshot, listed)
    assert outcome.failures == [f"3 listed pdq hashes are not found at distance {d}." for d in (0, 31)]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload"}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_tells_all_and_needs_nothing_else(in_force: Site) -> None:
    with in_force.feed.open("a") as feed:
        feed.write("bad,md5,xyz,,A\nworse,md5,22e22862a33559570f5d13f6a43482ff,,<script>\n")
    code, _, report = build(in_force)
    assert code == 0
    page = _Page()
    source = (in_force.snapshots / "reports" / report["snapshot"] / "report.html").read_text()
    page.feed(source)
    assert page.tags.count("polyline") == 3  # by source, by category, and by category of the one source
    assert page.tags.count("figure") == page.tags.count("desc") == 3
    assert source.count('role="img"') == 3
    assert "script" not in page.tags
    assert "://" not in source
    for word in (
        report["snapshot"],
        *NAMES,
        "example-hotline",
        "malformed_hash",
        "unmapped_category",
        "sorted",
        f"Against {in_force.published().name}, which is in force.",
    ):
        assert word in page.text
    assert "+0" in page.text


def test_a_name_cannot_become_part_of_the_page(in_force: Site) -> None:
    with in_force.feed.open("a") as feed:
        feed.write("bad,md5,xyz,,<b>\nworse,md5,xyz,,</style><i>\n")
    (in_force.root / "ordinary & <i>").mkdir()
    shutil.copy(FOLDER / ORDINARY[0], in_force.root / "ordinary & <i>" / "a <i> & b.jpg")
    more = [f"w{i}" for i in range(9)]
    feeds = "".join(
        f'[[feed]]\nname = "{n}"\nformat = "csv"\npath = "hotline.csv"\ncategories = {{A = "national"}}\n'
        for n in more
    )
    write_rows(in_force.feed, [*made_up(60), *feed_rows(ORDINARY[:1], "A")])
    in_force.write_config(more=f'{feeds}[gates.benign]\npictures = "ordinary & <i>"\n')
    code, _, report = build(in_force)
    assert (code, failed(report)) == (1, {"benign"})
    [path] = in_force.snapshots.glob("reports/failed-*/report.html")
    page = _Page()
    page.feed(path.read_text())
    assert "i" not in page.tags
    assert "a <i> & b.jpg" in page.text
    assert "Stopped by benign" in page.text
    assert "others" in page.text  # ten sources are more than a plot has colours


def test_diff_names_what_was_added_removed_and_recategorised(new_site: Site) -> None:
    write_rows(new_site.feed, made_up(10))
    first = new_site.build()
    write_rows(new_site.feed, [*made_up(8, start=2), *made_up(1, "B", 1), ("new", "md5", md5(50), "", "A")])
    second = new_site.build()
    found = json.loads(done("index_builder", "diff", first, second, "--json"))
    assert found["entries"] == {"name": "entries", "before": 11, "after": 11}
    assert [len(found[key]) for key in ("added", "removed", "recategorised")] == [1, 1, 1]
    assert {"name": "national", "before": 0, "after": 1} in found["categories"]
    new_site.publish(first)
    changes = build(new_site)[2]["changes"]
    assert changes["since"] == first.name
    assert changes["listed"] == [
        {
            "source": "example-hotline",
            "category": "baseline",
            "before": 10,
            "after": 9,
            "added": 1,
            "removed": 1,
        },
        {
            "source": "example-hotline",
            "category": "national",
            "before": 0,
            "after": 1,
            "added": 0,
            "removed": 0,
        },
    ]
    assert changes["recategorised"] == [{"before": "baseline", "after": "national", "entries": 1}]
    assert {"name": "baseline", "before": 10, "after": 9} in found["categories"]
    shown = done("index_builder", "diff", first, second)
    assert found["added"][0] in shown
    back = json.loads(done("index_builder", "diff", second, first, "--json"))
    assert (back["added"], back["removed"]) == (found["removed"], found["added"])
    ids = second / "entries-ids.bin"
    ids.chmod(0o640)
    ids.write_bytes(bytes(ids.stat().st_size))
    assert run("index_builder", "diff", first, second).returncode == 1
    shutil.copy(ids, first / "entries-ids.bin.new")
    (first / "entries-ids.bin.new").rename(first / "entries-ids.bin")
    code, _, report = build(
        new_site
    )  # what is in force is damaged: that stops no build, and the report tells
    assert code == 0
    assert report["changes"]["note"].startswith(f"{first.name} is in force and cannot be read")
