"""Processes for pictures as `benchmarks.fence` compares them: a zygote that raises no fence, and one kept process that
looks at one picture after the other.

python -m benchmarks.unfenced zygote OPTIONS, or: python -m benchmarks.unfenced kept LIMITS
"""

import os
import sys
from unittest.mock import patch

import msgspec

from hashcheck_service.fence import zygote
from hashcheck_service.fence.messages import LENGTH
from hashcheck_service.fence.sealed_file import sealed_file
from hashcheck_service.pictures.worker import Question, prepare


def _kept(limits: str) -> None:
    look = prepare(limits)
    while head := sys.stdin.buffer.read(LENGTH.size):
        data = sys.stdin.buffer.read(LENGTH.unpack(head)[0])
        file = sealed_file(data)
        answer = look(file, msgspec.msgpack.encode(Question(len(data), dihedral=False)))
        os.close(file)
        sys.stdout.buffer.write(LENGTH.pack(len(answer)) + answer)
        sys.stdout.buffer.flush()


def main() -> None:
    what = sys.argv.pop(1)
    if what == "kept":
        _kept(sys.argv[1])
    else:
        # A fence that holds nothing: what is left is the fork.
        with (
            patch.object(zygote, "raise_around_zygote", return_value={}),
            patch.object(zygote, "raise_around_child"),
        ):
            zygote.main()


if __name__ == "__main__":
    main()
