"""The layers of the fence, by the names that logs and metrics give them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from hashcheck_core.errors import FenceError


class Layer(StrEnum):
    NO_NEW_PRIVS = "no_new_privs"
    SECCOMP = "seccomp"
    LANDLOCK = "landlock"
    UNPRIVILEGED = "unprivileged"  # neither root nor any capability
    USER_NAMESPACE = "user_namespace"
    PID_NAMESPACE = "pid_namespace"
    NETWORK_NAMESPACE = "network_namespace"
    IPC_NAMESPACE = "ipc_namespace"
    UTS_NAMESPACE = "uts_namespace"
    MOUNT_NAMESPACE = "mount_namespace"
    EMPTY_ROOT = "empty_root"


# An ordinary container has these. Namespaces it may not have, and each act they stop is stopped by these as well.
REQUIRED: Final = frozenset({Layer.NO_NEW_PRIVS, Layer.SECCOMP, Layer.LANDLOCK, Layer.UNPRIVILEGED})

PARTIAL: Final = "partial"

Layers = Mapping[Layer, str]
"""For each layer "" where it holds, else why it does not."""


def missing(layers: Layers) -> list[Layer]:
    """The layers that do not hold, in their order."""
    return [layer for layer in Layer if layers.get(layer, "not tried")]


def extent(layers: Layers) -> str:
    """All of it in a word: "whole", "required" where every required layer holds, else "partial"."""
    lacking = missing(layers)
    if not lacking:
        return "whole"
    return PARTIAL if REQUIRED & set(lacking) else "required"


def require(layers: Layers) -> None:
    """Raise FenceError unless every required layer holds."""
    lacking = [layer for layer in missing(layers) if layer in REQUIRED]
    if lacking:
        reasons = ", ".join(f"{layer} ({layers.get(layer, 'not tried')})" for layer in lacking)
        raise FenceError(
            f"The fence around picture decoders does not hold on this system: {reasons}.",
            next_step="Use a Linux kernel from 5.13 on with Landlock switched on, and a container profile that allows "
            "Landlock and seccomp, and run the service as an ordinary user; "
            'or read docs/fence.md and set fence = "best".',
        )
