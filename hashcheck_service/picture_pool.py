"""Pictures are hashed in processes of their own (`picture_worker`): a few, started when first needed, each with one
picture at a time. One that dies over a picture, or takes too long, is killed and replaced; the picture is then unknown,
and nothing else is touched. It keeps no bytes of a picture and logs none.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from typing import Final

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash
from hashcheck_core.images.hashing import ImageHash
from hashcheck_service.batches import Reason
from hashcheck_service.logs import log
from hashcheck_service.picture_worker import LENGTH_BYTES, Hashed, Part, WorkerLimits
from hashcheck_service.settings import Limits

_START_SECONDS: Final = 60.0
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

_decoder = msgspec.msgpack.Decoder(Part)


@dataclass(frozen=True, slots=True)
class Looked:
    """All hashes of a picture, the exact ones first, and why some of it could not be looked at."""

    hashes: list[ImageHash]
    reasons: list[Reason]


class _Worker:
    """One process. Any error of `parts` leaves it useless."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def part(self) -> Part:
        assert self._process.stdout is not None
        length = int.from_bytes(await self._process.stdout.readexactly(LENGTH_BYTES))
        return _decoder.decode(await self._process.stdout.readexactly(length))

    async def ask(self, data: bytes, *, dihedral: bool) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(len(data).to_bytes(LENGTH_BYTES) + bytes([dihedral]))
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def gone(self) -> None:
        self.kill()
        await self._process.wait()


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
            worker = worker or await self._start()
            looked, sound = await self._look(worker, data, dihedral=dihedral)
            if not sound:
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

    async def _look(self, worker: _Worker, data: bytes, *, dihedral: bool) -> tuple[Looked, bool]:
        """What the worker found, and whether it is fit for another."""
        looked = Looked([], [])
        try:
            async with asyncio.timeout(self._seconds):
                await worker.ask(data, dihedral=dihedral)
                for _ in range(2):
                    part = await worker.part()
                    looked.hashes.extend(map(_image_hash, part.hashes))
                    if part.reason is not None:
                        looked.reasons.append(Reason(part.reason))
        except TimeoutError:
            log.warning("picture_took_too_long", seconds=self._seconds)
            looked.reasons.append(Reason.IMAGE_TIMEOUT)
            return looked, False
        except (OSError, EOFError, msgspec.DecodeError):
            log.warning("picture_worker_died")
            looked.reasons.append(Reason.UNDECODABLE_IMAGE)
            return looked, False
        return looked, True

    async def _start(self) -> _Worker:
        limits = msgspec.structs.replace(self._limits, parent=os.getpid())
        try:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "hashcheck_service.picture_worker",
                    msgspec.json.encode(limits).decode(),
                ),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,  # what a decoder says may quote the picture
                env={name: os.environ[name] for name in _KEPT if name in os.environ} | _ENVIRONMENT,
            )
        except OSError:
            raise _cannot_start() from None
        worker = _Worker(process)
        self._all.add(worker)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.part()
        except (TimeoutError, OSError, EOFError, msgspec.DecodeError):
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


def _image_hash(one: Hashed) -> ImageHash:
    return ImageHash(Hash(BUILT_IN_TYPES[one.type], one.value), one.quality, one.transform)


def _cannot_start() -> TransportError:
    return TransportError(
        "A process for pictures could not be started.",
        next_step="Look at the memory and the number of processes the service may have.",
    )
