"""Every trap in every kind of known-good set: what is known is known, and a veto that is not whole stops a build."""

from pathlib import Path

import pytest

from hashcheck_core.errors import HashcheckError
from hashcheck_core.hash_types import BUILT_IN_TYPES
from index_builder.config.known_good import KnownGoodConfig
from index_builder.gates.known_good_sets import read_known_good
from tests.index_builder.conftest import Run
from tests.index_builder.test_gates import made_up, write_rows
from tests.specimens.known_good import known_good_specimens
from tests.support import Site

BY_NAME = {f"{specimen.format}-{specimen.trap}": specimen for specimen in known_good_specimens()}


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_known_is_known_and_what_is_not_whole_is_refused(name: str, tmp_path: Path) -> None:
    specimen = BY_NAME[name]
    path = tmp_path / "set"
    specimen.make(path)
    config = KnownGoodConfig.model_validate({"name": "own", "format": specimen.format, "path": path})
    found: set[str] = set()

    def read() -> None:
        for part in read_known_good(config, BUILT_IN_TYPES):
            if part.type == "md5":
                found.update(code.tobytes().hex() for code in part.codes)

    if specimen.error is None:
        read()
        assert found == specimen.hashes
    else:
        with pytest.raises(HashcheckError) as refused:
            read()
        assert specimen.error in str(refused.value)
        assert refused.value.next_step


def test_a_set_that_is_suddenly_empty_leaves_the_list_in_force(new_site: Site, run_here: Run) -> None:
    write_rows(new_site.feed, made_up(5))
    known = new_site.root / "known"
    new_site.write_config(more='[[known_good]]\nname = "own"\nformat = "lines"\npath = "known"\n')
    build = ("build", "--config", new_site.root / "feeds.toml", "--out", new_site.snapshots)
    BY_NAME["lines-plain"].make(known)
    assert run_here(*build)[0] == 0
    [built] = new_site.snapshots.glob("0*")
    run_here("publish", built, *new_site.signing)
    BY_NAME["lines-empty"].make(known)
    code, _, error = run_here(*build)
    assert (code, "Known-good set 'own' has no hash" in error) == (1, True)
    assert new_site.published() == built
    assert list(new_site.snapshots.glob("0*")) == [built]


def test_every_kind_of_set_has_its_specimens() -> None:
    of: dict[str, set[str]] = {}
    for specimen in BY_NAME.values():
        of.setdefault(specimen.format, set()).add(specimen.trap)
    common = {"truncated", "empty", "no-bytes", "not-it", "not-there", "row-twice"}
    for kind in ("nsrl", "lines", "pictures"):
        assert common <= of[kind], kind
    for kind in ("nsrl", "lines"):
        assert {"wrong-encoding", "ten-megabytes", "bad-rows"} <= of[kind], kind
