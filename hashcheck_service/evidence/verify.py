"""Whether a hit log is what was written: every file by its chain, and by its witness where there is one."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hashcheck_core.errors import NotAFileError
from hashcheck_core.snapshot.files import open_regular, transport_error
from hashcheck_service.evidence.chain import Read, read_chain
from hashcheck_service.evidence.witness import Seen, read_witnesses


@dataclass(frozen=True, slots=True)
class Verified:
    """One file.

    `state`: `whole` (closed in order), `open` (a worker writes it), `unclosed` (its worker was killed; the end may have
    been cut, unless a witness says otherwise), `unchained` (of the format before, which has no chain), `broken`, or
    `missing`.
    `faults`: what is wrong, for people. `notes`: what is worth knowing.
    """

    name: str
    state: str
    lines: int = 0
    hits: int = 0
    bytes: int = 0
    link: str | None = None
    witnessed: bool = False
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(directory: Path, witnesses: Path | None = None, prefix: str = "hits") -> list[Verified]:
    """Every file of the log in `directory`, by name. Raises TransportError where it cannot be read."""
    # Witnesses first: they are never ahead of their files, which may grow meanwhile.
    seen: Mapping[str, Seen] = {}
    if witnesses is not None:
        seen = {one.name: one for one in read_witnesses(witnesses, prefix)}
    try:
        names = sorted(
            entry.name
            for entry in os.scandir(directory)
            if entry.name.startswith(f"{prefix}-") and entry.name.endswith(".jsonl")
        )
        read, odd = {}, []
        for name in names:
            try:
                read[name] = _read(directory / name, seen.get(name))
            except NotAFileError as error:
                odd.append(Verified(name, "broken", witnessed=name in seen, faults=[str(error)]))
            except FileNotFoundError:  # it has just gone for its age
                continue
    except OSError as error:
        raise transport_error(directory, error, "read") from None
    links = {name: "" if found.faults else found.link for name, (found, *_) in read.items()}
    verified = odd + [_judge(name, *one, links, seen.get(name)) for name, one in read.items()]
    found = {one.name for one in verified}
    verified += [
        Verified(
            name,
            "missing",
            one.lines,
            bytes=one.bytes,
            witnessed=True,
            faults=[f"the file is not there; it had {one.lines} lines"],
        )
        for name, one in seen.items()
        if name not in found and witnesses is not None and (witnesses / name).exists()
    ]
    return sorted(verified, key=lambda one: one.name)


def _read(path: Path, seen: Seen | None) -> tuple[Read, str | None, bool]:
    """What is in a file, the link at the length its witness knows, and whether a worker has it open."""
    with open_regular(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            is_open = False
        except OSError:
            is_open = True
        read, link = read_chain(file, seen.bytes if seen is not None else -1)
        return read, link, is_open


def _judge(
    name: str, read: Read, link: str | None, is_open: bool, links: Mapping[str, str], seen: Seen | None
) -> Verified:
    faults, notes = list(read.faults), []
    if seen is not None and link != seen.link:
        what = "was cut" if read.bytes < seen.bytes else "is not the one that was written"
        faults.append(f"the file {what}: it had {seen.lines} lines in {seen.bytes} bytes")
    if read.after is not None and read.after not in links:
        notes.append(f"{read.after}, the file before it, is not here: removed for its age, or taken away")
    elif read.after is not None and links[read.after] and read.start != links[read.after]:
        faults.append(f"it does not begin where {read.after} ends")
    if read.torn and not is_open:
        notes.append("it ends in half a line: the worker was killed, or the end was cut")
    if faults:
        state = "broken"
    elif not read.chained:
        state = "unchained"
    else:
        state = "whole" if read.ended else "open" if is_open else "unclosed"
    return Verified(
        name, state, read.lines, read.hits, read.bytes, read.link or None, seen is not None, faults, notes
    )
