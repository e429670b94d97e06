"""The lock files: they have hashes, name no index, and hold all that the project and its image need."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(lines: list[str]) -> set[str]:
    """The packages that requirement lines name."""
    return {re.split(r"[><=\[; ]", line, maxsplit=1)[0].lower() for line in lines if line[:1].isalnum()}


def locked(file: str) -> set[str]:
    return names((ROOT / file).read_text().splitlines())


def test_lock_files_have_hashes_and_name_no_index() -> None:
    locks = list(ROOT.glob("requirements*.txt"))
    assert len(locks) == 4
    for lock in locks:
        text = lock.read_text()
        assert not re.search(r"://|index|find-links", text), lock
        pins = re.findall(r"^[a-z0-9].*", text, re.M | re.I)
        assert all("==" in pin and pin.endswith("\\") for pin in pins), lock


def test_the_lock_of_the_product_holds_its_extras_too() -> None:
    """The image is made from it, and a site with a bucket or an encrypted store runs the same image."""
    for asked in (
        PROJECT["dependencies"],
        *(PROJECT["optional-dependencies"][extra] for extra in ("s3", "age")),
    ):
        assert names(asked) <= locked("requirements.txt")


def test_the_other_lock_files_hold_what_is_asked_for() -> None:
    assert names(PROJECT["optional-dependencies"]["dev"]) <= locked("requirements-dev.txt")
    assert names((ROOT / "requirements-build.in").read_text().splitlines()) <= locked(
        "requirements-build.txt"
    )


def test_what_is_tested_is_what_is_shipped() -> None:
    def pins(file: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9][^ ;]*==[^ ;]+)", (ROOT / file).read_text(), re.M))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
    assert pins("requirements-build.txt") <= pins("requirements-dev.txt")


@pytest.mark.long
def test_it_installs_without_the_lock_and_has_wheels_for_every_python_and_processor() -> None:
    checked = subprocess.run(
        [ROOT / "scripts" / "check-install"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr.count("Python 3.1") == 7
