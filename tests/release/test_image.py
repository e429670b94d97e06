"""The image: what reaches its build, what its steps give, and on what base it may be built."""

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hashcheck_core.reserved import TEST_HASHES
from tests.release.dockerfile import ROOT, final_stage, health_command, instructions
from tests.release.dockerignore import build_context
from tests.support import make_site, serving

PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]


@pytest.mark.parametrize("package", PACKAGES["packages"])
def test_every_package_reaches_the_build(package: str) -> None:
    sent = {path for path in build_context(ROOT) if path.startswith(f"{package}/")}
    written = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*") if path.is_file()}
    assert sent == {path for path in written if "__pycache__" not in path}


def test_nothing_else_reaches_the_build() -> None:
    copied = {name for head, rest in instructions() if head == "COPY" for name in rest.split()[:-1]}
    assert {path.partition("/")[0] for path in build_context(ROOT)} == {
        name for name in copied if not name.startswith(("-", "/"))
    }


def test_the_final_image_is_plain_not_root_and_has_a_health_check() -> None:
    final = final_stage()
    assert not any("pip" in rest or "apt" in rest for head, rest in final if head == "RUN")
    [(_, user)] = [step for step in final if step[0] == "USER"]
    assert user.split(":")[0] != "0"
    assert health_command()


def test_no_base_image_is_named_in_the_dockerfile() -> None:
    """Whoever builds names it, by its digest; a default would be a tag, and a tag can change."""
    assert instructions()[0] == ("ARG", "PYTHON_IMAGE")
    assert {rest.partition(" ")[0] for head, rest in instructions() if head == "FROM"} == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize(
    "base", ["", "python:3.13-slim", "python:3.13-slim@sha256:abc", f"@sha256:{'a' * 64}"]
)
def test_an_image_is_not_built_on_a_base_without_a_digest(base: str, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    engine.chmod(0o755)
    environment = {**os.environ, "ENGINE": str(engine)}
    script = [str(ROOT / "scripts" / "image"), *([base] if base else [])]
    refused = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "digest" in refused.stderr
    assert not (tmp_path / "called").exists()
    subprocess.run([script[0], f"python:3.13-slim@sha256:{'a' * 64}"], env=environment, check=True)
    assert (tmp_path / "called").exists()


def test_the_steps_of_the_image_give_a_service_that_starts(tmp_path: Path) -> None:
    """The COPY and RUN steps as the file has them, on what `.dockerignore` leaves, in a folder in the place of `/`.

    What setup has installed from the same locks stands in for installing them once more: a long test does that.
    """
    here = {name: tmp_path / name for name in ("src", "build", "venv", "wheel", "kernels")}
    here["src"].mkdir()
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(here["kernels"]),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    sent = build_context(ROOT)
    for head, rest in instructions():
        if head == "COPY" and "--from" not in rest:
            *names, target = rest.split()
            copy(sent, names, here["src"] / target)
        elif head == "RUN" and "/hits" not in rest:
            run_step(rest, here, environment)
    assert {path.name.partition(".")[0] for path in here["kernels"].rglob("*.nbi")} >= {
        "kernels",
        "scan",
        "tables",
        "json_kernel",
        "msgpack_kernel",
    }
    python = here["venv"] / "bin" / "python"
    site = make_site(tmp_path / "site")
    site.publish(site.build())
    with serving(site, cwd=site.root, python=python, PYTHONDONTWRITEBYTECODE="1") as server:
        assert server.client.get("/openapi.yaml").text == (ROOT / "openapi.yaml").read_text()
        [sha256] = [test for test in TEST_HASHES if test.type.name == "sha256"][:1]
        assert server.check({"type": "sha256", "value": sha256.hex()})["verdict"] == "match"
        port = server.url.rpartition(":")[2]
        asked = [str(python), *(word.replace("8080", port) for word in health_command()[1:])]
        assert subprocess.run(asked, check=False).returncode == 0
    assert subprocess.run(asked, check=False, stderr=subprocess.DEVNULL).returncode != 0


def copy(sent: set[str], names: list[str], target: Path) -> None:
    """COPY: files into a folder, or one folder's content, of what reaches the build."""
    for name in names:
        found = [path for path in sent if path == name or path.startswith(f"{name}/")]
        assert found, f"COPY {name}: .dockerignore leaves nothing of it"
        for path in found:
            to = target / (path if path == name else path.removeprefix(f"{name}/"))
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes((ROOT / path).read_bytes())


def run_step(command: str, here: dict[str, Path], environment: dict[str, str]) -> None:
    """RUN, with the folders of the image moved below `here`."""
    if "--require-hashes" in command:
        environment_of = here["venv"] if "--python" in command else here["build"]
        [packages] = (environment_of / "lib").glob("python3*/site-packages")
        [installed] = Path(sys.prefix, "lib").glob("python3*/site-packages")
        (packages / "installed-by-setup.pth").write_text(f"{installed}\n")
        return
    for name, folder in here.items():
        command = command.replace(f"/{name}", shlex.quote(str(folder)))
    command = command.replace("python -m venv ", f"{shlex.quote(sys.executable)} -m venv --without-pip ")
    done = subprocess.run(
        ["sh", "-c", command], cwd=here["src"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"
