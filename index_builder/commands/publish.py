"""verify and publish: what becomes of a snapshot once it is built."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock
from hashcheck_core.errors import SnapshotFormatError, SnapshotRollbackError
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.pointer import POINTER_NAME, read_pointer, write_pointer
from hashcheck_core.snapshot.signing import TrustedKeys, load_public
from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.commands.options import Json, SnapshotDir, print_json

Trusted = Annotated[
    list[Path], typer.Option("--trusted-key", help="A public key (.pub) that may sign; repeat for more.")
]
Threshold = Annotated[int, typer.Option(help="How many different trusted keys must have signed.", min=1)]


def verify(
    directory: SnapshotDir, trusted_key: Trusted, threshold: Threshold = 1, json: Json = False
) -> None:
    """Check a snapshot as the service would: signatures, expiry, every byte of every file, its canaries."""
    snapshot = open_snapshot(directory, _trusted(trusted_key, threshold), now=clock())
    if json:
        print_json(_summary(snapshot))
        return
    table = Table(
        "hash type",
        "listed",
        "engine",
        title=f"{snapshot.id}: good until {snapshot.expires_at:%Y-%m-%d %H:%M} UTC",
    )
    for section in snapshot.manifest.hashes:
        table.add_row(section.type, f"{section.listed:,}", section.engine.name)
    Console().print(table)


def publish(directory: SnapshotDir, trusted_key: Trusted, threshold: Threshold = 1) -> None:
    """Verify a snapshot and make it the current one of the directory it lies in.

    Refused unless its version is higher than that of the one in force.
    """
    directory = directory.absolute()
    snapshot = open_snapshot(directory, _trusted(trusted_key, threshold), now=clock())
    root = directory.parent
    if (root / POINTER_NAME).exists():
        try:
            current = read_pointer(root).name
        except SnapshotFormatError:
            # It names nothing, so nothing is in force that this could be older than; services refuse what is
            # older than what they serve.
            current = ""
            typer.echo(f"{root / POINTER_NAME} named no snapshot and is replaced.", err=True)
        if current and int(current[:8]) >= snapshot.version and current != snapshot.id:
            raise SnapshotRollbackError(
                f"{snapshot.id} is not newer than {current}, which is in force.",
                next_step="Build again: a new build gets the next version.",
            )
    write_pointer(root, snapshot.id)
    typer.echo(f"{snapshot.id} is now in force in {root}")


def _trusted(paths: list[Path], threshold: int) -> TrustedKeys:
    return TrustedKeys.of(
        (load_public(read_limited(path, 64 * 1024, follow_links=True)) for path in paths), threshold
    )


def _summary(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshot": snapshot.id,
        "version": snapshot.version,
        "created_at": snapshot.built_at,
        "expires_at": snapshot.expires_at,
        "signed_by": snapshot.signed_by,
        "entries": snapshot.manifest.entries.count,
        "types": [
            {"type": s.type, "listed": s.listed, "engine": s.engine.name} for s in snapshot.manifest.hashes
        ],
        "feeds": snapshot.manifest.feeds,
    }
