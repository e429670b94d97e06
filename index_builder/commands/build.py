"""build: feeds in, one signed snapshot out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hashcheck_core.command_line import clock
from hashcheck_core.errors import ConfigError
from index_builder.build.pipeline import build as build_snapshot
from index_builder.build.pipeline import next_version
from index_builder.commands.options import Identity, Json, print_json, publisher
from index_builder.commands.progress import shown
from index_builder.config.file import load_config
from index_builder.feeds.batches.feeds import with_batches
from index_builder.report.files import report_directory
from index_builder.report.model import feed_table, gate_table


def build(
    config: Annotated[Path, typer.Option(help="feeds.toml: which feeds, and what their codes mean.")],
    out: Annotated[Path, typer.Option(help="The directory that holds all snapshots.")],
    version: Annotated[
        int | None, typer.Option(min=1, max=99_999_999, help="Default: one above the highest in --out.")
    ] = None,
    batches: Annotated[
        Path | None,
        typer.Option(help="The folder that `fetch` put its batches into, for feeds that are fetched."),
    ] = None,
    fresh_state: Annotated[
        bool,
        typer.Option(
            "--fresh-state",
            help="Read every batch of a delta feed again, not only those since the last build.",
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", help="Take in what was retracted and added there since: the overlay in force."
        ),
    ] = None,
    trusted_keys: Annotated[
        Path | None,
        typer.Option("--trusted-keys", help="With --store: the keys file that services are given."),
    ] = None,
    identity: Identity = None,
    new_decisions: Annotated[
        bool,
        typer.Option(
            "--new-decisions",
            help="The decision file was begun anew, on purpose: it need not continue the one before.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Read every feed, vet every row, pass every gate, and write one signed snapshot. Nothing is published.

    With --store the retractions and urgent additions in force there become part of the list.
    Bad rows are rejected and written to OUT/reports/SNAPSHOT/rejects.jsonl with line and reason. The same
    feeds, keys, version and SOURCE_DATE_EPOCH give the same bytes.
    """
    settings = load_config(config)
    overlay = None
    if store is not None:
        if trusted_keys is None:
            raise ConfigError(
                "--store needs --trusted-keys.", next_step="Name the keys file of the services."
            )
        overlay = publisher(store, trusted_keys, [], identity).overlay_in_force()
    settings = with_batches(settings, batches, fresh_state=fresh_state)
    with shown() as progress:
        report = build_snapshot(
            settings,
            out,
            now=clock(),
            version=version or next_version(out),
            progress=progress,
            overlay=overlay,
            new_decisions=new_decisions,
        )
    if json:
        print_json(report)
        return
    console = Console()
    console.print(feed_table(report))
    console.print(gate_table(report.gates))
    for kind in report.types:
        console.print(f"{kind.type}: {kind.listed:,} listed, {kind.plan}")
    if any(feed.rejected for feed in report.feeds):
        console.print(
            f"Rejected rows: {report_directory(out, report.snapshot) / 'rejects.jsonl'}", soft_wrap=True
        )
    if report.overlay:
        console.print(f"Overlay {report.overlay} is part of it: what it retracts is not listed.")
    if report.held:
        held = len({held.entry for held in report.held})
        console.print(f"{held:,} entries are held for a person: see index-builder review.", soft_wrap=True)
    if report.decisions.decided:
        counts = (f"{report.decisions.count(state):,} {state}" for state in ("applied", "pending", "unused"))
        console.print(f"Decisions of people: {', '.join(counts)}.")
    console.print(f"Report: {report_directory(out, report.snapshot) / 'report.html'}", soft_wrap=True)
    console.print(f"Built {report.directory}", soft_wrap=True)
