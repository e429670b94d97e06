"""index-builder: the command line. The commands are in `index_builder.commands`; here they get their names."""

import typer

from hashcheck_core.command_line import run
from index_builder.commands.build import build
from index_builder.commands.diff import diff
from index_builder.commands.keys import keygen
from index_builder.commands.publish import publish, verify

app = typer.Typer(
    help="Build, verify and publish the signed snapshots that hashcheck-service serves. Works offline.\n\n"
    "Exit codes: 0 done; 1 the data are bad; 2 it could not be tried.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(keygen)
app.command()(build)
app.command()(verify)
app.command()(diff)
app.command()(publish)


def main() -> None:
    run(app, "index-builder")


if __name__ == "__main__":
    main()
