"""fetch: from the sources into sealed batches, which `build` reads."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock
from hashcheck_core.errors import ConfigError, DataError, HashcheckError
from index_builder.commands.options import Json, print_json
from index_builder.commands.progress import fetching_shown
from index_builder.config.feed import FeedConfig
from index_builder.config.file import BuildConfig, load_config
from index_builder.feeds.batches.feeds import batch_folder
from index_builder.feeds.fetching.fetch import Fetched, Surroundings, Wishes, fetch_feed


def fetch(
    config: Annotated[
        Path, typer.Option(help="feeds.toml: which feeds, and in their sections `fetch` where from.")
    ],
    batches: Annotated[Path, typer.Option(help="The folder that holds the batches of all feeds.")],
    feeds: Annotated[
        list[str] | None,
        typer.Argument(metavar="FEED", help="Only these; default: every feed with a section `fetch`."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Fetch all of it anew; the batches so far no longer count then.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away the pages of a poll that was not finished.")
    ] = False,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Go past a page that stays damaged, with what can be read of it. The seal says so.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Fetch what is new from each source into a sealed batch. `build --batches` reads them, without any network.

    A fetch that is stopped goes on where it was when it is run again. Sealed batches are never touched: whatever
    goes wrong, the next build has what it had. One feed that fails does not stop the others; the exit code is then
    1 if a source sent bad data, else 2.
    """
    settings = load_config(config)
    results: list[Fetched] = []
    errors: dict[str, HashcheckError] = {}
    wishes = Wishes(full, restart, skip_damaged, settings.batches.keep_superseded)
    with fetching_shown() as progress:
        world = Surroundings(progress, clock)
        for feed in _chosen(settings, feeds or []):
            try:
                folder = batch_folder(settings, feed, batches, signing=True)
                results.append(fetch_feed(feed, folder, world, wishes))
            except HashcheckError as error:
                errors[feed.name] = error
                progress.step(f"{feed.name}: failed")
    if json:
        told = [
            {"feed": name, "code": failed.code, "message": failed.message, "next_step": failed.next_step}
            for name, failed in errors.items()
        ]
        print_json({"feeds": results, "errors": told})
    elif results:
        Console().print(_table(results))
    for name, failed in errors.items():
        sys.stderr.write(f"index-builder: {name}: {' '.join(str(failed).split())}\n")
    if errors:
        bad_data = any(isinstance(e, DataError) and not isinstance(e, ConfigError) for e in errors.values())
        raise typer.Exit(1 if bad_data else 2)


def _chosen(config: BuildConfig, names: list[str]) -> list[FeedConfig]:
    fetched = [feed for feed in config.feed if feed.fetch is not None]
    wrong = sorted(set(names) - {feed.name for feed in fetched})
    if wrong or not fetched:
        raise ConfigError(
            f"No feed {wrong[0][:64]!r} is fetched." if wrong else "No feed of this config is fetched.",
            next_step=f"Those that are: {', '.join(feed.name for feed in fetched) or 'none'}; a feed is fetched that "
            "has a section [feed.fetch].",
        )
    return [feed for feed in fetched if not names or feed.name in names]


def _table(results: list[Fetched]) -> Table:
    table = Table("feed", "batch", "", "pages", "entries", "bytes", "")
    for result in results:
        table.add_row(
            result.feed,
            result.batches[-1],
            "all" if result.full else "new",
            f"{result.pages:,}",
            f"{result.rows:,}",
            f"{result.size:,}",
            f"{result.damaged} damaged" if result.damaged else "",
        )
    return table
