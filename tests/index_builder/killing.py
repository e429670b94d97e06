"""A process that runs a command in a child and has it killed at its n-th step. Started by a test, once for all of them.

A step is whatever changes the disk below a folder, or opens a connection or a page: the interpreter's audit events
tell of each just before it is done, so every moment between two of them has its turn, by number and not by chance.
Each line on standard input is `n folder command...`; the answer is `killed`, or the exit code.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from hashcheck_core.command_line import run
from index_builder.cli import app
from index_builder.config.file import load_config
from index_builder.feeds.batches.feeds import with_batches
from index_builder.feeds.reading import FeedReading
from index_builder.feeds.rejects import RejectLog

STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.truncate",
    "sqlite3.connect",
    "socket.connect",
}


def kill_at(step: int, folder: str) -> None:
    """From now on count steps below `folder`, and end this process as if the power had gone before one of them."""
    left = step

    def hook(event: str, arguments: "tuple[object, ...]") -> None:
        nonlocal left
        if event not in STEPS:
            return
        if event != "socket.connect" and not str(arguments[0]).startswith(folder):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def read(config: str, batches: str) -> None:
    """What a build does with feeds that are fetched."""
    for feed in with_batches(load_config(Path(config)), Path(batches)).feed:
        reading = FeedReading(feed, RejectLog(), Path(batches), datetime.now(UTC), lambda done, total: None)
        for _ in reading:
            pass


def main() -> None:
    for line in sys.stdin:
        step, folder, *command = line.split()
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            kill_at(int(step), folder)
            if command[0] == "read":
                read(*command[1:])
                os._exit(0)
            sys.argv = ["index-builder", *command]
            try:
                run(app, "index-builder")
            except SystemExit as end:
                os._exit(int(end.code or 0))
        _, status = os.waitpid(child, 0)
        told = "killed" if os.WIFSIGNALED(status) else str(os.waitstatus_to_exitcode(status))
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
