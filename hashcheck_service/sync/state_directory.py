"""The state directory: what all workers of a machine share, and what a restart must not forget.

    keys-….json, current, overlay   the newest that were accepted, as they were signed
    trust.json                      the highest numbers seen (hashcheck_core.snapshot.trust.Memory)
    snapshots/<id>                  copies of the last few snapshots; snapshots/incoming what is on its way
    fetching.json                   how the sync process is getting on
    lock                            held by that process
    usage                           what each tenant has used in the minute that runs
    near-matches/<number>.jsonl     what workers tell each other of near matches (hashcheck_service.probing.journal)
    pinned                          the pointer an admin holds this machine to, if there is one
    workers/<pid>.json              what each worker serves

Only the process that holds the lock writes, but for the last three; all verify what they read, every time.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.errors import HashcheckError, SnapshotFormatError, SnapshotRollbackError
from hashcheck_core.snapshot.files import read_limited, sync_directory, transport_error, write_atomically
from hashcheck_core.snapshot.keys import MAX_KEYS_BYTES, first_keys
from hashcheck_core.snapshot.overlay import MAX_OVERLAY_BYTES
from hashcheck_core.snapshot.pointer import OVERLAY_NAME, POINTER_NAME, Pointer, is_snapshot_name, keys_name
from hashcheck_core.snapshot.trust import NO_FLOOR, Floor, Memory, Trust

MEMORY_NAME: Final = "trust.json"
PINNED_NAME: Final = "pinned"
_FETCHING: Final = "fetching.json"
_MAX_STATUS_BYTES: Final = 64 * 1024


class Fetching(msgspec.Struct, frozen=True):
    """How the process that fetches is getting on: when it last asked the store, and why it took nothing.

    `answered_at`: when the store last gave a pointer, whether it was taken or not.
    """

    pid: int
    at: datetime
    answered_at: datetime | None = None
    refused: str | None = None
    detail: str | None = None


class Worker(msgspec.Struct, frozen=True):
    """What a worker serves. `pinned`: the number of the pointer it is held to, 0 for none."""

    pid: int
    snapshot: str | None = None
    version: int | None = None
    overlay: int = 0
    pinned: int = 0
    refused: str | None = None


class State:
    """Files below `root`. Raises TransportError where they cannot be used."""

    def __init__(self, root: Path, floor: Floor = NO_FLOOR) -> None:
        self.root = root
        self._floor = floor
        self.snapshots = root / "snapshots"
        self.usage = root / "usage"
        self.near_matches = root / "near-matches"
        self._workers = root / "workers"
        self._told: Worker | None = None
        self._lock: int | None = None

    def prepare(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.snapshots.mkdir(exist_ok=True, mode=0o700)
            self._workers.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise transport_error(self.root, error, "made") from None

    def lead(self) -> bool:
        """Whether this process is the one that fetches. It stays so until it ends, however it ends."""
        if self._lock is not None:
            return True
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.root / "lock", flags, 0o600)
        except OSError as error:
            raise transport_error(self.root / "lock", error, "opened") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def trust(self, pinned: bytes) -> Trust:
        """The keys that are trusted now, and the memory: the highest of what was remembered and of every signed
        document here. Raises a SnapshotError where the directory was tampered with or is damaged."""
        memory = self._memory()
        trust = Trust(first_keys(pinned), memory or Memory(), self._floor)
        while (data := self.document(keys_name(trust.keys.version + 1), MAX_KEYS_BYTES)) is not None:
            trust = trust.renew(data)
        pointers, overlays = ((POINTER_NAME, PINNED_NAME), (OVERLAY_NAME,))
        trust = trust.recalling(self._documents(pointers), self._documents(overlays))
        if memory is None and self.is_used and not trust.memory.in_force.sequence:
            raise SnapshotFormatError(
                f"{MEMORY_NAME} and the pointer are missing from the state directory, and other files of it are "
                "there: what was seen before is lost.",
                next_step="See docs/runbook.md: a state directory that is damaged.",
            )
        return trust

    @property
    def is_used(self) -> bool:
        """Whether there is anything here that was accepted: without it this is a first start."""
        names = (POINTER_NAME, PINNED_NAME, OVERLAY_NAME)
        return (
            any((self.root / name).exists() for name in names)
            or any(self.root.glob("keys-*.json"))
            or any(is_snapshot_name(path.name) for path in self.snapshots.glob("*"))
        )

    def _documents(self, names: Iterable[str]) -> list[bytes]:
        return [data for name in names if (data := self.document(name)) is not None]

    def document(self, name: str, limit: int = MAX_OVERLAY_BYTES) -> bytes | None:
        """A document as it was accepted; None where there is none."""
        path = self.root / name
        try:
            path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise transport_error(path, error, "read") from None
        return read_limited(path, limit)

    def keep(self, name: str, data: bytes) -> None:
        write_atomically(self.root / name, data, 0o600)

    def remember(self, memory: Memory) -> None:
        payload = msgspec.json.encode(memory)
        digest = hashlib.sha256(payload).hexdigest()
        write_atomically(self.root / MEMORY_NAME, payload + b"\n" + digest.encode() + b"\n", 0o600)

    def _memory(self) -> Memory | None:
        data = self.document(MEMORY_NAME, _MAX_STATUS_BYTES)
        if data is None:
            return None
        payload, _, digest = data.partition(b"\n")
        try:
            if digest != hashlib.sha256(payload).hexdigest().encode() + b"\n":
                raise ValueError
            return msgspec.json.decode(payload, type=Memory)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise SnapshotFormatError(
                f"{MEMORY_NAME} in the state directory is damaged.",
                next_step="See docs/runbook.md: a state directory that is damaged.",
            ) from None

    def in_force(self, trust: Trust) -> tuple[Pointer, bool] | None:
        """The pointer whose snapshot is to be served, and whether an admin holds this machine to it. None where nothing
        has come yet."""
        pinned, newest = (self.document(name) for name in (PINNED_NAME, POINTER_NAME))
        if pinned is not None:
            return trust.pinned(pinned), True
        if newest is not None:
            return trust.in_force(newest)[1], False
        if trust.memory.in_force.sequence:
            raise SnapshotRollbackError(
                f"Pointer {trust.memory.in_force.sequence} was in force here, and it is gone.",
                next_step="It is fetched again from the store; if it is not there either, publish anew.",
            )
        return None

    def report(self, fetching: Fetching) -> None:
        write_atomically(self.root / _FETCHING, msgspec.json.encode(fetching), 0o600)

    def fetching(self) -> Fetching | None:
        """What the process that fetches last said; None where it said nothing that can be read."""
        try:
            data = self.document(_FETCHING, _MAX_STATUS_BYTES)
            return None if data is None else msgspec.json.decode(data, type=Fetching)
        except (HashcheckError, msgspec.DecodeError):
            return None

    def tell(self, worker: Worker) -> None:
        """Say what this worker serves, and that it lives."""
        path = self._workers / f"{worker.pid}.json"
        if worker != self._told or not path.exists():
            write_atomically(path, msgspec.json.encode(worker), 0o600)
            self._told = worker
        os.utime(path)

    def workers(self) -> list[tuple[Worker, datetime]]:
        """Every living worker of this machine and when it was last heard of; what dead ones left is removed."""
        found = []
        for path in sorted(self._workers.glob("[0-9]*.json")):
            try:
                if not Path("/proc", path.stem).exists():
                    path.unlink()
                    continue
                heard = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                found.append((msgspec.json.decode(read_limited(path, _MAX_STATUS_BYTES), type=Worker), heard))
            except (OSError, HashcheckError, msgspec.DecodeError):
                continue  # it is being replaced, or it went away meanwhile
        return found

    def drop(self, name: str) -> None:
        try:
            (self.root / name).unlink(missing_ok=True)
            sync_directory(self.root)
        except OSError as error:
            raise transport_error(self.root / name, error, "removed") from None

    def stamp(self, *names: str) -> tuple[object, ...]:
        """Changes whenever one of these files is replaced. Cheap enough to ask each second."""
        return tuple(_stamp_of(self.root / name) for name in names)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
