"""From the command line to the supervisor: bind the listener, then become the supervisor by exec.

So the supervisor has the process id that its starter knows, and none of the memory that reading settings takes.
"""

import contextlib
import os
import resource
import socket
import sys
from pathlib import Path
from typing import NoReturn

from hashcheck_core.errors import ConfigError, TransportError
from hashcheck_service.processes.children import interpreter
from hashcheck_service.processes.log_lines import line_of, standard_error


def become_supervisor(
    config: Path, host: str, port: int, *, workers: int, drain_seconds: float, ready_fails_seconds: float
) -> NoReturn:
    """Listen and serve; does not return. Raises ConfigError or TransportError where that cannot be."""
    if sys.platform != "linux":
        raise ConfigError(
            "hashcheck-service serve needs Linux.",
            next_step="Run it in a container or on a machine with Linux.",
        )
    _open_standard_descriptors()
    listener = _listen(host, port)
    raise_descriptor_limit()
    address = f"[{host}]" if ":" in host else host
    standard_error().write(line_of("info", "listening", url=f"http://{address}:{listener.getsockname()[1]}"))
    standard_error().flush(1.0)
    listener.set_inheritable(True)
    command = [*interpreter(), "-m", "hashcheck_service.processes.supervisor"]
    command += [
        "--config",
        str(config.absolute()),
        "--listener",
        str(listener.fileno()),
        "--workers",
        str(workers),
    ]
    command += ["--drain-seconds", str(drain_seconds), "--ready-fails-seconds", str(ready_fails_seconds)]
    os.execv(command[0], command)  # noqa: S606 - this interpreter


def raise_descriptor_limit() -> None:
    """The soft limit of descriptors to the hard one, for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_standard_descriptors() -> None:
    """Where one of 0, 1 and 2 is closed, the next socket would get its number, and the log would go to it."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; raises TransportError where it is taken or not this machine's."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise TransportError(
            f"Nothing can listen on {host} port {port} ({reason}).",
            next_step="Stop what uses it, or choose another with --host and --port.",
        ) from None
    return listener
