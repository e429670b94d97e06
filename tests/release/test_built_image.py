"""The image as a real builder makes it from the Dockerfile, on Debian's Python, and as nobody runs it read-only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashcheck_core.reserved import TEST_HASHES
from tests.release.dockerfile import ROOT, health_command, started_command
from tests.release.dockerignore import build_context
from tests.support import Server, make_site

pytestmark = pytest.mark.long

CERTIFICATES = Path(
    "/etc/ssl/certs/ca-certificates.crt"
)  # of this machine: an index may be reached by its own
NOBODY = 65534


class Builder:
    """buildah with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "ENGINE": "buildah",
        }

    def do(self, *command: str | Path) -> str:
        """Run a command; its standard output without the line end."""
        done = subprocess.run(
            [*map(str, command)], env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def mounted(self, image: str) -> Path:
        """The file system of an image."""
        return Path(self.do("buildah", "mount", self.do("buildah", "from", "--pull-never", image)))


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    if not (shutil.which("buildah") and shutil.which("mmdebstrap")) or os.geteuid() != 0:
        pytest.skip("buildah and mmdebstrap are missing (scripts/setup-system), or this is not root")
    folder = tmp_path_factory.mktemp("builder")
    builder = Builder(folder)
    yield builder
    builder.do("buildah", "rm", "--all")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(builder: Builder) -> Path:
    """The file system of the image, built by scripts/image on a base of Debian's Python."""
    folder = builder.folder / "base"
    folder.mkdir()
    packages = "python3,python3-venv,ca-certificates"
    builder.do("mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", folder / "base.tar")
    shutil.copy(CERTIFICATES, folder / "certificates")
    (folder / "Dockerfile").write_text(
        f"FROM scratch\nADD base.tar /\nRUN ln -s python3 /usr/bin/python\nCOPY certificates {CERTIFICATES}\n"
        f"ENV PATH=/usr/local/bin:/usr/bin:/bin PIP_CERT={CERTIFICATES} PIP_DISABLE_PIP_VERSION_CHECK=1\n"
    )
    builder.do("buildah", "build", "--tag", "localhost/python", folder)
    digest = builder.do("buildah", "images", "--format", "{{.Digest}}", "localhost/python")
    builder.do(ROOT / "scripts" / "image", f"localhost/python@{digest}", "localhost/hashcheck")
    return builder.mounted("localhost/hashcheck")


def test_a_builder_gets_the_files_that_the_quick_tests_say(builder: Builder) -> None:
    everything = builder.folder / "Everything"
    everything.write_text("FROM scratch\nCOPY . /\n")
    builder.do("buildah", "build", "--file", everything, "--tag", "localhost/everything", ROOT)
    root = builder.mounted("localhost/everything")
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == build_context(ROOT)


def test_the_image_serves_as_nobody_on_a_read_only_root(image: Path, tmp_path: Path) -> None:
    assert not (image / "venv" / "bin" / "pip").exists()
    [packages] = (image / "venv" / "lib").glob("python3*/site-packages")
    assert (packages / "obstore").is_dir(), "no extra for a bucket"
    assert (packages / "pyrage").is_dir(), "no extra for encryption"
    site = make_site(tmp_path / "site")
    site.publish(site.build())
    key = site.add_key()
    settings = (site.root / "service.toml").read_text()
    (site.root / "service.toml").write_text(
        settings.replace('"hits"', '"/hits"').replace('"state"', '"/state"')
    )
    hits, state = tmp_path / "hits", tmp_path / "state"
    hits.mkdir()
    state.mkdir()
    for path in (hits, state, site.root, *site.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    (image / "site").mkdir(exist_ok=True)
    inside = [
        "env",
        "-i",
        "PATH=/venv/bin:/usr/bin:/bin",
        "NUMBA_CACHE_DIR=/kernels",
        "PYTHONDONTWRITEBYTECODE=1",
    ]
    as_nobody = f"chroot --userspec={NOBODY}:{NOBODY} --groups= {image} {' '.join(inside)}"
    mounts = " && ".join(
        [
            f"mount --bind {image} {image}",
            f"mount -o remount,bind,ro {image}",
            f"mount -t tmpfs tmpfs {image}/tmp",
            f"mount --bind /dev {image}/dev",
            f"mount --bind /proc {image}/proc",
            f"mount --bind -o ro {site.root} {image}/site",
            f"mount --bind {hits} {image}/hits",
            f"mount --bind {state} {image}/state",
        ]
    )
    command = " ".join([*started_command(), "--host", "127.0.0.1", "--port", "0"])
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"{mounts} && exec {as_nobody} {command}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server = Server(process, key)
        server.wait_for_log('"worker_ready"')
        with server.client:
            [test] = [test for test in TEST_HASHES if test.type.name == "pdq"]
            assert server.check({"type": "pdq", "value": test.hex(), "quality": 100})["verdict"] == "match"
            picture = (ROOT / "examples" / "test-picture.png").read_bytes()
            assert server.media(picture)["verdict"] == "match"
            port = server.url.rpartition(":")[2]
            ask = [word.replace("8080", port) for word in health_command()]
            asked = ["chroot", f"--userspec={NOBODY}:{NOBODY}", "--groups=", str(image), *inside, *ask]
            assert subprocess.run(asked, check=False).returncode == 0
        assert [path.name for path in hits.iterdir()]
    finally:
        process.terminate()
        process.wait(60)
        assert process.stderr is not None
        process.stderr.close()
