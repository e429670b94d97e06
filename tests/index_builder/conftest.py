"""index-builder by its own `main`, without the second and a half that a program takes to start."""

from collections.abc import Callable
from pathlib import Path

import pytest

from index_builder.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; its exit code, standard output and standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["index-builder", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "220")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
