"""index-builder: the command line. The commands are in `index_builder.commands`; here they get their names."""

import typer

from hashcheck_core.command_line import run
from index_builder.commands.build import build
from index_builder.commands.diff import diff
from index_builder.commands.fetch import fetch
from index_builder.commands.keys import identity, keygen, keys_app
from index_builder.commands.publish import publish, rollback, sign, verify
from index_builder.commands.retract import add, reinstate, retract
from index_builder.commands.review import accept, reject, review

app = typer.Typer(
    help="Build, verify and publish the signed snapshots that hashcheck-service serves.\n\n"
    "Only `fetch`, and stores that are elsewhere, need a network.\n\n"
    "Exit codes: 0 done; 1 the data are bad; 2 it could not be tried.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(keygen)
app.command()(identity)
app.command()(fetch)
app.command()(build)
app.command()(review)
app.command()(accept)
app.command()(reject)
app.command()(verify)
app.command()(diff)
app.command()(sign)
app.command()(publish)
app.command()(rollback)
app.command()(retract)
app.command()(reinstate)
app.command()(add)
app.add_typer(keys_app, name="keys")


def main() -> None:
    run(app, "index-builder")


if __name__ == "__main__":
    main()
