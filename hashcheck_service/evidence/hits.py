"""A hit: one item that matched. And the names it goes by, which the same question gets again.

A name holds nothing that can be read from it: it is made with a key that only the operator has. All workers and all
machines with that key give the same names, at any hour: there is no date in them.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.files import (
    NOT_FOR_OTHERS,
    read_limited,
    sync_directory,
    transport_error,
    write_durably,
)
from hashcheck_service.web.request_ids import new_id

KEY_BYTES: Final = 32
_NAME_BYTES: Final = 16
_encode = msgspec.json.Encoder().encode


class HitMatch(msgspec.Struct, frozen=True, gc=False):
    """One match of a hit. `distance` in bits."""

    entry: str
    category: str
    sources: tuple[str, ...]
    type: str
    distance: int


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One item that matched. `match_ids` has one name for each of `matches`; `at` is to the second."""

    hit_id: str
    match_ids: tuple[str, ...]
    tenant: str
    at: datetime
    request_id: str
    snapshot: str
    action: str
    matches: tuple[HitMatch, ...]


class HitNames:
    """Names hits and matches: 128 bits, in hex. Keyed BLAKE2b takes a third of the time of HMAC-SHA-256."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def hit(self, tenant: str, ref: str, matches: Sequence[HitMatch]) -> str:
        """The name of the hit. It depends on who asked, on `ref`, and on what was found.

        Without a `ref` each question is a hit of its own, with a random name.
        """
        if not ref:
            return new_id()
        found = sorted({(match.entry, match.category) for match in matches})
        return self._name((tenant, ref, found))

    def matches(self, hit_id: str, matches: Sequence[HitMatch]) -> tuple[str, ...]:
        """A name for each match of a hit. It tells no type: a policy may hide that."""
        if len(matches) == 1:  # as mostly
            return (self._name((hit_id, matches[0].entry, 0)),)
        count: Counter[str] = Counter()
        names = []
        for match in matches:
            names.append(self._name((hit_id, match.entry, count[match.entry])))
            count[match.entry] += 1
        return tuple(names)

    def _name(self, of: object) -> str:
        return hashlib.blake2b(_encode(of), key=self._key, digest_size=_NAME_BYTES).hexdigest()


def hit_names(path: Path, *, make: bool) -> HitNames:
    """The names that the key in `path` gives. With `make`, the first process to ask makes the key.

    Raises ConfigError for a file that is no key or that others can read, TransportError where it cannot be used.
    """
    if make and not path.exists():
        _make_key(path)
    key = read_limited(path, KEY_BYTES + 1, follow_links=True, privacy=NOT_FOR_OTHERS)
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{path} is not a key of {KEY_BYTES} bytes.",
            next_step=f"Make one: head -c {KEY_BYTES} /dev/urandom > FILE",
        )
    return HitNames(key)


def _make_key(path: Path) -> None:
    """Put a new key in place, unless another process was first."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    write_durably(temporary, os.urandom(KEY_BYTES), 0o600)
    try:
        os.link(temporary, path)
        sync_directory(path.parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise transport_error(path, error, "written") from None
    finally:
        temporary.unlink(missing_ok=True)
