"""retract, reinstate and add: what cannot wait for a build. Each publishes a new overlay."""

import secrets
import sys
from typing import Annotated

import msgspec
import typer

from hashcheck_core.command_line import clock
from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.overlay import Addition, Overlay, Retraction
from hashcheck_core.snapshot.verifier import ENTRY_ID_BYTES
from index_builder.commands.options import (
    Identity,
    Json,
    Recipients,
    SigningKeys,
    StoreLocation,
    TrustedKeysFile,
    print_json,
    publisher,
)

EntryId = Annotated[
    str, typer.Argument(metavar="ENTRY", help="The entry's id, as answers and the hit log give it.")
]
Why = Annotated[str, typer.Option("--reason", help="Why: for the list's keepers; no answer shows it.")]


def retract(
    entry: EntryId,
    reason: Why,
    store: StoreLocation,
    trusted_keys: TrustedKeysFile,
    key: SigningKeys,
    identity: Identity = None,
    recipient: Recipients = None,
    json: Json = False,
) -> None:
    """Take one entry out of force on every service within seconds, until `reinstate`. No build is needed.

    It holds over every later list too. Give a key of the pointer's role as well where you can: then nobody can
    hold the retraction back unseen.
    """
    now = clock()

    def change(overlay: Overlay) -> Overlay:
        kept = [one for one in overlay.retractions if one.entry != entry]
        return msgspec.structs.replace(overlay, retractions=[*kept, Retraction(entry, reason, now)])

    _tell(
        publisher(store, trusted_keys, key, identity, recipient).overlay(change),
        f"{entry} is out of force",
        json=json,
    )


def reinstate(
    entry: EntryId,
    store: StoreLocation,
    trusted_keys: TrustedKeysFile,
    key: SigningKeys,
    identity: Identity = None,
    recipient: Recipients = None,
    json: Json = False,
) -> None:
    """Undo a retraction: the entry is in force again wherever the list in force has it."""

    def change(overlay: Overlay) -> Overlay:
        kept = [one for one in overlay.retractions if one.entry != entry]
        if len(kept) == len(overlay.retractions):
            raise ConfigError(f"{entry} is not retracted.", next_step="See the overlay in the store.")
        return msgspec.structs.replace(overlay, retractions=kept)

    _tell(
        publisher(store, trusted_keys, key, identity, recipient).overlay(change),
        f"{entry} is in force again",
        json=json,
    )


def add(
    hash_type: Annotated[str, typer.Argument(metavar="TYPE", help="md5, sha1, sha256, pdq or phash.")],
    value: Annotated[
        str, typer.Argument(metavar="-", help="The hash in hex is read from standard input: write '-' here.")
    ],
    category: Annotated[str, typer.Option(help="The category it is listed in.")],
    source: Annotated[str, typer.Option(help="Who vouches for it.")],
    reason: Why,
    store: StoreLocation,
    trusted_keys: TrustedKeysFile,
    key: SigningKeys,
    identity: Identity = None,
    recipient: Recipients = None,
    json: Json = False,
) -> None:
    """List one hash on every service within seconds. Bring it into a feed too: this is for the hours until then.

    The hash is a secret: every user of a machine can read the command lines of its processes.
    """
    if value != "-":
        raise ConfigError(
            "A hash does not belong in a command line, where every user of this machine can read it.",
            next_step="Write '-' in its place, and the hash on standard input.",
        )
    entry = secrets.token_hex(ENTRY_ID_BYTES)
    text = sys.stdin.readline().strip()
    addition = Addition(hash_type, text.lower(), entry, category, source, reason, clock())

    def change(overlay: Overlay) -> Overlay:
        return msgspec.structs.replace(overlay, additions=[*overlay.additions, addition])

    _tell(
        publisher(store, trusted_keys, key, identity, recipient).overlay(change),
        f"{entry} is listed",
        json=json,
    )


def _tell(overlay: Overlay, what: str, *, json: bool) -> None:
    if json:
        print_json(
            {
                "overlay": overlay.sequence,
                "retractions": len(overlay.retractions),
                "additions": len(overlay.additions),
            }
        )
    else:
        typer.echo(f"{what}, by overlay {overlay.sequence}")
