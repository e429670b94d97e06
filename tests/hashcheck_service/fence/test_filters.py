"""The filters of system calls, run by an interpreter of BPF: what each says of every call, on every processor."""

import struct
from collections.abc import Callable, Iterator

import pytest

from hashcheck_service.fence import bpf, seccomp
from hashcheck_service.fence.syscalls import PROCESSORS, Processor

KILL, ALLOW, EPERM = 0x80000000, 0x7FFF0000, 0x00050001
EXECUTABLE, WRITABLE = 4, 2
OTHERS = {"x86_64": 0x40000003, "aarch64": 0x40000028}  # i386 and arm, which the same processors run too


def answer(program: bytes, audit: int, number: int, *arguments: int) -> int:
    """What a filter says of a call: seccomp(2) and linux/bpf_common.h."""
    given = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, audit, 0, *given)
    lines = list(struct.iter_unpack("=HBBI", program))
    accumulator = place = 0
    while True:
        code, jump, otherwise, value = lines[place]
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            compared = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }
            place += jump if compared[code] else otherwise


def numbers(processor: Processor) -> Iterator[tuple[int, str]]:
    names = {number: name for name, number in processor.numbers.items()}
    for number in range(600):
        yield number, names.get(number, "")


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
def test_a_child_may_make_the_calls_of_its_list_and_no_other(processor: Processor) -> None:
    program = seccomp.child_filter(processor)
    for number, name in numbers(processor):
        if name in ("mmap", "mprotect"):
            assert answer(program, processor.audit, number, 0, 0, WRITABLE) == ALLOW
            assert answer(program, processor.audit, number, 0, 0, WRITABLE | EXECUTABLE) == EPERM
        elif name in seccomp.CHILD:
            assert answer(program, processor.audit, number) == ALLOW, name
        else:
            assert answer(program, processor.audit, number) == (KILL if name in seccomp.KILLED else EPERM), (
                name
            )


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("build", [seccomp.child_filter, seccomp.zygote_filter])
def test_a_call_of_another_convention_ends_the_process(
    processor: Processor, build: Callable[[Processor], bytes]
) -> None:
    program = build(processor)
    for number, _ in numbers(processor):
        for other in (OTHERS[processor.name], *(p.audit for p in PROCESSORS.values() if p is not processor)):
            assert answer(program, other, number) == KILL
        if processor.foreign is not None:
            assert answer(program, processor.audit, processor.foreign + number) == KILL
            assert answer(program, processor.audit, 0xFFFFFFFF - number) == KILL


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
def test_a_zygote_may_fork_and_make_neither_thread_nor_namespace(processor: Processor) -> None:
    program = seccomp.zygote_filter(processor)
    clone = processor.numbers["clone"]
    fork, thread, user_namespace = 0x01200011, 0x003D0F00, 0x10000011
    assert answer(program, processor.audit, clone, fork) == ALLOW
    assert answer(program, processor.audit, clone, thread) == EPERM
    assert answer(program, processor.audit, clone, user_namespace) == EPERM
    assert answer(program, processor.audit, processor.numbers["clone3"]) == EPERM
    for name in ("execve", "ptrace", "io_uring_setup", "mount", "bpf"):
        assert answer(program, processor.audit, processor.numbers[name]) == KILL
    prctl = processor.numbers["prctl"]
    assert answer(program, processor.audit, prctl, 1) == ALLOW  # to end with its parent
    assert answer(program, processor.audit, prctl, 4) == EPERM  # to be dumpable again


def test_a_jump_that_leads_nowhere_is_no_program() -> None:
    with pytest.raises(ValueError, match="ahead"):
        bpf.assemble([bpf.Jump("=", 1, "nowhere"), bpf.Return(0)])
    with pytest.raises(ValueError, match="ahead"):
        bpf.assemble(["behind", bpf.Jump("=", 1, "behind"), bpf.Return(0)])
    with pytest.raises(ValueError, match="ahead"):
        bpf.assemble([bpf.Jump("=", 1, "far"), *[bpf.Return(0)] * 256, "far", bpf.Return(0)])
