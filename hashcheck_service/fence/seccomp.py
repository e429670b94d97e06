"""Which system calls are left to a zygote, and which to its children: allow-lists as seccomp filters.

A call that is on no list answers EPERM: a library may try it and go on without. A call that no decoder ever makes, and
that serves to break out, ends the process: the zygote reports it as death by SIGSYS.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hashcheck_service.fence.bpf import ARCHITECTURE, NUMBER, Jump, Line, Load, Return, argument, assemble
from hashcheck_service.fence.libc import syscall
from hashcheck_service.fence.syscalls import Processor

# linux/seccomp.h
_SET_MODE_FILTER: Final = 1
_KILL_PROCESS: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_EPERM: Final = 0x00050000 | 1

_PROT_EXEC: Final = 4
_PR_SET_PDEATHSIG: Final = 1
# What glibc and musl give to clone for a plain fork; anything else makes a thread or a namespace.
_SIGCHLD: Final = 0x11
_FORK_FLAGS: Final = _SIGCHLD | 0x01000000 | 0x00200000  # CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID

# A decoder has memory, clocks, random bytes and the descriptors it was given. It opens nothing and starts nothing.
CHILD: Final = (
    *("read", "pread64", "write", "lseek", "close", "recvmsg"),
    *("brk", "munmap", "mremap", "madvise", "futex"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrandom"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("getpid", "gettid", "getcpu", "getrusage", "sched_yield", "sched_getaffinity"),
    *("setitimer", "exit", "exit_group"),  # a timer ends a picture that takes too long (see `worker`)
)
# A zygote forks, watches and ends children, and lays the rest of the fence around each.
ZYGOTE: Final = (
    *CHILD,
    *("fork", "wait4", "kill", "poll", "ppoll", "sendmsg"),
    *("set_robust_list", "rseq", "dup2", "dup3", "close_range"),
    *("landlock_create_ruleset", "landlock_restrict_self", "seccomp"),
)
KILLED: Final = (
    *("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd"),
    *("keyctl", "add_key", "request_key", "pidfd_getfd", "open_by_handle_at", "personality"),
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns"),
    *("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "swapon", "swapoff", "reboot"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("iopl", "ioperm", "modify_ldt"),
)


@dataclass(frozen=True, slots=True)
class _Check:
    """A call that depends on one argument: `then` where it compares so, else the other answer."""

    place: int
    comparison: str
    value: int
    then: str


_MEMORY: Final = {  # memory that can be run is how a hijacked decoder would bring its own code
    "mmap": _Check(2, "&", _PROT_EXEC, "refuse"),
    "mprotect": _Check(2, "&", _PROT_EXEC, "refuse"),
}
_OF_ZYGOTES: Final = {
    "clone": _Check(0, "&", 0xFFFFFFFF ^ _FORK_FLAGS, "refuse"),
    "prctl": _Check(0, "=", _PR_SET_PDEATHSIG, "allow"),
    "prlimit64": _Check(0, "=", 0, "allow"),  # of the process itself
}


def child_filter(processor: Processor) -> bytes:
    """The filter of a process that reads a stranger's file."""
    return assemble(_program(processor, CHILD, _MEMORY))


def zygote_filter(processor: Processor) -> bytes:
    """The filter of a process that forks such processes and reads no file itself."""
    return assemble(_program(processor, ZYGOTE, _MEMORY | _OF_ZYGOTES))


def install(processor: Processor, program: bytes) -> None:
    """Lay a filter on this process and all it will fork, for good. Needs no_new_privs; raises OSError."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = _SockFprog(len(program) // 8, ctypes.addressof(instructions))
    syscall(processor.numbers["seccomp"], _SET_MODE_FILTER, 0, bytes(header))


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _program(processor: Processor, allowed: tuple[str, ...], checks: dict[str, _Check]) -> Iterator[Line]:
    yield from (Load(ARCHITECTURE), Jump("=", processor.audit, "ours"), Return(_KILL_PROCESS), "ours")
    yield Load(NUMBER)
    if processor.foreign is not None:
        yield Jump(">=", processor.foreign, "kill")
    for names, label in ((allowed, "allow"), (KILLED, "kill")):
        yield from (Jump("=", number, label) for number in _numbers(processor, names))
    for name in checks:
        yield Jump("=", processor.numbers[name], name)
    yield Return(_EPERM)
    for name, check in checks.items():
        yield from (name, Load(argument(check.place)), Jump(check.comparison, check.value, check.then))
        yield Return(_ALLOW if check.then == "refuse" else _EPERM)
    yield from ("allow", Return(_ALLOW), "refuse", Return(_EPERM), "kill", Return(_KILL_PROCESS))


def _numbers(processor: Processor, names: tuple[str, ...]) -> list[int]:
    """Those of the calls that this processor has."""
    return [processor.numbers[name] for name in names if name in processor.numbers]
