"""Options that several commands share, and how a command prints its result as JSON."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.command_line import clock
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES
from hashcheck_stores.location import open_store
from index_builder.config.private_keys import read_signing_key
from index_builder.publishing.publisher import Publisher

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
SnapshotDir = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of one snapshot.")]
TrustedKeysFile = Annotated[
    Path, typer.Option("--trusted-keys", help="The keys file that services are given.")
]
SigningKeys = Annotated[
    list[Path], typer.Option("--key", help="A private key (.pem) to sign with; repeat for more.")
]
Recipients = Annotated[
    list[str] | None,
    typer.Option(
        "--recipient",
        envvar="HASHCHECK_RECIPIENTS",
        help="Encrypt the list for this age recipient; repeat for every service, and yourself.",
    ),
]
Identity = Annotated[
    Path | None,
    typer.Option(
        "--identity", envvar="HASHCHECK_IDENTITY", help="An age key file, to read an encrypted store."
    ),
]
StoreLocation = Annotated[
    str, typer.Option("--store", help="Where services look: a directory, or s3://bucket/prefix.")
]


def print_json(result: object) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


def private_keys(paths: Sequence[Path]) -> list[Ed25519PrivateKey]:
    """Raises ConfigError or TransportError."""
    return [read_signing_key(path) for path in paths]


def publisher(
    store: str,
    trusted_keys: Path,
    keys: Sequence[Path],
    identity: Path | None = None,
    recipients: Sequence[str] | None = None,
) -> Publisher:
    """Raises ConfigError or TransportError."""
    pinned = read_limited(trusted_keys, MAX_KEYS_BYTES, follow_links=True)
    opened = open_store(store, identity=identity, recipients=recipients or ())
    return Publisher(opened, pinned, private_keys(keys), clock())
