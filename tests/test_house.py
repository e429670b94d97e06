"""The house keeps its own rules: arrows, docs that are true, lock files, the image's steps."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from benchmarks import serve_report
from benchmarks.search_report import NUMBERS, render
from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_core.reserved import TEST_HASHES
from hashcheck_service.checking.reasons import Reason as CheckReason
from hashcheck_service.metrics import Metrics
from hashcheck_service.policy import Policy
from hashcheck_service.processes.vitals import Vitals
from hashcheck_service.settings import Limits, Settings
from index_builder.config.durations import parse_duration
from index_builder.config.feed import DELTA_FORMATS
from index_builder.config.fetch import FetchConfig
from index_builder.config.file import BatchesSection, BuildConfig
from index_builder.config.gates import Gates
from index_builder.config.known_good import KnownGoodConfig
from index_builder.config.review import Holding, Person, ReviewConfig
from index_builder.feeds.fetching.source import POLLERS
from index_builder.feeds.formats import FORMATS
from index_builder.feeds.formats.record import Reason as RejectReason
from index_builder.gates.outcome import NAMES
from tests.support import Site, done, make_site, serving

ROOT = Path(__file__).parents[1]
DOCS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
ALLOWED = {
    "hashcheck_core": {"hashcheck_core"},
    "hashcheck_stores": {"hashcheck_core", "hashcheck_stores"},
    "index_builder": {"hashcheck_core", "hashcheck_stores", "index_builder"},
    "hashcheck_service": {"hashcheck_core", "hashcheck_stores", "hashcheck_service"},
}
NOT_IN_CORE = {
    "fastapi",
    "starlette",
    "uvicorn",
    "httpx",
    "requests",
    "urllib",
    "socket",
    "asyncio",
    "pickle",
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        found = set(imports(file))
        assert found & set(ALLOWED) <= ALLOWED[package], file
        assert "pickle" not in found, file
        if package == "hashcheck_core":
            assert not found & NOT_IN_CORE, file


def test_search_and_verification_know_no_file_and_no_clock() -> None:
    pure = [*(ROOT / "hashcheck_core/search").rglob("*.py"), ROOT / "hashcheck_core/snapshot/verifier.py"]
    pure.remove(
        ROOT / "hashcheck_core/search/multi_index/jit.py"
    )  # it finds the compiler a place for its cache
    for file in pure:
        assert not set(imports(file)) & {"pathlib", "os", "io", "time", "tempfile"}, file


def test_every_setting_is_documented_with_its_default() -> None:
    text = DOCS["running.md"]
    for prefix, model in (("", Settings), ("policy.", Policy), ("limits.", Limits)):
        for name, field in model.model_fields.items():
            if name in ("policy", "limits"):
                continue
            [row] = re.findall(rf"^\| `{re.escape(prefix + name)}` \| (.*?) \|", text, re.M)
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                assert row == str(field.default), name


def test_every_metric_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(hashcheck_\w+)` \|", DOCS["running.md"], re.M))
    metrics = Metrics()
    kinds = [(kind.name, kind.type) for kind in metrics.registry.collect()]
    kinds += [(family.name, family.kind) for family in Vitals().families((), 0)]
    assert {name + ("_total" if kind == "counter" else "") for name, kind in kinds} == documented


def test_reasons_formats_and_test_hashes_are_documented() -> None:
    for reject in RejectReason:
        assert f"`{reject}`" in DOCS["building.md"]
    for reason in CheckReason:
        assert f"`{reason}`" in DOCS["checking.md"]
    for name in FORMATS:
        assert f"| `{name}` |" in DOCS["building.md"]
    contract = (ROOT / "openapi.yaml").read_text()
    for reserved in TEST_HASHES:
        for text in (DOCS["checking.md"], contract):
            assert f"| {reserved.type.name} | `{reserved.hex()}` |" in text
    for hash_type in BUILT_IN_TYPES.values():
        assert f"`{hash_type.name}`" in DOCS["checking.md"]


def test_the_config_of_the_documentation_is_one() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS["building.md"], re.S)
    config = BuildConfig.model_validate(tomllib.loads(example))
    config.hash_types()
    assert [feed.format for feed in config.feed] == ["csv", "lines"]


def test_every_gate_and_its_limits_are_documented() -> None:
    assert set(Gates.model_fields) == set(NAMES)
    for name, field in Gates.model_fields.items():
        row = re.findall(rf"^\| `{name}` \| (.*) \|$", DOCS["gates.md"], re.M)[0]
        gate = field.get_default(call_default_factory=True)
        for limit in type(gate).model_fields:
            assert limit == "enabled" or f"`{limit}`" in row, (name, limit)
    [example] = re.findall(r"```toml\n(.*?)```", DOCS["gates.md"], re.S)
    given = tomllib.loads(example)
    Gates.model_validate(given["gates"])
    assert {KnownGoodConfig.model_validate(known).format for known in given["known_good"]} == {
        "nsrl",
        "pictures",
        "lines",
    }


def test_every_key_of_fetch_is_documented_with_its_default() -> None:
    text = DOCS["fetching.md"]
    table = text[text.index("| key of `[feed.fetch]`") : text.index("**Credentials**")]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", table, re.M)
    documented = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(documented) == set(FetchConfig.model_fields)
    for name, field in FetchConfig.model_fields.items():
        if isinstance(field.default, int):
            assert documented[name] == str(field.default), name
        elif isinstance(field.default, timedelta):
            assert parse_duration(documented[name]) == field.default, name
    [example] = re.findall(r"```toml\n(.*?)```", text, re.S)
    snapshot = '[snapshot]\nexpires_after = "7d"\nsigning_key = "keys/builder.pem"\n'
    config = BuildConfig.model_validate(tomllib.loads(snapshot + example))
    polled = {feed.format for feed in config.feed if feed.fetch is not None}
    assert polled >= {*POLLERS, "csv"}
    assert set(POLLERS) == DELTA_FORMATS
    assert set(tomllib.loads(example)["batches"]) == set(BatchesSection.model_fields)


def test_the_review_of_the_documentation_is_one_and_names_only_gates_that_hold() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS["review.md"], re.S)
    review = ReviewConfig.model_validate(tomllib.loads(example)["review"])
    assert [person.name for person in review.person] == ["anna", "ben"]
    assert set(get_args(Holding)) < set(NAMES)
    for field in (*ReviewConfig.model_fields, *Person.model_fields):
        assert f"{field} = " in example or f"review.{field}]" in example


def test_the_pages_of_figures_are_made_from_their_numbers() -> None:
    assert DOCS["search.md"] == render(json.loads(NUMBERS.read_text()))
    assert DOCS["performance.md"] == serve_report.render(json.loads(serve_report.NUMBERS.read_text()))


def test_the_settings_of_the_documentation_are_all_that_is_required(new_site: Site) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS["running.md"], re.S)
    required = {name for name, field in Settings.model_fields.items() if field.is_required()}
    assert set(tomllib.loads(example)) == required
    marked = re.findall(r"^\| `(\w+)` \| required \|", DOCS["running.md"], re.M)
    assert set(marked) == required
    new_site.publish(new_site.build())
    (new_site.root / "service.toml").write_text(example)
    with serving(new_site) as server:
        assert server.client.get("/readyz").status_code == 200


def test_links_between_documents_lead_somewhere() -> None:
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", file.read_text()):
            if not target.startswith("https://"):
                assert (file.parent / target).exists(), (file, target)


def test_the_commands_of_the_documentation_exist() -> None:
    for name, program in (("index-builder", "index_builder"), ("hashcheck-service", "hashcheck_service")):
        top = done(program, "--help")
        for text in DOCS.values():
            for command in re.findall(rf"^    {name} ([a-z-]+)", text, re.M):
                assert command in top


def test_lock_files_have_hashes_and_name_no_index() -> None:
    locks = list(ROOT.glob("requirements*.txt"))
    assert len(locks) == 4
    for lock in locks:
        text = lock.read_text()
        assert not re.search(r"://|index|find-links", text), lock
        pins = re.findall(r"^[a-z0-9].*", text, re.M | re.I)
        assert all("==" in pin and pin.endswith("\\") for pin in pins), lock


def test_lock_files_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[><=\[; ]", line, maxsplit=1)[0].lower() for line in lines if line[:1].isalnum()}

    locked = {path.name: names(path.read_text().splitlines()) for path in ROOT.glob("requirements*.txt")}
    assert names(project["dependencies"]) <= locked["requirements.txt"]
    assert names(project["optional-dependencies"]["dev"]) <= locked["requirements-dev.txt"]
    assert (
        names((ROOT / "requirements-build.in").read_text().splitlines()) <= locked["requirements-build.txt"]
    )


def test_the_product_uses_every_package_it_asks_its_user_to_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[><=\[; ]", line, maxsplit=1)[0] for line in project["dependencies"]}
    called = {"faiss-cpu": "faiss", "pillow": "PIL"}
    modules = {called.get(name, name.replace("-", "_")) for name in asked}
    used = {name for package in ALLOWED for file in (ROOT / package).rglob("*.py") for name in imports(file)}
    assert modules - used == {"httptools", "uvloop"}  # what uvicorn serves with


def test_scripts_are_short_and_files_not_long() -> None:
    for script in (ROOT / "scripts").iterdir():
        lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
        assert len(lines) <= 20, script
        assert os.access(script, os.X_OK), script
    for package in ALLOWED:
        for file in (ROOT / package).rglob("*.py"):
            assert len(file.read_text().splitlines()) <= 400, file


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments) of every line, continuations joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(head, rest.strip()) for head, _, rest in (line.partition(" ") for line in lines)]


def test_the_final_image_is_plain_not_root_and_has_a_health_check() -> None:
    steps = dockerfile()
    final = steps[max(i for i, (head, _) in enumerate(steps) if head == "FROM") :]
    assert final[0] == ("FROM", "python:3.13-slim")
    assert not any("pip" in rest or "apt" in rest for head, rest in final if head == "RUN")
    [(_, user)] = [step for step in final if step[0] == "USER"]
    assert user.split(":")[0] != "0"
    assert "HEALTHCHECK" in [head for head, _ in final]


def test_the_steps_of_the_image_give_a_service_that_starts(tmp_path: Path) -> None:
    """No engine here: its COPY and RUN steps are done in a folder, but for the system's own packages."""
    source, venv, kernels = tmp_path / "src", tmp_path / "venv", tmp_path / "kernels"
    source.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(venv / "site"), "NUMBA_CACHE_DIR": str(kernels)}
    for head, rest in dockerfile():
        if head == "COPY" and "--from" not in rest:
            *names, target = rest.split()
            for name in names:
                subprocess.run(
                    ["cp", "-r", ROOT / name, source / (target if target != "./" else "")], check=True
                )
        elif head == "RUN" and "/venv" in rest:
            command = rest.replace("/venv", str(venv)).replace("python -m venv", f"{sys.executable} -m venv")
            if "--require-hashes" in command:
                # What setup has installed from the same locks stands in for installing it once more.
                command = f"{sys.executable} -c pass"
            elif "-m pip install" in command:
                command += f" --target {venv / 'site'}"
                command = command.replace(f"{venv}/bin/python", sys.executable)
            elif "uninstall" in command:
                continue
            command = command.replace(f"{venv}/bin/python -P", f"{sys.executable} -P")
            subprocess.run(shlex.split(command), cwd=source, env=environment, check=True, capture_output=True)
    assert {path.name.partition(".")[0] for path in kernels.rglob("*.nbi")} >= {"kernels", "scan", "tables"}
    site = make_site(tmp_path / "site")
    site.publish(site.build())
    assert_serves_from(site, venv / "site")


def assert_serves_from(site: Site, packages: Path) -> None:
    assert (packages / "hashcheck_service" / "openapi.yaml").read_bytes() == (
        ROOT / "openapi.yaml"
    ).read_bytes()
    # Where `python -m` is started counts before all else: in the checkout it would serve the checkout.
    environment = {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    served = subprocess.run(
        [sys.executable, "-c", "import hashcheck_core, hashcheck_service as s; print(s.__file__)"],
        cwd=site.root, env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert served.stdout.startswith(str(packages))
    with serving(site, cwd=site.root, **environment) as server:
        assert server.client.get("/readyz").status_code == 200
        assert server.client.get("/openapi.yaml").status_code == 200
