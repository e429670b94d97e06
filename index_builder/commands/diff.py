"""diff: what a snapshot changes, for the person who decides whether to publish it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from index_builder.commands.options import Json, print_json
from index_builder.report.snapshot_diff import compare

_SHOWN = 10


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="The directory of the older snapshot.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The directory of the newer snapshot.")],
    json: Json = False,
) -> None:
    """Compare two snapshots: counts by category, source, feed and hash type, and the entries added and removed.

    Signatures are not looked at: `verify` does that. --json names every entry by its id.
    """
    found = compare(before, after)
    if json:
        print_json(found)
        return
    table = Table("", "", "before", "after", "change", title=f"{found.before} to {found.after}")
    for kind, changes in (
        ("", [found.entries]),
        ("category", found.categories),
        ("source", found.sources),
        ("feed", found.feeds),
        ("hash type", found.types),
    ):
        for change in changes:
            moved = change.after - change.before
            table.add_row(
                kind, change.name, f"{change.before:,}", f"{change.after:,}", f"{moved:+,}" if moved else ""
            )
    console = Console()
    console.print(table)
    for name, ids in (
        ("added", found.added),
        ("removed", found.removed),
        ("recategorised", found.recategorised),
    ):
        shown = ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
        console.print(f"{len(ids):,} entries {name}{': ' if ids else ''}{shown}", soft_wrap=True)
