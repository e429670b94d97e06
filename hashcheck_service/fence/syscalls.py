"""Numbers of system calls, by processor.

Source: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (aarch64). From 424 on
the numbers are the same everywhere. A name without a number does not exist on that processor.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# name: (x86-64, aarch64)
_NUMBERS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "brk": (12, 214),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close": (3, 57),
    "close_range": (436, 436),
    "delete_module": (176, 106),
    "dup2": (33, None),
    "dup3": (292, 24),
    "execve": (59, 221),
    "execveat": (322, 281),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "finit_module": (313, 273),
    "fork": (57, None),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "poll": (7, None),
    "ppoll": (271, 73),
    "prctl": (157, 167),
    "pread64": (17, 67),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "read": (0, 63),
    "reboot": (169, 142),
    "recvmsg": (47, 212),
    "request_key": (249, 218),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "seccomp": (317, 277),
    "sendmsg": (46, 211),
    "set_robust_list": (273, 99),
    "setitimer": (38, 103),
    "setns": (308, 268),
    "sigaltstack": (131, 132),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "time": (201, None),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "wait4": (61, 260),
    "write": (1, 64),
}


@dataclass(frozen=True, slots=True)
class Processor:
    """`audit` names the calling convention to a filter (linux/audit.h). `foreign` is the first number of another
    convention that shares it: x32 on x86-64."""

    name: str
    audit: int
    foreign: int | None
    numbers: Mapping[str, int]


def _processor(name: str, audit: int, foreign: int | None, column: int) -> Processor:
    numbers = {call: both[column] for call, both in _NUMBERS.items()}
    return Processor(name, audit, foreign, {call: n for call, n in numbers.items() if n is not None})


PROCESSORS: Final = {
    "x86_64": _processor("x86_64", 0xC000003E, 0x40000000, 0),
    "aarch64": _processor("aarch64", 0xC00000B7, None, 1),
}


def here() -> Processor | None:
    """The processor this runs on; None for one whose numbers are not known."""
    return PROCESSORS.get(platform.machine())
