"""index-builder as its users run it: a process, a config, files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.build import write_rows
from examples.photographs import LISTED, LISTED_NATIONAL
from tests.support import Site, done, make_site, run

EPOCH = "1767225600"  # 2026-01-01


def build(site: Site, *more: str, **environment: str) -> "tuple[int, str, str]":
    result = run(
        "index_builder",
        "build",
        "--config",
        site.root / "feeds.toml",
        "--out",
        site.snapshots,
        *more,
        **environment,
    )
    return result.returncode, result.stdout, result.stderr


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_build_reports_what_it_took_and_what_it_rejected(new_site: Site) -> None:
    with new_site.feed.open("a") as feed:
        feed.write("bad,md5,xyz,,A\nworse,md5,22e22862a33559570f5d13f6a43482ff,,Z\n")
    code, out, _ = build(new_site, "--json")
    assert code == 0
    report = json.loads(out)
    photographs = len(LISTED) + len(LISTED_NATIONAL)
    assert report["version"] == 1
    assert report["entries"] == photographs + 1
    assert {t["type"]: t["listed"] for t in report["types"]} == dict.fromkeys(
        ("md5", "pdq", "phash", "sha1", "sha256"), photographs
    )
    [feed_report] = report["feeds"]
    assert (feed_report["accepted"], feed_report["rejected"]) == (photographs * 5, 2)
    assert feed_report["reasons"] == {"malformed_hash": 1, "unmapped_category": 1}
    reports = new_site.snapshots / "reports" / report["snapshot"]
    rejects = [json.loads(line) for line in (reports / "rejects.jsonl").read_text().splitlines()]
    last = 1 + photographs * 5
    assert [(r["feed"], r["line"], r["reason"]) for r in rejects] == [
        ("example-hotline", last + 1, "malformed_hash"),
        ("example-hotline", last + 2, "unmapped_category"),
    ]
    assert json.loads((reports / "report.json").read_text()) == report


def test_a_build_is_reproducible_wherever_it_is_done(new_site: Site, tmp_path: Path) -> None:
    new_site.build(SOURCE_DATE_EPOCH=EPOCH)
    twin = Site(tmp_path / "twin")
    shutil.copytree(new_site.root / "keys", twin.root / "keys")
    shutil.copy2(new_site.feed, twin.feed)
    twin.write_config()
    twin.build(SOURCE_DATE_EPOCH=EPOCH)
    ours, theirs = tree(new_site.snapshots), tree(twin.snapshots)
    ours.pop(next(name for name in ours if name.endswith("report.json")))
    theirs.pop(next(name for name in theirs if name.endswith("report.json")))
    assert ours == theirs
    assert len(ours) > 15


def test_versions_rise_and_a_build_publishes_nothing(new_site: Site) -> None:
    first, second = new_site.build(), new_site.build()
    assert first.name.startswith("00000001-")
    assert second.name.startswith("00000002-")
    assert not (new_site.snapshots / "current").exists()


def test_equal_hashes_of_several_feeds_are_one_row_with_all_entries(new_site: Site) -> None:
    shutil.copy(new_site.feed, new_site.root / "second.csv")
    new_site.write_config(
        more='[[feed]]\nname = "second"\nformat = "csv"\npath = "second.csv"\n'
        'categories = {A = "national", B = "exploitative"}\n'
    )
    code, out, _ = build(new_site, "--json")
    assert code == 0
    report = json.loads(out)
    assert {t["listed"] for t in report["types"]} == {4}
    assert report["entries"] == 9
    assert [feed["rejected"] for feed in report["feeds"]] == [0, 0]


def test_an_entry_given_two_categories_keeps_the_first_and_the_second_is_rejected(new_site: Site) -> None:
    md5 = "22e22862a33559570f5d13f6a43482f"
    new_site.feed.write_text(
        f"id,type,value,quality,category\n1,md5,{md5}1,,A\n1,md5,{md5}2,,B\n1,md5,{md5}3,,A\n"
    )
    _, out, _ = build(new_site, "--json")
    [feed] = json.loads(out)["feeds"]
    assert feed["reasons"] == {"category_conflict": 1}
    assert feed["accepted"] == 2


def test_a_configured_hash_type_is_built(new_site: Site) -> None:
    new_site.feed.write_text(f"id,type,value,quality,category\n1,dhash96,{'3c' * 12},,A\n")
    new_site.write_config(more='[[hash_type]]\nname = "dhash96"\nbits = 96\nradius = 6\n')
    snapshot = new_site.build()
    out = json.loads(
        done("index_builder", "verify", snapshot, "--trusted-keys", new_site.trusted_keys, "--json")
    )
    assert {"type": "dhash96", "listed": 1, "engine": "flat"} in out["types"]


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (lambda s: s.feed.unlink(), 2, "hotline.csv could not be read"),
        (lambda s: s.feed.write_text("id,type,value,quality,category\n"), 1, "no usable row"),
        (lambda s: s.feed.write_bytes(b""), 1, "no header"),
        (
            lambda s: s.feed.write_text("id,type,value,quality,category\n1,md5,zz,,A\n"),
            1,
            "mostly malformed_hash",
        ),
        (lambda s: (s.root / "keys" / "builder.pem").write_text("x"), 2, "not an unencrypted Ed25519"),
        (lambda s: (s.root / "keys" / "builder.ids").unlink(), 2, "builder.ids could not be read"),
        (lambda s: (s.root / "keys" / "builder.ids").write_text("zz"), 2, "index-builder keygen"),
        (lambda s: (s.root / "feeds.toml").write_text("[snapshot"), 2, "is not TOML"),
        (lambda s: s.write_config(expires_after="7 days"), 2, "snapshot.expires_after"),
        (lambda s: s.write_config(more='pahts = "x"\n'), 2, "feed.0.pahts"),
        (lambda s: s.write_config(more='[[feed]]\nname="x"\nformat="xml"\npath="x"\n'), 2, "feed.1.format"),
        (
            lambda s: s.write_config(more='[[feed]]\nname="x"\nformat="lines"\npath="x"\n'),
            2,
            "no category column",
        ),
        (lambda s: s.write_config(more='[[hash_type]]\nname="h"\nbits=63\nradius=1\n'), 2, "63 bits"),
    ],
)
def test_what_stops_a_build_is_one_clear_line_and_leaves_nothing(
    new_site: Site, spoil: object, code: int, says: str
) -> None:
    assert callable(spoil)
    spoil(new_site)
    returncode, out, error = build(new_site)
    assert (returncode, out) == (code, "")
    last = error.strip().splitlines()[-1]
    assert last.startswith("index-builder: ")
    assert says in last
    assert "Traceback" not in error
    assert not list(new_site.snapshots.glob("*"))


@pytest.mark.parametrize("kibibytes", [20, 200])
def test_a_build_that_finds_no_room_says_so_and_leaves_nothing(new_site: Site, kibibytes: int) -> None:
    """Files may not be larger than this: columns of rows, or later an array of the snapshot."""
    write_rows(new_site.feed, 5000)
    build = [
        *(sys.executable, "-W", "error", "-m", "index_builder.cli", "build"),
        *("--config", str(new_site.root / "feeds.toml"), "--out", str(new_site.snapshots)),
    ]
    limited = ["bash", "-c", f'ulimit -f {kibibytes}; exec "$@"', "bash", *build]
    result = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("index-builder: ")
    assert "(File too large). Check" in last
    assert not list(new_site.snapshots.glob("*"))


def test_an_empty_feed_is_taken_where_the_config_says_so(new_site: Site) -> None:
    new_site.feed.write_text("id,type,value,quality,category\n")
    new_site.write_config(more="allow_empty = true\n")
    assert new_site.build().is_dir()


def test_publish_moves_the_pointer_only_forward(new_site: Site) -> None:
    first, second = new_site.build(), new_site.build()
    new_site.publish(second)
    assert new_site.published() == second
    refused = run("index_builder", "publish", first, *new_site.signing)
    assert refused.returncode == 1
    assert "is not newer" in refused.stderr
    assert new_site.published() == second
    new_site.publish(second)


def test_publish_and_verify_refuse_a_damaged_snapshot(new_site: Site) -> None:
    snapshot = new_site.build()
    file = snapshot / "pdq-codes.bin"
    file.chmod(0o640)
    file.write_bytes(b"\0" * file.stat().st_size)
    for command in ("verify", "publish"):
        options = new_site.signing if command == "publish" else new_site.signing[:2]
        result = run("index_builder", command, snapshot, *options)
        assert result.returncode == 1
        assert (
            "pdq-codes.bin is not the file the manifest describes. Copy the snapshot again" in result.stderr
        )
    assert not (new_site.snapshots / "current").exists()


def test_verify_says_what_is_in_it(site: Site) -> None:
    snapshot = site.published()
    out = done("index_builder", "verify", snapshot, "--trusted-keys", site.trusted_keys)
    assert snapshot.name in out
    assert "pdq" in out


def test_keys_are_never_overwritten_and_private_ones_are_private(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    for name, mode in (("builder.pem", 0o600), ("builder.ids", 0o600), ("builder.pub", 0o644)):
        assert (site.root / "keys" / name).stat().st_mode & 0o777 == mode
    before = tree(site.root / "keys")
    assert run("index_builder", "keygen", site.root / "keys" / "builder").returncode == 2
    assert tree(site.root / "keys") == before


@pytest.mark.parametrize("program", ["index_builder", "hashcheck_service"])
def test_help_is_there_for_every_command_and_wrong_usage_exits_2(program: str) -> None:
    top = done(program, "--help")
    commands = {
        "index_builder": [
            "keygen",
            "build",
            "review",
            "accept",
            "reject",
            "verify",
            "sign",
            "publish",
            "rollback",
            "retract",
            "reinstate",
            "add",
        ],
        "hashcheck_service": ["serve", "check-config", "keys"],
    }[program]
    for command in commands:
        assert command in top
        assert "Usage" in done(program, command, "--help")
    assert run(program, "nonsense").returncode == 2
    assert run(program, commands[1]).returncode == 2


def test_entry_ids_are_stable_from_build_to_build_and_differ_by_key(new_site: Site, tmp_path: Path) -> None:
    first, second = new_site.build(), new_site.build()
    name = "entries-ids.bin"
    assert (first / name).read_bytes() == (second / name).read_bytes()
    (new_site.root / "keys" / "builder.ids").write_text("ab" * 32)
    assert (new_site.build() / name).read_bytes() != (first / name).read_bytes()


def test_a_duration_or_path_that_cannot_be_is_one_clear_line(new_site: Site) -> None:
    good = new_site.write_config().read_text()
    for old, new, says in (('"7d"', '"999999w"', "520w"), ('"hotline.csv"', '"a\\u0000b"', "NUL")):
        (new_site.root / "feeds.toml").write_text(good.replace(old, new))
        result = run(
            "index_builder", "build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots
        )
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert says in result.stderr


def test_a_pointer_that_cannot_be_read_is_replaced_only_by_a_number_given(new_site: Site) -> None:
    """Services remember the highest number: a guess could be below it."""
    snapshot = new_site.build()
    for spoilt in ("", "x" * 5000, '{"format": "hashcheck-pointer/1", "snapshot": "../../etc"}'):
        (new_site.snapshots / "current").write_text(spoilt)
        result = run("index_builder", "publish", snapshot, *new_site.signing)
        assert result.returncode == 1
        assert "--sequence" in result.stderr
        done("index_builder", "publish", snapshot, *new_site.signing, "--sequence", "7")
        assert new_site.published() == snapshot


def test_key_files_keep_the_whole_name_they_are_given(new_site: Site) -> None:
    done("index_builder", "keygen", new_site.root / "keys" / "site.2026")
    assert {f"site.2026.{kind}" for kind in ("pem", "pub", "ids")} <= {
        file.name for file in (new_site.root / "keys").iterdir()
    }
    config = new_site.write_config()
    config.write_text(config.read_text().replace("builder.pem", "site.2026.pem"))
    new_site.build()
