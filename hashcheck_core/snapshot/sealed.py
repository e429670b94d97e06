"""A snapshot in memory that nobody can change any more: one memfd with seals (memfd_create(2), fcntl(2)). Linux only.

The files are copied into the memory, the memory is sealed, and then it is hashed: so what was verified is what is
served, and no process can write to it, root included. All processes of a machine share it by its descriptor.

The memory holds the sizes of manifest and signature (two little-endian uint64), these two, and then the files in the
order of the manifest, each from the start of a page.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hashcheck_core.errors import SnapshotDigestError, SnapshotFormatError, TransportError
from hashcheck_core.snapshot.files import open_regular, transport_error
from hashcheck_core.snapshot.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest
from hashcheck_core.snapshot.rehash import Part, verify_parts
from hashcheck_core.snapshot.signing import MAX_SIGNATURE_BYTES

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_POPULATE_READ: Final = 22  # MADV_POPULATE_READ of linux/mman.h, since 5.14
_NOEXEC_SEAL: Final = 0x8  # MFD_NOEXEC_SEAL of linux/memfd.h, since 6.3
_SHMEM_ENABLED: Final = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
_HUGE: Final = re.compile(r"\[(advise|within_size|always|force)\]")
_HEAD: Final = struct.Struct("<QQ")
_COPY_BYTES: Final = 8 * 1024 * 1024


def seal(
    directory: Path,
    manifest: bytes,
    signature: bytes,
    entries: Sequence[FileEntry],
    *,
    threads: int = 1,
    huge: bool = True,
) -> int:
    """The descriptor of a sealed copy of a snapshot's files, each of them verified after the sealing.

    Args:
        directory: where the files lie.
        manifest, signature: verified already.
        entries: the files of the manifest, in its order.
        threads: that hash.
        huge: ask for huge pages, which searches are faster on.

    Raises TransportError where a file cannot be read or there is no memory, SnapshotDigestError where one is not the
    file that was signed.
    """
    descriptor = _create(f"hashcheck-{directory.name}")
    try:
        starts, total = _starts(_HEAD.size + len(manifest) + len(signature), entries)
        os.truncate(descriptor, total)
        head = _HEAD.pack(len(manifest), len(signature)) + manifest + signature
        with mmap.mmap(descriptor, total) as memory, memoryview(memory) as view:
            if huge:
                _advise_huge_pages(memory)
            memory[: len(head)] = head
            for entry, start in zip(entries, starts, strict=True):
                with view[start : start + entry.size] as room:
                    _copy(directory / entry.name, room)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        verify_parts(list(_parts(descriptor, entries, starts)), threads)
    except OSError as error:
        os.close(descriptor)
        raise transport_error(directory, error, "copied into memory") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sealed_head(descriptor: int) -> tuple[bytes, bytes]:
    """Manifest and signature, neither verified. Raises SnapshotFormatError for memory that is not sealed."""
    try:
        sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        sealed = False
    if not sealed:
        raise SnapshotFormatError(
            "The memory of a snapshot is not sealed.", next_step="Restart the service, and report it."
        )
    manifest, signature = _HEAD.unpack(os.pread(descriptor, _HEAD.size, 0).ljust(_HEAD.size, b"\0"))
    if manifest > MAX_MANIFEST_BYTES or signature > MAX_SIGNATURE_BYTES:
        raise SnapshotFormatError(
            "The memory of a snapshot has no manifest.", next_step="Restart the service, and report it."
        )
    return os.pread(descriptor, manifest, _HEAD.size), os.pread(descriptor, signature, _HEAD.size + manifest)


def sealed_parts(descriptor: int, manifest: Manifest) -> list[Part]:
    """Where the files of a verified manifest lie in sealed memory. Raises SnapshotDigestError for another size."""
    sizes = _HEAD.unpack(os.pread(descriptor, _HEAD.size, 0))
    entries = list(manifest.files())
    starts, total = _starts(_HEAD.size + sum(sizes), entries)
    if os.fstat(descriptor).st_size != total:
        raise SnapshotDigestError(
            "The memory of a snapshot is not as long as its files.",
            next_step="Restart the service, and report it.",
        )
    return list(_parts(descriptor, entries, starts))


def map_sealed(descriptor: int) -> memoryview:
    """All of the memory, read only; it stays mapped while the view, or a part of it, is in use."""
    size = os.fstat(descriptor).st_size
    memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    _advise_huge_pages(memory)
    with contextlib.suppress(OSError):
        memory.madvise(_POPULATE_READ)  # else searches meet each page for the first time
    return memoryview(memory)


def huge_pages() -> bool:
    """Whether this kernel gives huge pages to sealed memory. Without them a search takes up to 1.7 times as long."""
    with contextlib.suppress(OSError):
        return bool(_HUGE.search(_SHMEM_ENABLED.read_text()))
    return False


def _advise_huge_pages(memory: mmap.mmap) -> None:
    """Ask for huge pages. The kernel gives them where shmem_enabled (transparent_hugepage) is `advise` or more."""
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)


def _create(name: str) -> int:
    if not hasattr(os, "memfd_create"):
        raise TransportError("This system has no sealed memory.", next_step='Set served_memory = "mapped".')
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:  # as a kernel before 6.3 says
            raise
        return os.memfd_create(name, flags)


def _starts(head: int, entries: Sequence[FileEntry]) -> tuple[list[int], int]:
    """Where each file starts, and where the last one ends."""
    starts, end = [], head
    for entry in entries:
        start = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
        starts.append(start)
        end = start + entry.size
    return starts, end


def _parts(descriptor: int, entries: Sequence[FileEntry], starts: Sequence[int]) -> Iterator[Part]:
    return (Part(entry, descriptor, start) for entry, start in zip(entries, starts, strict=True))


def _copy(path: Path, room: memoryview) -> None:
    """Fill `room` from a file, and leave none of the file in the page cache: the list is in memory once."""
    with open_regular(path) as file:
        source, done = file.fileno(), 0
        while done < len(room):
            read = os.preadv(source, [room[done : done + _COPY_BYTES]], done)
            if not read:
                return  # it is too short, which its digest will show
            os.posix_fadvise(source, done, read, os.POSIX_FADV_DONTNEED)
            done += read
