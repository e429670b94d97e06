"""Pictures are decoded and hashed each in a process of its own behind a fence (`fence`, `worker`). One that dies over a
picture, or takes too long, is ended; what is to be seen is then unknown, and nothing else is touched. The exact hashes
need no decoder: they are computed here, and stand whatever becomes of the process. No byte of a picture is kept or
logged.

How many are looked at at a time is the caller's affair.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from hashcheck_core.errors import HashError, TransportError
from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash
from hashcheck_core.images.hashing import DIHEDRAL, ImageHash, hash_bytes
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.fence.client import PROGRAM, Child, UselessError, Zygote
from hashcheck_service.fence.layer import require
from hashcheck_service.fence.messages import Options
from hashcheck_service.fence.sealed_file import sealed_file
from hashcheck_service.metrics import Metrics
from hashcheck_service.pictures.failed import FailedPictures
from hashcheck_service.pictures.failure import Failure
from hashcheck_service.pictures.worker import TASK, Found, Hashed, PictureLimits, Question
from hashcheck_service.settings import Fence, Limits

_HERE: Final = 128 * 1024  # bytes, some 0.3 ms for the event loop; more are hashed and copied in a thread
_MOST_ANSWERED: Final = 64 * 1024  # bytes; nine hashes take one. A process that says more has been taken over
# The reasons that a process gives beside hashes, and in their place.
_WITH_HASHES: Final = frozenset({Reason.ANIMATION})
_WITHOUT_HASHES: Final = frozenset(
    {Reason.UNDECODABLE_IMAGE, Reason.IMAGE_TOO_LARGE, Reason.IMAGE_TOO_SMALL, Reason.IMAGE_TOO_COMPLEX}
)

T = TypeVar("T")

_answers = msgspec.msgpack.Decoder(Found)
_questions = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Looked:
    """All hashes of a picture, the exact ones first, and why some of it could not be looked at."""

    hashes: list[ImageHash]
    reasons: list[Reason]


class PicturePool:
    """For one event loop. The first picture starts a zygote; some processes are forked ahead of their pictures."""

    def __init__(
        self, limits: Limits, fence: Fence, metrics: Metrics, program: Sequence[str] = PROGRAM
    ) -> None:
        """Args:
        limits: what a picture may cost. `max_pictures_in_hand` processes are kept ready.
        fence: with "required" no picture is decoded where a required layer of the fence does not hold.
        metrics: where failures are counted.
        program: the zygote's, as arguments of Python.
        """
        self._seconds = limits.picture_seconds
        self._ahead = limits.max_pictures_in_hand
        self._fence = fence
        self._metrics = metrics
        self._program = program
        given = PictureLimits(limits.max_media_bytes, limits.max_pixels, limits.picture_seconds)
        self._options = Options(
            memory_bytes=limits.picture_memory_bytes,
            cpu_seconds=int(limits.picture_seconds) + 1,
            task=TASK,
            given=msgspec.json.encode(given).decode(),
        )
        self._zygote: Zygote | None = None
        self._starting = asyncio.Lock()
        self._ready: deque[Child] = deque()
        self._failed = FailedPictures()

    async def look(self, data: bytes, *, dihedral: bool, tenant: str) -> Looked:
        """Hash the picture in `data`.

        Args:
            data: the whole file, not empty.
            dihedral: whether PDQ is computed of all eight turns.
            tenant: whose it is, for the log.
        Raises: TransportError where no process can be started.
        """
        exact = None
        if self._failed:  # as it seldom is: the hashes are then wanted before the process, and not beside it
            exact = await _exact(data)
            if (reason := self._failed.reason(exact[-1].hash.value)) is not None:
                return Looked(exact, [reason])
        zygote = await self._running()
        child = self._take(zygote)
        try:
            file = await _off_the_loop(sealed_file, data)
            try:
                child.ask(file, _questions.encode(Question(len(data), dihedral)))
            finally:
                os.close(file)
            exact = exact or await _exact(data)
            return await self._looked(child, exact, tenant, dihedral=dihedral)
        finally:
            child.end()
            self._fork_ahead(zygote)

    async def close(self) -> None:
        """End the zygote, and with it all processes."""
        while self._ready:
            self._ready.popleft().end()
        if self._zygote is not None:
            await self._zygote.close()

    async def _looked(self, child: Child, exact: list[ImageHash], tenant: str, *, dihedral: bool) -> Looked:
        cause = "death"
        try:
            async with asyncio.timeout(self._seconds):
                found = _answers.decode(await child.answer(_MOST_ANSWERED))
            hashes, reasons = _believed(found, dihedral=dihedral)
            return Looked(exact + hashes, reasons)
        except TimeoutError:
            cause = "time"
        except (msgspec.DecodeError, HashError, LookupError, ValueError):
            cause = "nonsense"
        except UselessError:
            pass
        child.end()
        death = await child.death()
        failure = Failure.of(death, cause)
        failure.tell(tenant, death)
        self._metrics.picture_failures.labels(failure.cause).inc()
        if failure.repeats:
            self._failed.add(exact[-1].hash.value, failure.reason)
        return Looked(exact, [failure.reason])

    def _take(self, zygote: Zygote) -> Child:
        while self._ready:
            child = self._ready.popleft()
            if not child.ended:
                return child
            child.end()
        return zygote.fork()

    def _fork_ahead(self, zygote: Zygote) -> None:
        """Called when an answer is there: a fork before would take the processor from it."""
        while zygote.alive and len(self._ready) < self._ahead:
            self._ready.append(zygote.fork())

    async def _running(self) -> Zygote:
        async with self._starting:
            if self._zygote is None or not self._zygote.alive:
                await self.close()
                self._zygote = await self._start()
                self._fork_ahead(self._zygote)
            return self._zygote

    async def _start(self) -> Zygote:
        if sys.platform != "linux":
            raise TransportError(
                "Pictures are decoded on Linux alone.",
                next_step="Hash them on your side and send the hashes.",
            )
        zygote = await Zygote.start(self._options, self._program)
        if self._fence == Fence.REQUIRED:
            try:
                require(zygote.layers)
            except TransportError:
                await zygote.close()
                raise
        return zygote


async def _exact(data: bytes) -> list[ImageHash]:
    return await _off_the_loop(hash_bytes, data)


async def _off_the_loop(work: Callable[[bytes], T], data: bytes) -> T:
    return work(data) if len(data) <= _HERE else await asyncio.to_thread(work, data)


def _believed(found: Found, *, dihedral: bool) -> tuple[list[ImageHash], list[Reason]]:
    """What a process answered, if it is what it was asked for; raises ValueError for more, for less, and for anything
    else."""
    reasons = [] if found.reason is None else [Reason(found.reason)]
    if reasons and reasons[0] not in (_WITH_HASHES if found.hashes else _WITHOUT_HASHES):
        raise ValueError("not a reason of this kind")
    if found.hashes or not reasons:
        turns = DIHEDRAL if dihedral else DIHEDRAL[:1]
        wanted = [*(("pdq", turn) for turn in turns), ("phash", DIHEDRAL[0])]
        if [(one.type, one.transform) for one in found.hashes] != wanted:
            raise ValueError("not the hashes that were asked for")
    return [_image_hash(one) for one in found.hashes], reasons


def _image_hash(one: Hashed) -> ImageHash:
    hash_type = BUILT_IN_TYPES[one.type]
    if one.quality is not None and not 0 <= one.quality <= 100:
        raise ValueError("not a quality")
    return ImageHash(Hash(hash_type, one.value), one.quality, one.transform)
