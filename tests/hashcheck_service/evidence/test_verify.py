"""hashcheck-service hits verify, as an operator runs it."""

import json
import os
from pathlib import Path

from hashcheck_service.evidence.segment import Segment
from hashcheck_service.evidence.verify import Verified, verify
from tests.hashcheck_service.evidence.logs import files, record, started
from tests.support import done, run


def verified(root: Path, *, state: bool = True) -> tuple[bool, dict[str, Verified]]:
    """Whether nothing is wrong, and what is said of each file."""
    found = {file.name: file for file in verify(root / "hits", root / "state" if state else None)}
    return not any(file.faults for file in found.values()), found


def written(root: Path) -> list[Path]:
    """A log of two closed files."""
    with started(root, file_bytes=1) as log:
        record(log, "one")
        record(log, "two")
    return files(root)


def test_a_whole_log_passes_also_while_it_is_written(tmp_path: Path) -> None:
    with started(tmp_path, file_bytes=1) as log:
        record(log, "one")
        record(log, "two")
        good, found = verified(tmp_path)
        assert good
        assert [file.state for file in found.values()] == ["whole", "open"]
    good, found = verified(tmp_path)
    assert good
    assert [(file.state, file.hits) for file in found.values()] == [("whole", 1), ("whole", 1)]
    assert verified(tmp_path, state=False)[0]


def test_a_named_pipe_in_the_place_of_a_file_is_a_fault_and_nothing_waits_for_it(tmp_path: Path) -> None:
    first, second = written(tmp_path)
    first.unlink()
    os.mkfifo(first)
    good, found = verified(tmp_path)
    assert not good
    assert found[first.name].state == "broken"
    assert "named pipe" in found[first.name].faults[0]
    assert found[second.name].state == "whole"


def test_a_changed_byte_is_named_with_its_line(tmp_path: Path) -> None:
    first, _ = written(tmp_path)
    first.write_bytes(first.read_bytes().replace(b"acme", b"acne"))
    good, found = verified(tmp_path, state=False)
    assert not good
    assert found[first.name].faults == ["line 2 was changed, or what stood before it was"]


def test_a_file_that_is_gone_shows_by_its_witness(tmp_path: Path) -> None:
    first, second = written(tmp_path)
    first.unlink()
    good, found = verified(tmp_path)
    assert (good, found[first.name].state) == (False, "missing")
    assert first.name in found[second.name].notes[0]
    # Without the state directory it may have gone for its age.
    assert verified(tmp_path, state=False)[0]


def test_a_cut_end_shows_by_its_witness(tmp_path: Path) -> None:
    _, last = written(tmp_path)
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:1]))
    good, found = verified(tmp_path)
    assert (good, found[last.name].state) == (False, "broken")
    assert verified(tmp_path, state=False)[1][last.name].state == "unclosed"


def test_a_file_written_anew_as_a_whole_shows_by_its_witness(tmp_path: Path) -> None:
    first, second = written(tmp_path)
    (tmp_path / "forger").mkdir()
    forged = Segment(tmp_path / "forger", "hits")
    forged.start(None)
    forged.append([b'{"kind":"hits","tenant":"acme","hits":[]}'], ["acme"])
    forged.close()
    second.write_bytes(forged.path.read_bytes())
    assert verified(tmp_path, state=False)[0]
    good, found = verified(tmp_path)
    assert (good, found[second.name].state, found[first.name].state) == (False, "broken", "whole")


def test_files_of_the_format_before_pass_as_unchained(tmp_path: Path) -> None:
    (tmp_path / "hits").mkdir()
    (tmp_path / "hits" / "hits-20260101T000000.000000-1.jsonl").write_text(
        '{"match_id":"1","tenant":"acme"}\n'
    )
    good, found = verified(tmp_path, state=False)
    assert (good, [file.state for file in found.values()]) == (True, ["unchained"])


def test_the_program_says_it_by_its_exit_code_to_people_and_to_scripts(tmp_path: Path) -> None:
    first, second = written(tmp_path)
    # A service keeps its witnesses in `hits` below its state directory.
    (tmp_path / "machine").mkdir()
    (tmp_path / "state").rename(tmp_path / "machine" / "hits")
    command = ("hits", "verify", tmp_path / "hits", "--state", tmp_path / "machine")
    assert "whole" in done("hashcheck_service", *command)
    first.write_bytes(first.read_bytes().replace(b"acme", b"acne"))
    second.unlink()
    people = run("hashcheck_service", *command)
    assert people.returncode == 1
    assert "broken" in people.stdout
    assert "line 2 was changed" in people.stdout
    scripts = run("hashcheck_service", *command, "--json")
    assert scripts.returncode == 1
    assert "2 of 2 files are not what was written" in scripts.stderr
    assert [file["state"] for file in json.loads(scripts.stdout)["files"]] == ["broken", "missing"]
    nowhere = run("hashcheck_service", "hits", "verify", tmp_path / "nowhere")
    assert nowhere.returncode == 2
    assert "nowhere" in nowhere.stderr
