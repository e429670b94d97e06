"""Pictures are decoded in processes of their own (`worker`): a few, started when first needed, each with one
picture at a time. One that dies over a picture, or takes too long, is killed and replaced; what is to be seen is then
unknown, and nothing else is touched. The exact hashes need no decoder: they are computed here, and stand whatever
becomes of the process. It keeps no bytes of a picture and logs none.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from hashcheck_core.errors import HashError, TransportError
from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash
from hashcheck_core.images.hashing import ImageHash, hash_bytes
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.logs import log
from hashcheck_service.pictures.worker import LENGTH_BYTES, Found, Hashed, WorkerLimits
from hashcheck_service.settings import Limits

_START_SECONDS: Final = 60.0
_HASHED_HERE: Final = 128 * 1024  # bytes, some 0.3 ms for the event loop; more are hashed in a thread
_MOST_ANSWERED: Final = 64 * 1024  # bytes; nine hashes take one. A process that says more has been taken over
# Of the service's environment a worker gets what finding itself needs, and one thread for its sums.
_KEPT: Final = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "TMPDIR",
)
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_decoder = msgspec.msgpack.Decoder(Found)


@dataclass(frozen=True, slots=True)
class Looked:
    """All hashes of a picture, the exact ones first, and why some of it could not be looked at."""

    hashes: list[ImageHash]
    reasons: list[Reason]


class _UselessError(Exception):
    """The process died, or says what it should not."""


class _Worker(asyncio.SubprocessProtocol):
    """One process, and what it has said so far of its answer. `sound` until it dies, or says what it should not."""

    def __init__(self) -> None:
        self._transport: asyncio.SubprocessTransport | None = None
        self._heard = bytearray()
        self._answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self.sound = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is one in all but name

    @property
    def pid(self) -> int:
        assert self._transport is not None
        return self._transport.get_pid()

    def ask(self, data: bytes, *, dihedral: bool) -> None:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        questions = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        questions.writelines((len(data).to_bytes(LENGTH_BYTES) + bytes([dihedral]), data))

    async def answer(self) -> Found:
        """To what was asked last; the first, unasked, says that it is ready. Raises _UselessError."""
        return await self._answer

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._heard += data
        if len(self._heard) < LENGTH_BYTES:
            return
        whole = LENGTH_BYTES + int.from_bytes(self._heard[:LENGTH_BYTES])
        if self._answer.done() or len(self._heard) > whole or whole > _MOST_ANSWERED:
            self._fail()
        elif len(self._heard) == whole:
            try:
                self._answer.set_result(_decoder.decode(self._heard[LENGTH_BYTES:]))
            except msgspec.DecodeError:
                self._fail()
            self._heard.clear()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._fail()

    def process_exited(self) -> None:
        self._ended.set()
        self._fail()

    def _fail(self) -> None:
        self.sound = False
        if not self._answer.done():
            self._answer.set_exception(_UselessError())
            self._answer.exception()  # nobody may be waiting for it

    def kill(self) -> None:
        assert self._transport is not None
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()

    async def gone(self) -> None:
        assert self._transport is not None
        self.kill()
        await self._ended.wait()
        self._transport.close()


class PicturePool:
    """For one event loop. `workers` and `seconds` for each picture, and what a worker may use, are of `limits`."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.picture_seconds
        self._limits = WorkerLimits(
            max_bytes=limits.max_media_bytes,
            max_pixels=limits.max_pixels,
            memory_bytes=limits.picture_memory_bytes,
            cpu_seconds=int(limits.picture_seconds) + 1,
            parent=0,
        )
        # A place for each worker; None where it is yet to be started. The last used is the next used.
        self._idle: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(limits.max_pictures_in_hand):
            self._idle.put_nowait(None)
        self._all: set[_Worker] = set()

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._all]

    async def look(self, data: bytes, *, dihedral: bool) -> Looked:
        """Hash the picture in `data`; waits for a free worker. Raises TransportError where none can be started."""
        worker = await self._idle.get()
        try:
            if worker is not None and not worker.sound:  # it died meanwhile, over no picture
                await self._end(worker)
                worker = None
            worker = worker or await self._start()
            looked = await self._look(worker, data, dihedral=dihedral)
            if not worker.sound:
                await self._end(worker)
                worker = None
        except BaseException:  # it is in the middle of something that nobody waits for
            if worker is not None:
                worker.kill()
                self._all.discard(worker)
            worker = None
            raise
        finally:
            self._idle.put_nowait(worker)
        return looked

    async def close(self) -> None:
        """End all workers."""
        for worker in list(self._all):
            await self._end(worker)

    async def _look(self, worker: _Worker, data: bytes, *, dihedral: bool) -> Looked:
        """What the worker found; it is not `sound` where it is not fit for another."""
        worker.ask(data, dihedral=dihedral)
        looked = Looked(await _exact(data), [])
        try:
            async with asyncio.timeout(self._seconds):
                found = await worker.answer()
            looked.hashes.extend([_image_hash(one) for one in found.hashes])
            if found.reason is not None:
                looked.reasons.append(Reason(found.reason))
        except TimeoutError:
            log.warning("picture_took_too_long", seconds=self._seconds)
            looked.reasons.append(Reason.IMAGE_TIMEOUT)
            worker.sound = False
        except (_UselessError, HashError, LookupError, ValueError):
            log.warning("picture_worker_died")
            looked.reasons.append(Reason.UNDECODABLE_IMAGE)
            worker.sound = False
        return looked

    async def _start(self) -> _Worker:
        limits = msgspec.structs.replace(self._limits, parent=os.getpid())
        try:
            _, worker = await asyncio.get_running_loop().subprocess_exec(
                _Worker,
                *(
                    sys.executable,
                    "-m",
                    "hashcheck_service.pictures.worker",
                    msgspec.json.encode(limits).decode(),
                ),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,  # what a decoder says may quote the picture
                env={name: os.environ[name] for name in _KEPT if name in os.environ} | _ENVIRONMENT,
            )
        except OSError:
            raise _cannot_start() from None
        self._all.add(worker)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.answer()
        except (TimeoutError, _UselessError):
            await self._end(worker)
            raise _cannot_start() from None
        except BaseException:
            worker.kill()
            self._all.discard(worker)
            raise
        return worker

    async def _end(self, worker: _Worker) -> None:
        self._all.discard(worker)
        await worker.gone()


async def _exact(data: bytes) -> list[ImageHash]:
    if len(data) <= _HASHED_HERE:
        return hash_bytes(data)
    return await asyncio.to_thread(hash_bytes, data)


def _image_hash(one: Hashed) -> ImageHash:
    return ImageHash(Hash(BUILT_IN_TYPES[one.type], one.value), one.quality, one.transform)


def _cannot_start() -> TransportError:
    return TransportError(
        "A process for pictures could not be started.",
        next_step="Look at the memory and the number of processes the service may have.",
    )
