"""What code that has taken over a decoder would try, each act by itself, as a task of a real zygote.

`run` starts the zygote, with this module in the place of the decoder, has every act tried in a child of its own, and
tells what came of each: the errno, the signal that ended the child, or "done" for one that worked.
"""

import asyncio
import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_service.fence.client import Child, UselessError, Zygote
from hashcheck_service.fence.layer import Layer, Layers, missing
from hashcheck_service.fence.libc import syscall
from hashcheck_service.fence.messages import Options
from hashcheck_service.fence.sealed_file import sealed_file
from hashcheck_service.fence.syscalls import here

TASK: Final = "tests.hashcheck_service.fence.attacks"
DONE: Final = "done"
_MOST: Final = 4096
_PAGE: Final = mmap.PAGESIZE


class Targets(msgspec.Struct, frozen=True):
    """What is attacked: files by what they are, processes by their ids, and descriptors by their numbers."""

    files: dict[str, str]
    processes: dict[str, int]


class Act(msgspec.Struct, frozen=True):
    name: str
    target: str | int


def prepare(given: str) -> Callable[[int, bytes], bytes]:
    assert given == "attack"
    _ = ctypes.CDLL(None)  # all libraries are loaded before the fence is there

    def look(file: int, question: bytes) -> bytes:
        act = msgspec.json.decode(question, type=Act)
        try:
            _ACTS[act.name](act.target, file)
        except OSError as error:
            return errno.errorcode[error.errno or 0].encode()
        return DONE.encode()

    return look


def acts(targets: Targets) -> list[Act]:
    """Every act against every target that it is for."""
    made = []
    for name in _ACTS:
        if name in _ON_FILES:
            made += [Act(name, path) for path in targets.files.values()]
        elif name in _ON_PROCESSES:
            made += [Act(name, process) for process in targets.processes.values()]
        else:
            made.append(Act(name, ""))
    return made


async def run(targets: Targets) -> tuple[Layers, list[tuple[str, str, str]]]:
    """The layers that hold; and for each act its name, what it was tried on and what came of it."""
    zygote = await Zygote.start(Options(1 << 30, 5, TASK, "attack"))
    file = sealed_file(b"a stranger's file")
    try:
        sibling = zygote.fork()
        first = Layer.PID_NAMESPACE not in missing(zygote.layers)  # the namespace's own first process
        while len(_children(zygote.pid)) < 1 + first:
            await asyncio.sleep(0.01)
        found = {"zygote": zygote.pid, "sibling": max(_children(zygote.pid))}
        known = Targets(targets.files, targets.processes | found)
        names = {path: what for what, path in known.files.items()}
        names |= {str(process): what for what, process in known.processes.items()}
        told = [
            (act.name, names.get(str(act.target), ""), await _tried(zygote.fork(), file, act))
            for act in acts(known)
        ]
        sibling.end()
        return zygote.layers, told
    finally:
        os.close(file)
        await zygote.close()


async def _tried(child: Child, file: int, act: Act) -> str:
    child.ask(file, msgspec.json.encode(act))
    try:
        return (await child.answer(_MOST)).decode()
    except UselessError:
        status = (await child.death()).status
        return signal.Signals(-status).name if status < 0 else f"exit {status}"
    finally:
        child.end()


def _children(process: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    processor = here()
    assert processor is not None
    return syscall({**processor.numbers, **_FURTHER}[name], *arguments)


# x86-64; what the product's own table has no need to name.
_FURTHER: Final = {"vfork": 58, "chmod": 90, "tgkill": 234, "pidfd_open": 434, "memfd_create": 319}
_X32: Final = 0x40000000


def _every_other_descriptor(_: object, file: int) -> None:
    """Say something on every descriptor that is neither the child's own channel nor its file."""
    for number in set(range(3, 256)) - {3, file}:
        try:
            os.write(number, b"?")
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        else:
            return
    raise OSError(errno.EBADF, "none is open")


def _process_vm(name: str) -> Callable[[int, int], object]:
    def act(process: int, _: int) -> None:
        own = ctypes.create_string_buffer(8)
        part = struct.pack("=QQ", ctypes.addressof(own), 8)
        _call(name, process, part, 1, part, 1, 0)

    return act


def _mmap(protection: int, *, shared_file: bool) -> Callable[[object, int], object]:
    def act(_: object, file: int) -> None:
        if shared_file:
            mmap.mmap(file, 8, mmap.MAP_SHARED, protection)
        else:
            mmap.mmap(-1, _PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, protection)

    return act


def _mprotect(_: object, __: int) -> None:
    memory = mmap.mmap(-1, _PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _call("mprotect", address, _PAGE, mmap.PROT_READ | mmap.PROT_EXEC)


def _proc(part: str, flags: int) -> Callable[[object, int], object]:
    return lambda process, _: os.open(f"/proc/{process}/{part}", flags)


def _socket(family: int, kind: int) -> Callable[[object, int], object]:
    return lambda _, __: socket.socket(family, kind)


_ON_FILES: Final = {
    "read": lambda path, _: os.open(path, os.O_RDONLY),
    "write": lambda path, _: os.open(path, os.O_WRONLY | os.O_APPEND),
    "unlink": lambda path, _: Path(path).unlink(),
    "rename": lambda path, _: Path(path).rename(f"{path}-away"),
    "truncate": lambda path, _: os.truncate(path, 0),
    "chmod": lambda path, _: _call("chmod", os.fsencode(path), 0o777),
}
_ON_PROCESSES: Final[dict[str, Callable[[int, int], object]]] = {
    "read memory (/proc/PID/mem)": _proc("mem", os.O_RDONLY),
    "write memory (/proc/PID/mem)": _proc("mem", os.O_RDWR),
    "read environment (/proc/PID/environ)": _proc("environ", os.O_RDONLY),
    "open its files (/proc/PID/fd)": lambda process, _: os.open(f"/proc/{process}/fd", os.O_RDONLY),
    "ptrace": lambda process, _: _call("ptrace", 16, process, 0, 0),  # PTRACE_ATTACH
    "process_vm_readv": _process_vm("process_vm_readv"),
    "process_vm_writev": _process_vm("process_vm_writev"),
    "pidfd_open": lambda process, _: _call("pidfd_open", process, 0),
    "signal (kill)": lambda process, _: os.kill(process, signal.SIGTERM),
    "signal (tgkill)": lambda process, _: _call("tgkill", process, process, signal.SIGTERM),
}
_ON_NOTHING: Final = {
    "create a file": lambda _, __: os.open("/tmp/made", os.O_CREAT | os.O_WRONLY),
    "list /": lambda _, __: os.open("/", os.O_RDONLY),
    "write to every other descriptor": _every_other_descriptor,
    "change the file handed over": lambda _, file: os.pwrite(file, b"!", 0),
    "change it through a mapping": _mmap(mmap.PROT_WRITE, shared_file=True),
    "TCP socket": _socket(socket.AF_INET, socket.SOCK_STREAM),
    "UDP socket": _socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "Unix socket": _socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink socket": _socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "pair of sockets": lambda _, __: socket.socketpair(),
    "fork": lambda _, __: os.fork(),
    "vfork": lambda _, __: _call("vfork"),
    "thread (clone)": lambda _, __: _call("clone", 0x10F00, 0, 0, 0, 0),  # VM, FS, FILES, SIGHAND, THREAD
    "clone3": lambda _, __: _call("clone3", bytes(64), 64),
    "exec": lambda _, __: os.execv("/bin/true", ["true"]),
    "new namespace (unshare)": lambda _, __: _call("unshare", 0x10000000),
    "mount": lambda _, __: _call("mount", b"none", b"/", b"tmpfs", 0, None),
    "chroot": lambda _, __: os.chroot("/"),
    "io_uring_setup": lambda _, __: _call("io_uring_setup", 8, bytes(120)),
    "bpf": lambda _, __: _call("bpf", 0, bytes(128), 128),
    "perf_event_open": lambda _, __: _call("perf_event_open", bytes(128), 0, -1, -1, 0),
    "userfaultfd": lambda _, __: _call("userfaultfd", 0),
    "keyctl": lambda _, __: _call("keyctl", 0, -3, 0, 0, 0),  # KEYCTL_GET_KEYRING_ID of the session
    "memory made executable (mprotect)": _mprotect,
    "executable memory (mmap)": _mmap(mmap.PROT_READ | mmap.PROT_EXEC, shared_file=False),
    "memfd_create": lambda _, __: _call("memfd_create", b"code", 0),
    "dumpable again (prctl)": lambda _, __: _call("prctl", 4, 1, 0, 0, 0),
    "raise a limit (setrlimit)": lambda _, __: _call("prlimit64", 0, 7, struct.pack("=QQ", 99, 99), None),
    "another filter (seccomp)": lambda _, __: _call("seccomp", 0, 0, None),
    "become root (setuid)": lambda _, __: os.setresuid(0, 0, 0),
    "a call of another convention (x32)": lambda _, __: syscall(_X32 + 39),  # getpid
}
_ACTS: Final[dict[str, Callable[..., object]]] = {**_ON_FILES, **_ON_PROCESSES, **_ON_NOTHING}


def main() -> None:
    """Print what came of the attacks on the targets that are given as JSON.

    Many descriptors are open, as in a busy service: the zygote's control socket then has a high number.
    """
    busy = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    sys.stdout.buffer.write(
        msgspec.json.encode(asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Targets))))
    )
    assert len(busy) == 200  # open until here


if __name__ == "__main__":
    main()
