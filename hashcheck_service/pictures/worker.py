"""A process that decodes pictures and hashes what is to be seen, one after the other, so that a decoder that crashes,
hangs or swallows memory takes nobody with it. `pool` starts it and talks to it over its standard input and
output.

It holds no snapshot, no key and no setting but its limits, writes no file, and leaves no core dump. It ends when its
input does, and on Linux with the process that started it, however that ends.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import BinaryIO, Final

import msgspec

from hashcheck_core.errors import ImageError
from hashcheck_core.images.decoder import ImageLimits, decode
from hashcheck_core.images.hashing import ImageHash, hash_picture

_PR_SET_PDEATHSIG: Final = 1
LENGTH_BYTES: Final = 4  # of what follows, before each message of either side, big-endian


class Hashed(msgspec.Struct, frozen=True, gc=False):
    """A computed hash on its way to the service."""

    type: str
    value: bytes
    transform: str
    quality: int | None


class Found(msgspec.Struct, frozen=True):
    """The answer to a picture. `reason`: the code of why it, or some of it, could not be looked at."""

    hashes: list[Hashed]
    reason: str | None = None


class WorkerLimits(msgspec.Struct, frozen=True):
    """What a worker is told, as JSON, in its one argument. `cpu_seconds`: for one picture."""

    max_bytes: int
    max_pixels: int
    memory_bytes: int
    cpu_seconds: int
    parent: int


def main() -> None:
    limits = msgspec.json.decode(sys.argv[1], type=WorkerLimits)
    _confine(limits)
    # A library that prints must not do so into an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, limits)


def serve(questions: BinaryIO, answers: BinaryIO, limits: WorkerLimits) -> None:
    """Answer until there are no more questions. The first message says that it is ready."""
    image_limits = ImageLimits(max_bytes=limits.max_bytes, max_pixels=limits.max_pixels)
    _tell(answers, Found([]))
    while head := questions.read(LENGTH_BYTES + 1):
        data = questions.read(int.from_bytes(head[:LENGTH_BYTES]))
        _allow_cpu(limits.cpu_seconds)
        _tell(answers, _look(data, image_limits, dihedral=bool(head[LENGTH_BYTES])))


def _look(data: bytes, limits: ImageLimits, *, dihedral: bool) -> Found:
    try:
        image = decode(data, limits)
        hashes = hash_picture(image.grey, dihedral=dihedral)
    except ImageError as error:
        return Found([], error.code)
    except MemoryError:
        return Found([], ImageError.code)
    return Found([_hashed(one) for one in hashes], "animation" if image.frames > 1 else None)


def _hashed(one: ImageHash) -> Hashed:
    return Hashed(one.hash.type.name, one.hash.value, one.transform, one.quality)


def _tell(answers: BinaryIO, found: Found) -> None:
    body = msgspec.msgpack.encode(found)
    answers.write(len(body).to_bytes(LENGTH_BYTES) + body)
    answers.flush()


def _confine(limits: WorkerLimits) -> None:
    """Lay the limits on this process; what a platform does not have is left out."""
    for name in (signal.SIGINT, signal.SIGTERM):  # the service says when it is over, by closing our input
        signal.signal(name, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != limits.parent:  # it ended before it could be asked to tell
            sys.exit(1)
        os.setpriority(os.PRIO_PROCESS, 0, 5)  # checks of hashes go first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))


def _allow_cpu(seconds: int) -> None:
    """So many more seconds of processor time from now; then the system ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, hard))


if __name__ == "__main__":
    main()
