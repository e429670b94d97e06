"""verify, sign, publish and rollback: what becomes of a snapshot once it is built."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock
from hashcheck_core.durations import parse_duration
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, Role, first_keys
from hashcheck_core.snapshot.opener import open_snapshot
from hashcheck_core.snapshot.pointer import Pointer
from hashcheck_core.snapshot.snapshot import Snapshot
from index_builder.commands.options import (
    Identity,
    Json,
    Recipients,
    SigningKeys,
    SnapshotDir,
    StoreLocation,
    TrustedKeysFile,
    print_json,
    private_keys,
    publisher,
)
from index_builder.commands.progress import shown
from index_builder.publishing.countersign import countersign

GoodFor = Annotated[
    timedelta | None,
    typer.Option(
        "--good-for",
        parser=parse_duration,
        metavar="DURATION",
        help="Sign the pointer for so long only, such as 2d; default: as long as the snapshot is good.",
    ),
]


def verify(directory: SnapshotDir, trusted_keys: TrustedKeysFile, json: Json = False) -> None:
    """Check a snapshot as the service would: signatures, expiry, every byte of every file, its canaries."""
    now = clock()
    keys = first_keys(read_limited(trusted_keys, MAX_KEYS_BYTES, follow_links=True))
    snapshot = open_snapshot(directory, keys.of(Role.SNAPSHOT, now), now=now)
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


def sign(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A snapshot's directory, or a keys file, pointer or overlay."),
    ],
    key: SigningKeys,
    manifest_only: Annotated[
        bool, typer.Option(help="Sign a snapshot of which only manifest.json and manifest.sig are here.")
    ] = False,
) -> None:
    """Add signatures to what was made elsewhere. Needs no feed, and puts nothing in force.

    The files of a snapshot are checked against its manifest before it is signed.
    """
    signed = countersign(path, private_keys(key), manifest_only=manifest_only)
    typer.echo(f"{signed.what}: signed by {', '.join(signed.signed_by)}")


def publish(
    directory: SnapshotDir,
    trusted_keys: TrustedKeysFile,
    key: SigningKeys,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where services look: a directory, or s3://bucket/prefix; default: the directory DIR is in."
        ),
    ] = None,
    good_for: GoodFor = None,
    identity: Identity = None,
    recipient: Recipients = None,
    sequence: Annotated[
        int | None, typer.Option(min=1, help="Replace a pointer that cannot be read, by one of this number.")
    ] = None,
    json: Json = False,
) -> None:
    """Verify a snapshot, bring it to the store, read it back, and put it in force with a signed pointer.

    Refused unless its version is higher than that of the one in force. Of two who publish at once one is refused.
    """
    location = store or str(directory.absolute().parent)
    making = publisher(location, trusted_keys, key, identity, recipient)
    with shown() as progress:
        pointer = making.publish(
            directory.absolute(),
            good_until=_until(making.now, good_for),
            sequence=sequence,
            on_file=lambda name: progress.step(f"storing {name}"),
        )
    _tell(pointer, location, json=json)


def rollback(
    version: Annotated[int, typer.Argument(help="The version to go back to; the store must have it.", min=1)],
    store: StoreLocation,
    trusted_keys: TrustedKeysFile,
    key: SigningKeys,
    good_for: GoodFor = None,
    identity: Identity = None,
    recipient: Recipients = None,
    json: Json = False,
) -> None:
    """Put an older snapshot in force again, with a new signed pointer. Every byte of it is verified first."""
    making = publisher(store, trusted_keys, key, identity, recipient)
    pointer = making.rollback(version, good_until=_until(making.now, good_for))
    _tell(pointer, store, json=json)


def _until(now: datetime, good_for: timedelta | None) -> datetime | None:
    return None if good_for is None else now + good_for


def _tell(pointer: Pointer, store: str, *, json: bool) -> None:
    if json:
        print_json(
            {
                "snapshot": pointer.snapshot,
                "version": pointer.version,
                "sequence": pointer.sequence,
                "expires_at": pointer.expires_at,
            }
        )
    else:
        typer.echo(f"{pointer.snapshot} is now in force in {store}, by pointer {pointer.sequence}")


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
