"""hashcheck-service hits: what an operator does with the hit log."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hashcheck_core.errors import ConfigError, DataError
from hashcheck_service.evidence.verify import Verified, verify

hits_app = typer.Typer(help="The hit log.", no_args_is_help=True)
WITNESSES = "hits"  # in the state directory


class HitLogError(DataError):
    """A hit log that is not what was written."""

    code = "bad_hit_log"


@hits_app.callback()
def _hits() -> None:
    """Keep `verify` a command of its own while it is the only one."""


@hits_app.command("verify")
def hits_verify(
    directory: Annotated[Path, typer.Argument(help="The directory of the hit log.")],
    state: Annotated[
        Path | None,
        typer.Option(
            help="The state directory of the service. With it, missing files and cut ends show too.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output.")
    ] = False,
) -> None:
    """Tell whether lines or files were changed, removed, put in or moved. The service may go on meanwhile.

    Exit codes: 0 nothing is wrong; 1 something is; 2 it could not be read.
    """
    witnesses = None
    if state is not None:
        witnesses = state / WITNESSES
        if not witnesses.is_dir():
            raise ConfigError(
                f"{state} is not the state directory of a service that keeps a hit log.",
                next_step="Give the directory that `state` names in service.toml.",
            )
    files = verify(directory, witnesses)
    if json:
        sys.stdout.write(msgspec.json.encode({"files": files}).decode() + "\n")
    else:
        _show(files)
    bad = [file.name for file in files if file.faults]
    if bad:
        raise HitLogError(
            f"{len(bad)} of {len(files)} files are not what was written, the first is {bad[0]}.",
            next_step="Copy the directory aside, and see docs/runbook.md.",
        )


def _show(files: list[Verified]) -> None:
    table = Table("file", "state", "lines", "hits", "witness")
    for file in files:
        witness = "yes" if file.witnessed else "no"
        table.add_row(Text(file.name), file.state, f"{file.lines:,}", f"{file.hits:,}", witness)
    console = Console()
    console.print(table)
    for file in files:
        for word, lines in (("wrong", file.faults), ("note", file.notes)):
            for line in lines:
                console.print(Text(f"{word}: {file.name}: {line}"))
