"""keygen, and keys: who may sign what, and how that changes."""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock
from hashcheck_core.durations import parse_duration
from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.files import read_limited, transport_error, write_durably
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, Keys, Role, first_keys, new_keys_file
from hashcheck_core.snapshot.signed import SignedDocument, new_document
from hashcheck_core.snapshot.signing import generate_pair, key_id, load_private, load_public
from index_builder.commands.options import (
    SigningKeys,
    StoreLocation,
    TrustedKeysFile,
    private_keys,
    publisher,
)

_FIRST_YEARS = timedelta(weeks=104)

keys_app = typer.Typer(
    help="The keys file: who may sign what, and its succession.", no_args_is_help=True, add_completion=False
)
KeysFileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A keys file.")]
Public = list[Path] | None


def keygen(
    stem: Annotated[
        Path, typer.Argument(metavar="NAME", help="Where to write: NAME.pem, NAME.pub, NAME.ids, NAME.json.")
    ],
) -> None:
    """Make a signing pair, the key that entry ids are made with, and a first keys file.

    NAME.pem signs: keep it on the building machine only. NAME.json is what hashcheck-service trusts: this key alone,
    for everything, for two years; `keys make` makes one with more keys. NAME.pub is the public key for that. NAME.ids
    makes entry ids: keep it as secret as NAME.pem, and keep it for good, or every entry gets a new id.
    """
    private, public = generate_pair()
    try:
        stem.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise transport_error(stem.parent, error, "made") from None
    pem, ids, pub, trusted = (
        stem.with_name(stem.name + suffix) for suffix in (".pem", ".ids", ".pub", ".json")
    )
    write_durably(pem, private, 0o600)
    write_durably(ids, secrets.token_hex(32).encode() + b"\n", 0o600)
    write_durably(pub, public, 0o644)
    now, key = clock(), load_public(public)
    file = new_keys_file(1, now, now + _FIRST_YEARS, {role: ([key], 1) for role in Role})
    write_durably(trusted, new_document(file, [load_private(private)]).encode(), 0o644)
    typer.echo(f"{pub}: key {key_id(load_public(public))}")


def identity(
    file: Annotated[Path, typer.Argument(help="Where to write the identity: keep it on that host only.")],
) -> None:
    """Make an age identity for a host that reads an encrypted store, and print its recipient."""
    try:
        from hashcheck_stores.sealed import new_identity
    except ImportError:
        raise ConfigError(
            "Encryption needs a library that is not installed.", next_step="Run: pip install 'hashcheck[age]'"
        ) from None
    secret, recipient = new_identity()
    write_durably(file, f"# {recipient}\n{secret}\n".encode(), 0o600)
    typer.echo(recipient)


@keys_app.command()
def make(
    out: KeysFileArgument,
    key: SigningKeys,
    root: Annotated[list[Path], typer.Option(help="A public key that may sign keys files; repeat for more.")],
    root_threshold: Annotated[int, typer.Option(min=1, help="How many of them must.")] = 1,
    snapshot: Annotated[Public, typer.Option(help="May sign snapshots; default: the root keys.")] = None,
    snapshot_threshold: Annotated[int, typer.Option(min=1)] = 1,
    pointer: Annotated[
        Public, typer.Option(help="May put snapshots in force; default: as snapshots.")
    ] = None,
    pointer_threshold: Annotated[int, typer.Option(min=1)] = 1,
    overlay: Annotated[Public, typer.Option(help="May retract and add; default: as pointers.")] = None,
    overlay_threshold: Annotated[int, typer.Option(min=1)] = 1,
    after: Annotated[
        Path | None, typer.Option(help="The keys file this one follows; default: it is the first.")
    ] = None,
    good_for: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="DURATION", help="When it must have been followed; default: 104w."
        ),
    ] = None,
) -> None:
    """Make a keys file and sign it with the keys at hand; others add theirs with `sign`.

    One that follows another needs enough root keys of both. Services take it up once it is published.
    """
    now = clock()
    version = 1 if after is None else _read(after).version + 1
    roots = _load(root)
    snapshots = _load(snapshot) if snapshot else roots
    pointers = _load(pointer) if pointer else snapshots
    overlays = _load(overlay) if overlay else pointers
    roles = {
        Role.ROOT: (roots, root_threshold),
        Role.SNAPSHOT: (snapshots, snapshot_threshold),
        Role.POINTER: (pointers, pointer_threshold),
        Role.OVERLAY: (overlays, overlay_threshold),
    }
    until = now + (good_for or _FIRST_YEARS)
    file = new_keys_file(version, now, until, roles)
    write_durably(out, new_document(file, private_keys(key)).encode(), 0o644)
    typer.echo(f"{out}: version {version}, good until {until:%Y-%m-%d}")


@keys_app.command()
def show(file: KeysFileArgument) -> None:
    """What a keys file says, and who has signed it."""
    keys = _read(file)
    document = SignedDocument.read(keys.document, "the keys file")
    table = Table(
        "role", "needs", "keys", title=f"Version {keys.version}, good until {keys.file.expires_at:%Y-%m-%d}"
    )
    for role, trusted in keys.roles.items():
        table.add_row(role, f"{trusted.threshold} of {len(trusted.keys)}", ", ".join(sorted(trusted.keys)))
    console = Console()
    console.print(table)
    console.print(f"Signed by: {', '.join(s.key_id for s in document.signatures)}")


@keys_app.command("publish")
def publish_keys(file: KeysFileArgument, store: StoreLocation, trusted_keys: TrustedKeysFile) -> None:
    """Put the successor of the newest keys file into the store. Services take it up within seconds."""
    keys = publisher(store, trusted_keys, []).keys(read_limited(file, MAX_KEYS_BYTES))
    typer.echo(f"Keys file {keys.version} is now in force in {store}")


def _read(path: Path) -> Keys:
    return first_keys(read_limited(path, MAX_KEYS_BYTES, follow_links=True))


def _load(paths: list[Path]) -> list[Ed25519PublicKey]:
    return [load_public(read_limited(path, MAX_KEYS_BYTES, follow_links=True)) for path in paths]
