"""Options that several commands share, and how a command prints its result as JSON."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
SnapshotDir = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of one snapshot.")]


def print_json(result: object) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
