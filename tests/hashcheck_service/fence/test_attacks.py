"""Code inside a picture process can do nothing but read its file and answer: tried from inside."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from examples.photographs import photograph
from hashcheck_service.fence.layer import Layer, Layers, extent, missing
from tests.hashcheck_service.fence.attacks import DONE, TASK, Targets
from tests.support import Site, serving

ROOT = Path(__file__).parents[3]
WITHOUT = (sys.executable, "-m", "tests.hashcheck_service.fence.without")
NO_NAMESPACES = (*WITHOUT, "unshare:EPERM,mount:EPERM,pivot_root:EPERM")
NO_LANDLOCK = (*WITHOUT, "landlock_create_ruleset:ENOSYS")
# The interpreter may lie where only its owner may look; that this user may read all makes the attack no harder.
READS_ALL = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
USER = ("setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups", *READS_ALL)
ROOT_WITHOUT_POWERS = ("setpriv", "--bounding-set", "-all,+dac_read_search", "--inh-caps", "-all")
Outcome = tuple[Layers, list[tuple[str, str, str]]]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Targets]:
    """A service that has recorded a match, and what is to be had of it."""
    root = tmp_path_factory.mktemp("attacked") / "site"
    subprocess.run(["cp", "-r", template, root], check=True)
    site = Site(root)
    site.publish(site.build())
    with serving(site) as server:
        assert server.media(photograph("coffee.png"))["verdict"] == "match"
        files = {
            "key file": root / "keys.json",
            "list": next(site.published().glob("*.bin"), next(iter(site.published().iterdir()))),
            "hit log": next((root / "hits").glob("hits-*.jsonl")),
        }
        for path in [root, *root.rglob("*")]:  # what any user could read is refused none the less
            path.chmod(path.stat().st_mode | 0o755)
        before = {path: path.read_bytes() for path in files.values()}
        yield Targets({name: str(path) for name, path in files.items()}, {"worker": server.workers()[0]})
        assert {path: path.read_bytes() for path in files.values()} == before
        assert server.media(photograph("coffee.png"))["verdict"] == "match"


def attacked(targets: Targets, *through: str) -> Outcome:
    result = subprocess.run(
        [*through, sys.executable, "-m", TASK, msgspec.json.encode(targets).decode()],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
    )
    outcome: Outcome = msgspec.json.decode(result.stdout, type=Outcome)
    return outcome


def assert_all_refused(outcome: Outcome) -> None:
    told = outcome[1]
    assert len(told) > 60
    assert {what for _, _, what in told} <= {"EPERM", "EBADF", "SIGSYS"}, [
        one for one in told if one[2] == DONE
    ]


def test_every_act_is_refused_behind_the_whole_fence(targets: Targets) -> None:
    outcome = attacked(targets)
    assert missing(outcome[0]) == []
    assert_all_refused(outcome)


def test_every_act_of_an_ordinary_user_is_refused(targets: Targets) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; whoever runs this is one")
    outcome = attacked(targets, *USER)
    assert missing(outcome[0]) == []
    assert_all_refused(outcome)


def test_every_act_is_refused_where_a_container_gives_no_namespace(targets: Targets) -> None:
    outcome = attacked(targets, *NO_NAMESPACES)
    assert extent(outcome[0]) == "required"
    assert Layer.PID_NAMESPACE in missing(outcome[0])
    assert_all_refused(outcome)


def test_who_stays_root_without_its_powers_is_told_to_be_privileged(targets: Targets) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can stay root")
    outcome = attacked(targets, *ROOT_WITHOUT_POWERS)
    assert extent(outcome[0]) == "partial"
    assert Layer.UNPRIVILEGED in missing(outcome[0])


def test_without_a_mount_namespace_no_root_is_taken_from_others(targets: Targets) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    # In a mount namespace of the test's own, so that nothing but the test would be harmed.
    outcome = attacked(targets, "unshare", "--mount", *WITHOUT, "unshare:EPERM")
    assert {Layer.MOUNT_NAMESPACE, Layer.EMPTY_ROOT} <= set(missing(outcome[0]))
    assert_all_refused(outcome)


def test_every_act_is_refused_without_landlock_by_the_rest(targets: Targets) -> None:
    outcome = attacked(targets, *NO_LANDLOCK)
    assert extent(outcome[0]) == "partial"
    assert missing(outcome[0]) == [Layer.LANDLOCK]
    assert_all_refused(outcome)


def test_required_refuses_to_start_where_landlock_is_missing_and_best_says_so(new_site: Site) -> None:
    new_site.publish(new_site.build())
    start = [*NO_LANDLOCK, sys.executable, "-m", "hashcheck_service.cli", "serve", "--port", "0"]
    refused = subprocess.run(
        [*start, "--config", new_site.root / "service.toml"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "landlock (ENOSYS)" in refused.stderr
    assert 'fence = "best"' in refused.stderr
    new_site.write_settings('fence = "best"\n')
    with serving(new_site, prefix=NO_LANDLOCK) as server:
        assert server.client.get("/readyz").json()["fence"] == "partial"
        assert 'hashcheck_fence{layer="landlock"} 0.0' in server.client.get("/metrics").text
        assert 'hashcheck_fence{layer="seccomp"} 1.0' in server.client.get("/metrics").text
        server.wait_for_log('"partial".*"landlock": "ENOSYS".*"event": "fence".*"warning"')


def test_a_service_says_that_its_fence_is_whole(new_site: Site) -> None:
    with serving(new_site) as server:
        server.wait_for_log('"whole".*"event": "fence"')
        metrics = server.client.get("/metrics").text
        for layer in Layer:
            assert f'hashcheck_fence{{layer="{layer}"}} 1.0' in metrics


def test_a_process_that_cannot_be_dumped_is_closed_to_its_own_user() -> None:
    """As every worker is: its memory and environment hold keys."""
    if os.geteuid() != 0:
        pytest.skip("only root can start processes of another user")
    wait = "import sys; from hashcheck_service.fence.privileges import not_dumpable; {}; print(); sys.stdin.read()"

    def readable(what: str) -> bool:
        command = [*USER, sys.executable, "-c", wait.format(what)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
            process.stdout.readline()
            read = [*USER, "cat", f"/proc/{process.pid}/environ"]
            done = subprocess.run(read, capture_output=True, check=False)
            process.communicate()
            return done.returncode == 0

    assert readable("pass")
    assert not readable("not_dumpable()")
