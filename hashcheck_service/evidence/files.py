"""Where a log is written: a directory, and in it the one file that is open."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hashcheck_service.evidence.disk import make_directory
from hashcheck_service.evidence.segment import Disturbed, Segment
from hashcheck_service.evidence.trouble import FULL, trouble_of
from hashcheck_service.logs import log

_LONGEST: Final = timedelta(days=1)  # a file is open: none of its records stays much longer than it may


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of a log are, and how long they get.

    Args:
        witnesses: where the witness of each file is; None for a log without.
        reserve_bytes: so much space is set aside ahead of what is written.
    """

    directory: Path
    prefix: str
    file_bytes: int
    reserve_bytes: int = 0
    witnesses: Path | None = None

    def make(self) -> None:
        """Make the directories where they are missing. Raises OSError."""
        make_directory(self.directory, 0o750)
        if self.witnesses is not None:
            make_directory(self.witnesses, 0o700)


class Files:
    """Writes one file after the other. For one thread. Its methods raise OSError, and then no file is open."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.open: Segment | None = None
        self.disturbances: list[str] = []  # what happened to files, to be counted

    def begin(self, after: Segment | None = None) -> Segment:
        """Begin a file, with all that is to be set aside for it."""
        self.open = None
        new = self._new()
        self._start(new, after)
        return new

    def append(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> int:
        """Force records to disk, one of each tenant in turn; how many bytes it took.

        Where the file that is open is not what it was, they go into a new one.
        """
        segment = self.open or self.begin()
        if segment.hits and segment.bytes >= self._place.file_bytes:
            segment = self._next(segment)
        before = segment.bytes
        try:
            segment.append(bodies, tenants)
        except Disturbed as disturbed:
            segment = self._replace(segment, disturbed.what)
            before = segment.bytes
            self._append_anew(segment, bodies, tenants)
        return segment.bytes - before

    def look_after(self) -> None:
        """Notice what happened to the file while nothing was written, and close it when it has been open for long."""
        segment = self.open
        if segment is None:
            return
        try:
            segment.check()
        except Disturbed as disturbed:
            self._replace(segment, disturbed.what)
            return
        segment.tell_tenants()
        if segment.hits and datetime.now(UTC) - segment.begun > _LONGEST:
            self._next(segment)

    def give_up(self) -> None:
        """Close the file after a failure, without what was written since the last commit."""
        segment, self.open = self.open, None
        if segment is not None:
            segment.abandon(undo=True)

    def close(self) -> None:
        segment, self.open = self.open, None
        if segment is None:
            return
        try:
            segment.check()
        except Disturbed as disturbed:
            self._save(segment, disturbed.what)
            segment.abandon()
        except OSError:
            segment.abandon()
        else:
            segment.close()

    def _next(self, full: Segment) -> Segment:
        """The next file; where the disk has no room for one, the old one goes on in what is set aside for it."""
        try:
            full.check()
        except Disturbed as disturbed:
            return self._replace(full, disturbed.what)
        try:
            new = self._new()
        except OSError as error:
            if trouble_of(error) is not FULL:
                raise
            return full
        self.open = None
        full.close()
        self._start(new, full)
        return new

    def _new(self) -> Segment:
        place = self._place
        return Segment(place.directory, place.prefix, reserve=place.reserve_bytes, witnesses=place.witnesses)

    def _start(self, new: Segment, after: Segment | None) -> None:
        try:
            new.start(after)
        except Disturbed as disturbed:
            new.abandon()
            raise OSError(None, f"a new file was {disturbed.what}") from None
        except OSError:
            new.close()
            raise
        self.open = new

    def _replace(self, segment: Segment, what: str) -> Segment:
        """Somebody else did something to the file: save what can be saved, and begin a new one."""
        self._save(segment, what)
        try:
            return self.begin(segment)
        finally:
            segment.abandon()

    def _save(self, segment: Segment, what: str) -> None:
        """Say what was done to the file, and write what was in it anew if it is gone."""
        self.disturbances.append(what)
        restored = None
        with contextlib.suppress(OSError):
            self._place.make()
            restored = segment.restore()
        log.error(
            "hit_log_disturbed",
            file=segment.path.name,
            what=what,
            bytes=segment.bytes,
            restored=restored.name if restored is not None else None,
        )

    @staticmethod
    def _append_anew(segment: Segment, bodies: Sequence[bytes], tenants: Sequence[str]) -> None:
        try:
            segment.append(bodies, tenants)
        except Disturbed as again:
            raise OSError(None, f"the file was {again.what} twice") from None
