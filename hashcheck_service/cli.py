"""hashcheck-service: the command line."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock, run
from hashcheck_core.errors import ConfigError, DataError, SnapshotError
from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, first_keys
from hashcheck_service.admission.key_commands import keys_app
from hashcheck_service.admission.key_file import StoredKey, read_keys
from hashcheck_service.evidence.commands import hits_app
from hashcheck_service.evidence.disk import check_writable
from hashcheck_service.fence.client import probe
from hashcheck_service.fence.layer import require
from hashcheck_service.processes.start import become_supervisor
from hashcheck_service.settings import Fence, Settings, load_settings
from hashcheck_stores.location import open_store

app = typer.Typer(
    help="Answer upload-time checks from the snapshot in force.\n\n"
    "Exit codes: 0 done; 1 the data are bad; 2 it could not be tried.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")
app.add_typer(hits_app, name="hits")

Config = Annotated[Path, typer.Option("--config", help="The settings file, TOML.")]
_READY_FAILS_SECONDS = 5.0  # HAProxy asks every two seconds and believes the third answer
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def serve(
    config: Config,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)] = 8080,
    workers: Annotated[int, typer.Option(help="Processes; one a core is a good number.", min=1, max=256)] = 1,
    drain_seconds: Annotated[
        int,
        typer.Option(
            help="How long a stop may take in all; what is not answered by then is cut off.",
            min=0,
            max=86_400,
        ),
    ] = 30,
    ready_fails_seconds: Annotated[
        float | None,
        typer.Option(
            help="Of them, so long /readyz fails at a stop while all is still answered: until the balancer has seen "
            "it.  [default: 5, or less if --drain-seconds is less]",
            min=0,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve until stopped. Follows the pointer: a newly published snapshot is in force within seconds.

    Put it behind a proxy that speaks TLS, or keep it on a private network. SIGTERM stops it, SIGHUP restarts its
    workers one after the other: see docs/processes.md.
    """
    if ready_fails_seconds is None:
        ready_fails_seconds = min(_READY_FAILS_SECONDS, drain_seconds)
    elif ready_fails_seconds > drain_seconds:
        raise ConfigError(
            "--ready-fails-seconds is more than --drain-seconds, which is the time of a whole stop.",
            next_step="Give more --drain-seconds.",
        )
    _checked(config)  # a mistake shows here, once, and not in every worker
    become_supervisor(
        config,
        host,
        port,
        workers=workers,
        drain_seconds=drain_seconds,
        ready_fails_seconds=ready_fails_seconds,
    )


@app.command("check-config")
def check_config(config: Config, json: Json = False) -> None:
    """Read the settings, the keys and the snapshot in force, and say what would be served."""
    from hashcheck_service.sync.dry_run import published_snapshot  # it loads all that searches

    settings, keys = _checked(config)
    snapshot = published_snapshot(settings, clock())
    unknown = sorted(set(settings.policy.radius) - set(BUILT_IN_TYPES) - set(snapshot.tables))
    if unknown:
        raise ConfigError(
            f"policy.radius names {unknown[0]!r}, which is no hash type of this snapshot.",
            next_step=f"Use one of: {', '.join(sorted({*BUILT_IN_TYPES, *snapshot.tables}))}.",
        )
    categories = sorted(settings.policy.categories)
    if json:
        summary = {
            "snapshot": snapshot.id,
            "expires_at": snapshot.expires_at,
            "tenants": sorted({key.name for key in keys}),
            "categories": categories,
            "types": {name: table.listed for name, table in snapshot.tables.items()},
        }
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
        return
    table = Table("hash type", "listed", "radius", title=f"Snapshot {snapshot.id}")
    for name, entry in snapshot.tables.items():
        table.add_row(name, f"{entry.listed:,}", str(settings.policy.radius_of(entry.hash_type)))
    console = Console()
    console.print(table)
    console.print(
        f"Categories in force: {', '.join(categories)}. Tenants: {len({key.name for key in keys})}."
    )


@app.command()
def warm() -> None:
    """Compile what searches and reads large batches into numba's cache, so that no start has to.

    The cache is the folder in NUMBA_CACHE_DIR, or beside the package where that can be written. What was compiled on
    another model of processor is compiled again.
    """
    from hashcheck_core.search.multi_index.warm import warm as warm_engine
    from hashcheck_service.checking.plain_batches import warm as warm_batches

    warm_engine()
    warm_batches()


@app.command()
def decoders(json: Json = False) -> None:
    """The versions of the native libraries that decode pictures, and whether one is known to be vulnerable.

    Exits 1 where one is, or where a version cannot be found. A fault that no release mends yet is shown and does not
    count: only the fence around the decoders holds it.
    """
    from hashcheck_core.images.native_libraries import compared, installed_versions, known_faults

    table = known_faults()
    libraries = compared(table, installed_versions())
    if json:
        rows = [
            {
                "name": library.faults.name,
                "carried_by": library.faults.carried_by,
                "version": library.version or None,
                "minimum": library.faults.minimum,
                "good": not library.trouble,
                "fixed": library.faults.fixed,
                "not_yet_fixed": library.faults.not_yet_fixed or None,
                "source": library.faults.source,
            }
            for library in libraries
        ]
        summary = {"renewed": table.renewed, "libraries": rows}
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        shown = Table("library", "in", "installed", "oldest good", title=f"Table of {table.renewed}")
        for library in libraries:
            faults = library.faults
            shown.add_row(faults.name, faults.carried_by, library.version or "not found", faults.minimum)
        console = Console()
        console.print(shown)
        for library in libraries:
            if library.faults.not_yet_fixed:
                console.print(f"{library.faults.name}: {library.faults.not_yet_fixed}", markup=False)
    troubles = [library.trouble for library in libraries if library.trouble]
    if troubles:
        raise DataError(
            " ".join(troubles), next_step="Install the versions of a newer lock file, or build a newer image."
        )


def _checked(config: Path) -> tuple[Settings, list[StoredKey]]:
    """The settings and the keys they name, and places that can be written; raises DataError or TransportError."""
    settings = load_settings(config)
    for home in (settings.hit_log, settings.state):
        while not home.exists() and home != home.parent:  # where it is to be made
            home = home.parent
        check_writable(home)
    try:
        first_keys(read_limited(settings.trusted_keys, MAX_KEYS_BYTES, follow_links=True))
    except SnapshotError as error:
        raise ConfigError(
            f"{settings.trusted_keys}: {error.message}",
            next_step="Give the keys file that index-builder keygen or keys make wrote.",
        ) from None
    open_store(settings.snapshots, settings.store_ca, identity=settings.identity)
    if settings.fence == Fence.REQUIRED:
        require(asyncio.run(probe()))
    return settings, read_keys(settings.api_keys)


def main() -> None:
    run(app, "hashcheck-service")


if __name__ == "__main__":
    main()
