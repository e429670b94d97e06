"""keygen: the keys a builder needs."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from hashcheck_core.snapshot.files import transport_error, write_durably
from hashcheck_core.snapshot.signing import generate_pair, key_id, load_public


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
