"""The house keeps its own rules: arrows, docs that are true, sizes."""

import ast
import json
import os
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from benchmarks import serve_report
from benchmarks.search_report import NUMBERS, render
from hashcheck_core.durations import parse_duration
from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_core.reserved import TEST_HASHES
from hashcheck_service.checking.reasons import Reason as CheckReason
from hashcheck_service.http1.faults import Fault
from hashcheck_service.metrics import Metrics
from hashcheck_service.policy import Policy
from hashcheck_service.processes.vitals import Vitals
from hashcheck_service.settings import Limits, Settings
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
from tests.support import Site, done, serving

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
    for fault in Fault:
        assert f"| `{fault}` |" in DOCS["checking.md"]
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


def test_the_product_uses_every_package_it_asks_its_user_to_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[><=\[; ]", line, maxsplit=1)[0] for line in project["dependencies"]}
    called = {"faiss-cpu": "faiss", "pillow": "PIL"}
    modules = {called.get(name, name.replace("-", "_")) for name in asked}
    used = {name for package in ALLOWED for file in (ROOT / package).rglob("*.py") for name in imports(file)}
    assert modules - used == {"uvloop"}  # what uvicorn serves with


def test_scripts_are_short_and_files_not_long() -> None:
    for script in (ROOT / "scripts").iterdir():
        lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
        assert len(lines) <= 20, script
        assert os.access(script, os.X_OK), script
    for package in ALLOWED:
        for file in (ROOT / package).rglob("*.py"):
            assert len(file.read_text().splitlines()) <= 400, file
