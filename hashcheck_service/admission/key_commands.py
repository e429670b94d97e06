"""hashcheck-service keys: the API keys of tenants, and what each may be used for."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock
from hashcheck_core.durations import parse_duration
from hashcheck_core.errors import ConfigError
from hashcheck_service.admission.key_file import (
    CHECKING,
    KeyScope,
    StoredKey,
    changing,
    network_of,
    new_key,
    overlapping,
    read_keys,
    write_keys,
)

keys_app = typer.Typer(help="The API keys of tenants.", no_args_is_help=True)

KeyFileOption = Annotated[Path, typer.Option("--file", help="The key file the service reads.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id, as `keys list` shows it.")]
Expires = Annotated[
    timedelta | None,
    typer.Option(
        "--expires",
        parser=parse_duration,
        metavar="DURATION",
        help="How long it is valid, such as 90d; default: until it is removed.",
    ),
]


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="The tenant.")],
    file: KeyFileOption = Path("keys.json"),
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(
            "--scope", help="What it may be used for; repeat for more. Default: check, media and stream."
        ),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="The scope admin too, beside the others.")] = False,
    expires: Expires = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            metavar="CIDR",
            help="Only from this network, such as 10.0.0.0/8; repeat for more. Behind a proxy that is the proxy's.",
        ),
    ] = None,
) -> None:
    """Make a key for a tenant and print it, this once. A running service takes it within seconds.

    The scope `metrics` reads /metrics and the details of /readyz and /v1/snapshot; `admin` does that too, and holds a
    machine to a snapshot.
    """
    if not name.isascii() or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ConfigError(f"{name!r} is no tenant name.", next_step="Use letters, digits, '-', '_' and '.'.")
    now = clock()
    with _replacing(file) as stored:
        key, made = new_key(
            name,
            now,
            scopes=[*(scope or CHECKING), *([KeyScope.ADMIN] if admin else [])],
            expires_at=None if expires is None else now + expires,
            networks=[str(network_of(text)) for text in network or []],
        )
        stored.append(made)
    _show_new(key, made)


@keys_app.command("rotate")
def keys_rotate(
    key_id: KeyId,
    file: KeyFileOption = Path("keys.json"),
    overlap: Annotated[
        timedelta,
        typer.Option(
            parser=parse_duration, metavar="DURATION", help="How long the old key stays valid beside the new."
        ),
    ] = timedelta(days=7),
    expires: Expires = None,
) -> None:
    """Make the successor of a key and print it, this once. It may be used for the same, from the same networks.

    The old key ends by itself after the overlap. Without --expires the new one is valid as long as the old one was.
    """
    now = clock()
    with _replacing(file) as stored:
        place = _place_of(key_id, stored)
        old = stored[place]
        if expires is None and old.expires_at is not None:
            expires = old.expires_at - old.created_at
        key, made = new_key(
            old.name,
            now,
            scopes=old.granted,
            expires_at=None if expires is None else now + expires,
            networks=old.networks,
        )
        stored[place] = overlapping(old, overlap, now)
        stored.append(made)
    _show_new(key, made)


@keys_app.command("list")
def keys_list(
    file: KeyFileOption = Path("keys.json"),
    json: Annotated[bool, typer.Option("--json", help="Print the keys as JSON on standard output.")] = False,
) -> None:
    """Every key: its id, its tenant, when it was made and when it ends, its scopes and networks."""
    keys, now = read_keys(file), clock()
    if json:
        told = [
            {
                "id": key.id,
                "tenant": key.name,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "expired": key.has_expired(now),
                "scopes": sorted(key.granted),
                "networks": key.networks,
            }
            for key in keys
        ]
        sys.stdout.write(msgspec.json.encode({"keys": told}).decode() + "\n")
        return
    table = Table("id", "tenant", "made", "ends", "scopes", "networks")
    for key in keys:
        ends = _end_of(key)
        table.add_row(
            key.id,
            key.name,
            _at(key.created_at),
            f"{ends} (expired)" if key.has_expired(now) else ends,
            _in_order(key),
            ", ".join(key.networks) or "any",
        )
    Console(markup=False).print(table)


@keys_app.command("remove")
def keys_remove(key_id: KeyId, file: KeyFileOption = Path("keys.json")) -> None:
    """Take a key away. A running service refuses it within seconds."""
    with _replacing(file) as stored:
        del stored[_place_of(key_id, stored)]


@contextmanager
def _replacing(file: Path) -> Iterator[list[StoredKey]]:
    """The keys of a file, to be changed; they are written back at the end."""
    with changing(file):
        stored = read_keys(file) if file.exists() else []
        yield stored
        write_keys(file, stored)


def _place_of(key_id: str, stored: Sequence[StoredKey]) -> int:
    for place, key in enumerate(stored):
        if key.id == key_id:
            return place
    raise ConfigError(f"There is no key {key_id!r}.", next_step="See: hashcheck-service keys list")


def _show_new(key: str, made: StoredKey) -> None:
    """The key alone on standard output, for a script; the rest beside it."""
    typer.echo(f"Key {made.id} of {made.name}. Scopes: {_in_order(made)}. Ends: {_end_of(made)}.", err=True)
    typer.echo(key)


def _in_order(key: StoredKey) -> str:
    return ", ".join(scope for scope in KeyScope if scope in key.granted)


def _end_of(key: StoredKey) -> str:
    return "never" if key.expires_at is None else _at(key.expires_at)


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
