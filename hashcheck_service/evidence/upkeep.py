"""What is looked after now and then: age, room, shares, and whether the disk still takes something."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hashcheck_service.evidence.disk import try_writing
from hashcheck_service.evidence.files import Files
from hashcheck_service.evidence.measures import LogMetrics
from hashcheck_service.evidence.retention import Kept, Retention
from hashcheck_service.evidence.trouble import FULL, share_used, trouble_of
from hashcheck_service.logs import log
from hashcheck_service.problems import Problem

_ALARM: Final = 0.8  # of what the log may have


class Upkeep:
    """Of one log. `look` and `try_disk` raise OSError.

    Attributes:
        room: the problem, where the log has all the bytes it may have.
        tenants: the problem of each tenant that has used its share.
    """

    def __init__(self, directory: Path, retention: Retention, metrics: LogMetrics) -> None:
        self._directory = directory
        self._retention = retention
        self._metrics = metrics
        self._alarmed: set[str] = set()
        self.room: Problem | None = None
        self.tenants: Mapping[str, Problem] = MappingProxyType({})

    def look(self) -> None:
        """Remove what is old, and see how much room is left."""
        kept = self._retention.look()
        limit = self._retention.bytes
        disk = os.statvfs(self._directory)
        self._metrics.bytes.set(kept.bytes)
        self._metrics.limit.set(limit)
        self._metrics.free.set(disk.f_bavail * disk.f_frsize)
        self._metrics.oldest.set(kept.oldest or 0)
        if self._retention.drop_oldest:
            return
        self._alarm("hit_log_filling", kept.bytes > _ALARM * limit, bytes=kept.bytes, limit=limit)
        self._alarm("hit_log_full", kept.bytes >= limit, bytes=kept.bytes, limit=limit)
        if kept.bytes >= limit and self.room is None:
            self._metrics.failed(FULL.code)
        self.room = FULL if kept.bytes >= limit else None
        self._share(kept, limit)

    def _share(self, kept: Kept, limit: int) -> None:
        used = kept.share_used(limit)
        for tenant in used - set(self.tenants):
            log.error("hit_log_share_used", tenant=tenant, bytes=kept.tenants[tenant])
        self.tenants = dict.fromkeys(used, share_used(self._retention.days))

    def try_disk(self, files: Files) -> None:
        """Find a disk that is full while there is still a reserve, and one that fails though no hit comes."""
        full = False
        try:
            try_writing(self._directory)
            if files.open is not None:
                files.open.set_aside()
        except OSError as error:
            full = trouble_of(error) is FULL and files.open is not None and files.open.reserve > 0
            if not full:
                raise
        left = files.open.reserve if files.open is not None else 0
        self._metrics.reserve.set(left)
        self._alarm("hit_log_on_reserve", full, bytes=left)

    def _alarm(self, event: str, on: bool, **facts: object) -> None:
        """Log an event when what it tells of begins."""
        if on and event not in self._alarmed:
            log.error(event, **facts)
            self._alarmed.add(event)
        elif not on:
            self._alarmed.discard(event)
