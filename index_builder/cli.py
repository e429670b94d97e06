"""index-builder: the command line. Each command is a thin rim around a function of this package."""

import secrets
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock, run
from hashcheck_core.errors import SnapshotFormatError, SnapshotRollbackError
from hashcheck_core.snapshot.files import read_limited, transport_error, write_durably
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.pointer import POINTER_NAME, read_pointer, write_pointer
from hashcheck_core.snapshot.signing import TrustedKeys, generate_pair, key_id, load_public
from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.build import build as build_snapshot
from index_builder.build import next_version
from index_builder.config import load_config
from index_builder.progress import shown
from index_builder.report import feed_table, report_directory

app = typer.Typer(
    help="Build, verify and publish the signed snapshots that hashcheck-service serves. Works offline.\n\n"
    "Exit codes: 0 done; 1 the data are bad; 2 it could not be tried.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Trusted = Annotated[
    list[Path], typer.Option("--trusted-key", help="A public key (.pub) that may sign; repeat for more.")
]
Threshold = Annotated[int, typer.Option(help="How many different trusted keys must have signed.", min=1)]
SnapshotDir = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of one snapshot.")]


@app.command()
def keygen(
    stem: Annotated[
        Path, typer.Argument(metavar="NAME", help="Where to write: NAME.pem, NAME.pub, NAME.ids.")
    ],
) -> None:
    """Make a signing pair, and the key that entry ids are made with.

    NAME.pem signs: keep it on the building machine only. NAME.pub is what hashcheck-service trusts. NAME.ids
    makes entry ids: keep it as secret as NAME.pem, and keep it for good, or every entry gets a new id.
    """
    private, public = generate_pair()
    try:
        stem.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise transport_error(stem.parent, error, "made") from None
    pem, ids, pub = (stem.with_name(stem.name + suffix) for suffix in (".pem", ".ids", ".pub"))
    write_durably(pem, private, 0o600)
    write_durably(ids, secrets.token_hex(32).encode() + b"\n", 0o600)
    write_durably(pub, public, 0o644)
    typer.echo(f"{pub}: key {key_id(load_public(public))}")


@app.command()
def build(
    config: Annotated[Path, typer.Option(help="feeds.toml: which feeds, and what their codes mean.")],
    out: Annotated[Path, typer.Option(help="The directory that holds all snapshots.")],
    version: Annotated[
        int | None, typer.Option(min=1, max=99_999_999, help="Default: one above the highest in --out.")
    ] = None,
    json: Json = False,
) -> None:
    """Read every feed, vet every row, and write one signed snapshot. Nothing is published.

    Bad rows are rejected and written to OUT/reports/SNAPSHOT/rejects.jsonl with line and reason. The same
    feeds, keys, version and SOURCE_DATE_EPOCH give the same bytes.
    """
    settings = load_config(config)
    with shown() as progress:
        report = build_snapshot(
            settings, out, now=clock(), version=version or next_version(out), progress=progress
        )
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    console = Console()
    console.print(feed_table(report))
    for kind in report.types:
        console.print(f"{kind.type}: {kind.listed:,} listed, {kind.plan}")
    if any(feed.rejected for feed in report.feeds):
        console.print(
            f"Rejected rows: {report_directory(out, report.snapshot) / 'rejects.jsonl'}", soft_wrap=True
        )
    console.print(f"Built {report.directory}", soft_wrap=True)


@app.command()
def verify(
    directory: SnapshotDir, trusted_key: Trusted, threshold: Threshold = 1, json: Json = False
) -> None:
    """Check a snapshot as the service would: signatures, expiry, every byte of every file, its canaries."""
    snapshot = open_snapshot(directory, _trusted(trusted_key, threshold), now=clock())
    if json:
        sys.stdout.write(msgspec.json.encode(_summary(snapshot)).decode() + "\n")
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


@app.command()
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


def main() -> None:
    run(app, "index-builder")


if __name__ == "__main__":
    main()
