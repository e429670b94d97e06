"""Raising the fence: around a zygote, once its libraries are loaded, and then around each of its children."""

import errno
import os
import resource
import sys
from collections.abc import Callable

from hashcheck_service.fence import landlock, namespaces, privileges, seccomp
from hashcheck_service.fence.layer import Layer, Layers
from hashcheck_service.fence.syscalls import here

_ZYGOTE_DESCRIPTORS = 64  # its own few, and for a moment the channel of a new child
_CHILD_DESCRIPTORS = 8


def raise_around_zygote(memory_bytes: int) -> Layers:
    """Confine this process and all it will fork, as far as the system can; what holds is returned.

    It has one thread, has loaded all its libraries and opened all it needs.
    """
    os.environ.clear()
    os.chdir("/")
    layers: dict[Layer, str] = {}

    def lay(layer: Layer, step: Callable[[], object]) -> None:
        try:
            step()
            layers.setdefault(
                layer, ""
            )  # what failed once does not hold, though it is refused no second time
        except OSError as error:
            layers[layer] = errno.errorcode.get(error.errno or 0, "refused")

    processor = here()
    if sys.platform != "linux" or processor is None:
        return dict.fromkeys(Layer, "not made for this system")
    for layer, step in namespaces.steps(processor):
        if layer is Layer.EMPTY_ROOT and (without := layers[Layer.MOUNT_NAMESPACE]):
            layers[layer] = without  # all processes that share this tree would lose theirs
        else:
            lay(layer, step)
    privileges.die_with_parent(processor)
    privileges.not_dumpable()
    privileges.limit(
        {
            resource.RLIMIT_AS: memory_bytes,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_NOFILE: _ZYGOTE_DESCRIPTORS,
        }
    )
    lay(Layer.NO_NEW_PRIVS, lambda: privileges.no_new_privileges(processor))
    lay(Layer.LANDLOCK, lambda: landlock.restrict(processor))
    lay(Layer.SECCOMP, lambda: seccomp.install(processor, seccomp.zygote_filter(processor)))
    return layers


def raise_around_child(kept: int, cpu_seconds: int, layers: Layers) -> None:
    """Confine this process, just forked by a zygote whose `layers` these are, to reading one file.

    Args:
        kept: the highest descriptor it keeps.
        cpu_seconds: of processor time it gets at most.
        layers: what holds around the zygote; where that could not be laid it is not tried again.
    Raises: OSError where a layer that the zygote has cannot be laid once more.
    """
    os.closerange(kept + 1, _ZYGOTE_DESCRIPTORS)
    privileges.limit(
        {
            resource.RLIMIT_CPU: cpu_seconds,
            resource.RLIMIT_NPROC: 0,
            resource.RLIMIT_NOFILE: _CHILD_DESCRIPTORS,
        }
    )
    processor = here()
    if sys.platform != "linux" or processor is None:
        return
    privileges.die_with_parent(processor)
    if not layers[Layer.LANDLOCK]:
        landlock.restrict(processor)  # a domain of its own: not even the zygote is within reach
    if not layers[Layer.SECCOMP]:
        seccomp.install(processor, seccomp.child_filter(processor))
