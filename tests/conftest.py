"""Fixtures that several rooms share: one built site, one running service, the photographs."""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from examples.feed import feed_rows
from examples.photographs import LISTED, LISTED_NATIONAL
from tests.one_piece import OnePiece
from tests.support import Server, Site, hashes_of, make_site, serving

# Whatever a test asserts, it is not how fast this machine is today.
hypothesis.settings.register_profile("hashcheck", deadline=None)
hypothesis.settings.load_profile("hashcheck")

SHARED = Path(__file__).parents[2] / "shared" / "data" / "pdq"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site whose first snapshot is built and published. Do not change it: others use it too."""
    site = make_site(tmp_path_factory.mktemp("site"))
    site.publish(site.build())
    return site


@pytest.fixture(scope="session")
def server(site: Site) -> Iterator[Server]:
    """The service of `site`."""
    with serving(site) as server:
        yield server


@pytest.fixture(params=["plainly", "with a field twice"])
def asked_both_ways(server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """`server`, asked in plain requests of one piece, and in others: they go separate ways in it."""
    other = copy.copy(server)
    with server.new_client(OnePiece()) as other.client:
        if request.param == "with a field twice":
            twice = [("X-Twice", "1"), ("X-Twice", "2")]
            other.client.headers = httpx.Headers([*other.client.headers.multi_items(), *twice])
        yield other


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with nothing built yet, for others to be copies of: making its keys and its feed takes seconds."""
    return make_site(tmp_path_factory.mktemp("template")).root


@pytest.fixture
def new_site(template: Path, tmp_path: Path) -> Site:
    """A site of the test's own, with nothing built yet."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Site(tmp_path)


@pytest.fixture(scope="session")
def listed() -> dict[str, dict[str, str]]:
    """Hashes by type of every listed photograph, by its name."""
    names = (*LISTED, *LISTED_NATIONAL)
    rows = list(feed_rows(names, ""))
    return {name: hashes_of(rows, name) for name in names}


@pytest.fixture(scope="session")
def pdq_reference() -> Path:
    """The folder of reference images and hashes, where it is there."""
    if not SHARED.is_dir():
        pytest.skip("the PDQ reference folder is not beside this checkout")
    return SHARED
