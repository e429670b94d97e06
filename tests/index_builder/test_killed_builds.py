"""A build killed at any of its stages leaves no half snapshot, and the next one completes as if nothing had been."""

import subprocess
import sys
from pathlib import Path

from tests.support import Site, done


def command(site: Site) -> list[str]:
    arguments = [
        "build",
        "--config",
        str(site.root / "feeds.toml"),
        "--out",
        str(site.snapshots),
        "--version",
        "9",
    ]
    return [sys.executable, "-W", "error", "-m", "index_builder.cli", *arguments]


def stages(site: Site) -> list[str]:
    """What a whole build tells on its way."""
    told = subprocess.run(command(site), capture_output=True, text=True, check=True).stderr.splitlines()
    assert len(told) > 20
    return told


def kill_at(site: Site, stage: str) -> None:
    """Start a build, and kill it as it tells of `stage`."""
    process = subprocess.Popen(command(site), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if line.rstrip("\n") == stage:
                process.kill()
                break
    process.wait()


def snapshots(site: Site) -> list[Path]:
    return sorted(site.snapshots.glob("0*"))


def test_a_build_killed_at_each_stage_leaves_nothing_half(new_site: Site) -> None:
    # The folder of reports is left by a build that was whole but for its name; a snapshot never is.
    told = stages(new_site)
    for stage in told[:: max(1, len(told) // 10)] + told[-1:]:
        for path in snapshots(new_site):
            path.rename(new_site.root / f"{path.name}-{len(list(new_site.root.iterdir()))}")
        kill_at(new_site, stage)
        for path in snapshots(new_site):  # the kill came too late: then it is whole
            done("index_builder", "verify", path, "--trusted-keys", new_site.trusted_keys)
    new_site.build()
    assert snapshots(new_site)
    assert not list(new_site.snapshots.glob(".*"))
