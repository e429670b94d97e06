"""What both programs do at their edge: exit codes, a line on standard error for each mistake, and the clock.

0: done. 1: the data are bad (a feed, a snapshot, a key). 2: it could not be tried (wrong usage, a file or
disk that does not answer). It holds no command of its own.
"""

import os
import sys
from datetime import UTC, datetime

import typer

from hashcheck_core.errors import ConfigError, ConfigMistakesError, DataError, HashcheckError


def run(app: typer.Typer, program: str) -> None:
    """Run a typer program and exit with its code."""
    try:
        app(prog_name=program)
    except HashcheckError as error:
        for one in error.errors if isinstance(error, ConfigMistakesError) else (error,):
            sys.stderr.write(f"{program}: {' '.join(str(one).split())}\n")
        bad_data = isinstance(error, DataError) and not isinstance(error, ConfigError)
        sys.exit(1 if bad_data else 2)
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: stopped.\n")
        sys.exit(2)


def clock() -> datetime:
    """The current time, or SOURCE_DATE_EPOCH (seconds since 1970) where that is set: reproducible builds.

    Whole seconds, UTC. Raises ConfigError for a SOURCE_DATE_EPOCH that is not a time.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            "SOURCE_DATE_EPOCH is not a number of seconds since 1970.", next_step="Set it right, or unset it."
        ) from None
