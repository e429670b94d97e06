"""A site with one built snapshot, and a clock."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.hashcheck_service.test_following import Hands
from tests.support import Site, make_site


@pytest.fixture(scope="session")
def one_built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = make_site(tmp_path_factory.mktemp("built"))
    site.build()
    return site


@pytest.fixture
def place(one_built: Site, tmp_path: Path) -> Site:
    """A site of the test's own with one snapshot, which no pointer names."""
    shutil.copytree(one_built.root, tmp_path / "place")
    return Site(tmp_path / "place")


@pytest.fixture
def hands() -> Hands:
    return Hands(datetime.now(UTC))
