"""Start a program on a system that lacks some system calls.

    python -m tests.hashcheck_service.fence.without CALL:ERRNO,... PROGRAM...

A kernel without Landlock answers ENOSYS to landlock_create_ruleset; Docker's default profile answers EPERM to unshare.
Here a filter does, laid on the program before it starts.
"""

import errno
import os
import sys

from hashcheck_service.fence import privileges, seccomp
from hashcheck_service.fence.bpf import ARCHITECTURE, NUMBER, Jump, Line, Load, Return, assemble
from hashcheck_service.fence.syscalls import here

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000


def main() -> None:
    calls = dict(one.split(":") for one in sys.argv[1].split(","))
    processor = here()
    assert processor is not None
    lines: list[Line] = [
        Load(ARCHITECTURE),
        Jump("=", processor.audit, "ours"),
        Return(_ALLOW),
        "ours",
        Load(NUMBER),
    ]
    lines += [Jump("=", processor.numbers[name], name) for name in calls]
    lines.append(Return(_ALLOW))
    for name, answer in calls.items():
        lines += [name, Return(_ERRNO | getattr(errno, answer))]
    privileges.no_new_privileges(processor)
    seccomp.install(processor, assemble(lines))
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
