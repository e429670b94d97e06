"""hashcheck-service decoders: what it shows, and how it ends."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hashcheck_core.images.native_libraries import installed_versions
from tests.support import done

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


def test_it_shows_every_library_and_what_no_release_mends() -> None:
    shown = done("hashcheck_service", "decoders")
    for name, version in installed_versions().items():
        assert name in shown
        assert version in shown
    assert "OSV-2025-219" in shown
    told = json.loads(done("hashcheck_service", "decoders", "--json"))
    assert {row["name"]: row["version"] for row in told["libraries"]} == installed_versions()
    assert all(row["good"] for row in told["libraries"])


def test_it_fails_where_a_decoder_is_older_than_the_table_allows(tmp_path: Path) -> None:
    for package in ("hashcheck_core", "hashcheck_stores", "hashcheck_service"):
        shutil.copytree(ROOT / package, tmp_path / package)
    table = tmp_path / "hashcheck_core" / "images" / "native_libraries.toml"
    table.write_text(table.read_text().replace('minimum = "1.3.2"', 'minimum = "99.0"'))
    # In the folder where it is started a package counts before the one that is installed.
    command = [sys.executable, "-m", "hashcheck_service.cli", "decoders"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    installed = installed_versions()["libwebp"]
    assert f"libwebp {installed} is older than 99.0, which fixed CVE-2023-4863" in failed.stderr
    assert "newer lock file" in failed.stderr
