"""Namespaces of its own for a process: no other process, no network, no file is there to be named in them.

They come on top of what `landlock` and `seccomp` refuse, where the system gives them: a container often does not.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from hashcheck_service.fence.layer import Layer
from hashcheck_service.fence.libc import syscall
from hashcheck_service.fence.privileges import become_nobody
from hashcheck_service.fence.syscalls import Processor

# linux/sched.h
_FLAGS: Final = {
    Layer.USER_NAMESPACE: 0x10000000,
    Layer.PID_NAMESPACE: 0x20000000,  # for those it forks, not for itself
    Layer.NETWORK_NAMESPACE: 0x40000000,
    Layer.IPC_NAMESPACE: 0x08000000,
    Layer.UTS_NAMESPACE: 0x04000000,
    Layer.MOUNT_NAMESPACE: 0x00020000,
}
# sys/mount.h
_READ_ONLY_NOTHING_RUNS: Final = 1 | 2 | 4 | 8  # MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC
_PRIVATE_ALL_THE_WAY: Final = 0x40000 | 0x4000  # MS_PRIVATE, MS_REC
_DETACH: Final = 2  # MNT_DETACH

Step = tuple[Layer, Callable[[], object]]


def steps(processor: Processor) -> Iterator[Step]:
    """What to do, in order. Each step raises OSError where the system refuses it; the others may hold all the same.

    Without root a user namespace comes first and allows the rest. Root needs none for them, and stops being root
    before it makes one.
    """
    numbers = processor.numbers

    def leave(layer: Layer) -> Step:
        return layer, lambda: syscall(numbers["unshare"], _FLAGS[layer])

    others = [leave(layer) for layer in _FLAGS if layer != Layer.USER_NAMESPACE]
    others.append((Layer.EMPTY_ROOT, lambda: _empty_root(processor)))
    nobody = (Layer.UNPRIVILEGED, lambda: become_nobody(processor))
    if os.geteuid() == 0:
        yield from (*others, nobody, leave(Layer.USER_NAMESPACE))
    else:
        yield from (leave(Layer.USER_NAMESPACE), *others)
    yield nobody  # once more: a user namespace gives its maker every capability in it


def _empty_root(processor: Processor) -> None:
    """Put an empty file system that cannot be written in the place of all there is."""
    numbers = processor.numbers
    syscall(numbers["mount"], b"none", b"/", None, _PRIVATE_ALL_THE_WAY, None)
    # /proc is a directory of every system; that it is covered is seen by this process alone.
    syscall(
        numbers["mount"],
        b"none",
        b"/proc",
        b"tmpfs",
        _READ_ONLY_NOTHING_RUNS,
        b"nr_inodes=1,size=4k,mode=555",
    )
    os.chdir("/proc")
    syscall(numbers["pivot_root"], b".", b".")
    syscall(numbers["umount2"], b".", _DETACH)
    os.chdir("/")
