"""index-builder: the command line. The commands are in `index_builder.commands`; here they get their names."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from hashcheck_core.command_line import run

# In the order in which they are used. A command's module is loaded when it is asked for: `build` alone needs a second.
_COMMANDS: Final = {
    "keygen": "keys",
    "identity": "keys",
    "keys": "keys",
    "fetch": "fetch",
    "build": "build",
    "review": "review",
    "accept": "review",
    "reject": "review",
    "verify": "publish",
    "diff": "diff",
    "sign": "publish",
    "publish": "publish",
    "rollback": "publish",
    "retract": "retract",
    "reinstate": "retract",
    "add": "retract",
}


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"index_builder.commands.{_COMMANDS[cmd_name]}")
        found = module.keys_app if cmd_name == "keys" else typer.Typer(add_completion=False)
        if cmd_name != "keys":
            found.command(cmd_name)(getattr(module, cmd_name))
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    help="Build, verify and publish the signed snapshots that hashcheck-service serves.\n\n"
    "Only `fetch`, and stores that are elsewhere, need a network.\n\n"
    "Exit codes: 0 done; 1 the data are bad; 2 it could not be tried.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Without a command of its own typer would make no group."""


def main() -> None:
    run(app, "index-builder")


if __name__ == "__main__":
    main()
