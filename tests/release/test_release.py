"""scripts/release: the same commit gives the same bytes, with a list of all that they bring along."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

from hashcheck_core.images.native_libraries import known_faults
from tests.release.dockerfile import ROOT

pytestmark = pytest.mark.system


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which what is here is committed, and its environment is the one here."""
    clone = tmp_path_factory.mktemp("release") / "checkout"
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    (clone / ".venv").symlink_to(ROOT / ".venv")
    git(clone, "add", "--all", "--", ":!.venv")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "what is here")
    return clone


def release(checkout: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [checkout / "scripts" / "release", out], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def released(checkout: Path) -> Path:
    out = checkout.parent / "one"
    made = release(checkout, out)
    assert made.returncode == 0, made.stderr
    return out


@pytest.fixture(scope="module")
def bom(released: Path) -> dict[str, Any]:
    [file] = released.glob("*.cdx.json")
    content = json.loads(file.read_text())
    assert isinstance(content, dict)
    return content


def test_the_same_commit_gives_the_same_bytes(checkout: Path, released: Path) -> None:
    again = checkout.parent / "two"
    assert release(checkout, again).returncode == 0
    assert len(list(released.iterdir())) == 4
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in released.iterdir()
    }


def test_the_checksums_are_of_every_other_file(released: Path) -> None:
    lines = [line.split() for line in (released / "SHA256SUMS").read_text().splitlines()]
    assert {name: digest for digest, name in lines} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in released.iterdir()
        if path.name != "SHA256SUMS"
    }


def test_wheel_and_sdist_hold_the_packages_and_nothing_else(released: Path) -> None:
    [wheel], [sdist] = released.glob("*.whl"), released.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        in_wheel = opened.namelist()
    with tarfile.open(sdist) as archive:
        in_sdist = [name.partition("/")[2] for name in archive.getnames()]
    packages = {"hashcheck_core", "hashcheck_stores", "index_builder", "hashcheck_service"}
    around = {"openapi.yaml", "LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert {name.partition("/")[0] for name in in_sdist} == packages | around
    metadata = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    assert {name.partition("/")[0] for name in in_wheel} == packages | {metadata}
    for names in (in_wheel, in_sdist):
        assert "hashcheck_core/images/native_libraries.toml" in names


def test_it_is_refused_where_it_would_not_be_what_is_committed(checkout: Path, released: Path) -> None:
    assert "there already" in release(checkout, released).stderr
    (checkout / "README.md").write_text("changed")
    refused = release(checkout, checkout.parent / "three")
    git(checkout, "checkout", "--quiet", "README.md")
    assert refused.returncode == 2
    assert "commit" in refused.stderr
    assert not (checkout.parent / "three").exists()


@pytest.mark.long  # the schema takes seconds to load
def test_the_list_of_components_is_valid_cyclonedx(bom: dict[str, Any]) -> None:
    validator = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.from_version(bom["specVersion"]))
    assert validator.validate_str(json.dumps(bom)) is None
    broken = {**bom, "components": [{"name": "a component without a type"}]}
    assert validator.validate_str(json.dumps(broken)) is not None


def test_the_list_of_components_is_of_this_product(bom: dict[str, Any]) -> None:
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["name"] == "hashcheck"
    assert bom["metadata"]["timestamp"]


def test_it_lists_every_package_of_the_lock_with_its_hashes(bom: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.txt").read_text()
    locked = {
        (name, version): set(re.findall(r"sha256:([0-9a-f]{64})", lines))
        for name, version, lines in re.findall(r"^([\w.-]+)==([^ ;]+)(.*(?:\n    --hash=.*)+)", lock, re.M)
    }
    listed = {
        (component["name"], component["version"]): {
            digest["content"]
            for reference in component["externalReferences"]
            for digest in reference["hashes"]
        }
        for component in bom["components"]
    }
    assert len(locked) == lock.count("==") - lock.count("== '") - lock.count('== "')
    assert listed == locked


def test_it_lists_the_native_libraries_in_the_wheels_that_carry_them(bom: dict[str, Any]) -> None:
    carried = {
        (component["name"], native["name"]): native["version"]
        for component in bom["components"]
        for native in component.get("components", [])
    }
    expected = {(library.carried_by, library.name) for library in known_faults().library}
    assert set(carried) == {pair for pair in expected if pair[0] != pair[1].lower()}
    assert all(carried.values())
