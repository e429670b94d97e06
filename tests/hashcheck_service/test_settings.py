"""Mistakes in settings: all of them at once, each with the place it stands in and what to do."""

from pathlib import Path

import pytest

from hashcheck_core.config import paths
from hashcheck_core.errors import ConfigMistakesError, HashcheckError
from hashcheck_service.settings import Settings, load_settings
from tests.support import Site, run

GOOD = 'snapshots = "snapshots"\ntrusted_keys = "keys.json"\nstate = "state"\napi_keys = "api.json"\nhit_log = "hits"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text(GOOD)
    return path


def told(file: Path, text: str = "", **variables: str) -> list[str]:
    """The sentences of every mistake."""
    file.write_text(GOOD + text)
    try:
        load_settings(file, variables)
    except ConfigMistakesError as error:
        return [str(one) for one in error.errors]
    return []


def test_settings_without_a_mistake_are_read(file: Path) -> None:
    settings = load_settings(
        file,
        {
            "HASHCHECK_POLL_SECONDS": "5",
            "HASHCHECK_HIT_LOG_DAYS": "7",
            "HASHCHECK_SERVE_STALE": "true",
            "HASHCHECK_LIMITS": '{"max_items": 5, "max_ref_chars": 6}',
            "HASHCHECK_LIMITS__MAX_ITEMS": "500",
            "HASHCHECK_POLICY__CATEGORIES": '["baseline", "national"]',
            "HASHCHECK_POLICY__RADIUS__PDQ": "24",
            "HASHCHECK_TRUST_FLOOR__POINTER": "41",
            "HASHCHECK_TENANTS__ACME__WEIGHT": "2",
            "PATH": "/bin",
        },
    )
    assert (settings.poll_seconds, settings.hit_log_days, settings.serve_stale) == (5.0, 7, True)
    assert (settings.limits.max_items, settings.limits.max_ref_chars) == (500, 6)
    assert settings.policy.categories == {"baseline", "national"}
    assert settings.policy.radius == {"pdq": 24}
    assert settings.trust_floor.numbers == (41, 0, 0)
    assert settings.tenants["acme"].weight == 2
    assert settings.state == file.parent / "state"


def test_variables_stand_above_the_file_key_by_key(file: Path) -> None:
    file.write_text(GOOD + "[limits]\nmax_items = 3\nmax_ref_chars = 9\n")
    settings = load_settings(file, {"HASHCHECK_LIMITS__MAX_ITEMS": "4"})
    assert (settings.limits.max_items, settings.limits.max_ref_chars) == (4, 9)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "HASHCHECK_POLL_SECOND",
            "5",
            "HASHCHECK_POLL_SECOND: there is no such variable. Did you mean HASHCHECK_POLL_SECONDS?",
        ),
        ("HASHCHECK_LIMITS__MAX_ITEM", "3", "Did you mean HASHCHECK_LIMITS__MAX_ITEMS?"),
        ("HASHCHECK_LIMITS_MAX_ITEMS", "3", "Did you mean HASHCHECK_LIMITS__MAX_ITEMS?"),
        ("HASHCHECK_POLICY__RADUIS", '{"pdq": 1}', "Did you mean HASHCHECK_POLICY__RADIUS?"),
        ("HASHCHECK_METRICS_WITHOUT_KEYS", "true", "Did you mean HASHCHECK_METRICS_WITHOUT_KEY?"),
        ("hashcheck_poll_second", "5", "hashcheck_poll_second: there is no such variable"),
        ("HASHCHECK_PORT", "8080", "HASHCHECK_PORT: there is no such variable"),
        ("HASHCHECK_", "x", "HASHCHECK_: there is no such variable"),
        ("HASHCHECK_POLL_SECONDS", "abc", "HASHCHECK_POLL_SECONDS: Input should be a valid number"),
        ("HASHCHECK_POLL_SECONDS", "-1", "HASHCHECK_POLL_SECONDS: Input should be greater than 0"),
        ("HASHCHECK_LIMITS__MAX_ITEMS", "0", "HASHCHECK_LIMITS__MAX_ITEMS: "),
        ("HASHCHECK_POLICY", '{"radius": {"pdq": 99}}', "HASHCHECK_POLICY: radius 99 of pdq is above 64"),
        (
            "HASHCHECK_LIMITS",
            '{"max_item": 3}',
            "HASHCHECK_LIMITS: max_item: there is no such key. Did you mean max_items?",
        ),
        ("HASHCHECK_POLICY__CATEGORIES", "baseline", "HASHCHECK_POLICY__CATEGORIES is not JSON"),
        ("HASHCHECK_POLICY__CATEGORIES", '["basline"]', "HASHCHECK_POLICY__CATEGORIES: 0: Input should be 'baseline'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_variable_names_the_variable(file: Path, name: str, value: str, says: str) -> None:
    [mistake] = told(file, **{name: value})
    assert says in mistake
    assert str(file) not in mistake


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('poll_seconds = "x"', "service.toml: poll_seconds: Input should be a valid number"),
        ("poll_secs = 1", "service.toml: poll_secs: there is no such key. Did you mean poll_seconds?"),
        ("max_items = 3", "service.toml: max_items: there is no such key. Did you mean limits.max_items?"),
        (
            "limits.max_item = 3",
            "service.toml: limits.max_item: there is no such key. Did you mean max_items?",
        ),
        ("limits.colour = 3", "service.toml: limits.colour: there is no such key. See docs/running.md"),
        ("tenants.acme.weigth = 3", "tenants.acme.weigth: there is no such key. Did you mean weight?"),
        ("limits.max_items = 0", "limits.max_items: Input should be greater than or equal to 1"),
        ('policy.categories = ["basline"]', "policy.categories.0: Input should be 'baseline', 'national'"),
        ("policy.radius = {pdq = 99}", "policy: radius 99 of pdq is above 64"),
        (
            'policy.match_actions = {national = "ban"}',
            "policy.match_actions.national: Input should be 'allow'",
        ),
        ('serve_stale = "maybe"', "serve_stale: Input should be a valid boolean"),
        ("hit_log_days = 1.5", "hit_log_days: Input should be a valid integer"),
        ("policy = 3", "policy: Input should be a valid dictionary"),
        ("trust_floor.pointer = -1", "trust_floor.pointer: Input should be greater than or equal to 0"),
        ("x y", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_names_the_key(file: Path, line: str, says: str) -> None:
    [mistake] = told(file, line + "\n")
    assert says in mistake
    assert str(file) in mistake


def test_what_is_required_and_missing_is_named(file: Path) -> None:
    file.write_text('snapshots = "x"\n')
    with pytest.raises(ConfigMistakesError) as caught:
        load_settings(file, {})
    sentences = [str(one) for one in caught.value.errors]
    assert [s.split(": ")[1] for s in sentences] == ["trusted_keys", "state", "api_keys", "hit_log"]
    assert all("it is required" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HASHCHECK_SERVICE_HOST", "10.0.0.1"),
        ("HASHCHECK_SERVICE_PORT", "8080"),
        ("HASHCHECK_SERVICE_PORT_HTTP", "8080"),
        ("HASHCHECK_PORT", "tcp://10.0.0.1:8080"),
        ("HASHCHECK_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("HASHCHECK_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("HASHCHECK_LEDGER_SERVICE_HOST", "10.0.0.2"),
        ("HASHCHECK_LEDGER_PORT", "udp://10.0.0.2:8090"),
        ("HASHCHECK_RECIPIENTS", "age1x"),
        ("OTHER_HASHCHECK_POLL", "x"),
    ],
)
def test_what_an_orchestrator_puts_there_for_a_service_of_that_name_is_no_mistake(
    file: Path, name: str, value: str
) -> None:
    assert told(file, **{name: value}) == []


def test_every_key_can_be_set_by_a_variable_of_its_name(file: Path) -> None:
    """A value that fits none is refused under the variable's own name: so each name is known."""
    names = ["HASHCHECK_" + "__".join(path).upper() for path in paths(Settings)]
    assert len(names) > 40
    for name in names:
        for mistake in told(file, **{name: "\0"}):
            assert mistake.startswith(name), mistake


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(HashcheckError, match="could not be read"):
        load_settings(tmp_path / "none.toml", {})


def test_the_program_tells_every_mistake_on_a_line_of_its_own(new_site: Site) -> None:
    new_site.add_key()
    config = new_site.write_settings("poll_secs = 1\n[limits]\nmax_items = 0\n")
    result = run("hashcheck_service", "check-config", "--config", config, HASHCHECK_SERVE_STAIL="true")
    lines = result.stderr.splitlines()
    assert (result.returncode, len(lines)) == (2, 3)
    assert all(line.startswith("hashcheck-service: ") for line in lines)
    assert [part in result.stderr for part in ("HASHCHECK_SERVE_STAIL", "poll_secs", "limits.max_items")] == [
        True
    ] * 3


def test_feeds_toml_is_told_in_the_same_way(new_site: Site) -> None:
    config = new_site.write_config(more="retries = 3\n[gates.drift]\nmax_grow = 1\n[snapshots]\n")
    result = run("index_builder", "build", "--config", config, "--out", new_site.snapshots)
    assert result.returncode == 2
    assert [line.split(": ", 1)[1] for line in result.stderr.splitlines()] == [
        f"{config}: feed.0.retries: there is no such key. See docs/building.md for every key.",
        f"{config}: gates.drift.max_grow: there is no such key. Did you mean max_growth?",
        f"{config}: snapshots: there is no such key. Did you mean snapshot?",
    ]
