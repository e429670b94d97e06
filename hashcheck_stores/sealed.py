"""A store whose lists are encrypted for their recipients (age), in transport and at rest. Needs the extra `age`.

A layer over any other store: what tells of the list (snapshots, the overlay) lies there as `<name>.age`; keys files
and the pointer, which tell nothing of it, lie as they are. The clear bytes appear where they are served, and nowhere
before. Encryption proves nothing about who made a list: signatures do, over the clear bytes.
"""

import queue
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyrage

from hashcheck_core.errors import ConfigError, HashcheckError, SnapshotDigestError
from hashcheck_core.snapshot.files import NOT_FOR_OTHERS, read_limited
from hashcheck_core.snapshot.pointer import OVERLAY_NAME
from hashcheck_stores.store import CHUNK_BYTES, Store, checked_name

_MAX_IDENTITY_BYTES: Final = 64 * 1024
_AHEAD: Final = 8  # parts decrypted before they are asked for
_END: Final = b""


class SealedStore:
    """`identities` can read, `recipients` is whom new files are encrypted for; with neither of them that fails."""

    def __init__(self, inner: Store, identities: Sequence[Any], recipients: Sequence[Any] = ()) -> None:
        self._inner = inner
        self._identities = list(identities)
        self._recipients = list(recipients)

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        if not _is_secret(name):
            yield from self._inner.read(name, offset)
            return
        # What was decrypted before `offset` is decrypted again: the file is bound together from its start.
        skip = offset
        for part in _decrypted(self._inner.read(f"{checked_name(name)}.age"), self._identities, name):
            if skip < len(part):
                yield part[skip:]
            skip = max(0, skip - len(part))

    def create(self, name: str, source: Path | bytes) -> bool:
        if not _is_secret(name):
            return self._inner.create(name, source)
        with tempfile.TemporaryDirectory(prefix="hashcheck-sealing-") as folder:
            sealed = Path(folder) / "sealed"  # encrypted: the clear bytes are never written here
            with sealed.open("wb") as file:
                if isinstance(source, bytes):
                    file.write(self._encrypted(source))
                else:
                    with source.open("rb") as clear:
                        pyrage.encrypt_io(clear, file, self._required_recipients())
            return self._inner.create(f"{checked_name(name)}.age", sealed)

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        if not _is_secret(name):
            return self._inner.swap(name, before, after)
        sealed = f"{checked_name(name)}.age"
        if before is None:
            return self._inner.swap(sealed, None, self._encrypted(after))
        there = b"".join(self._inner.read(sealed))
        if b"".join(_decrypted(iter([there]), self._identities, name)) != before:
            return False
        return self._inner.swap(sealed, there, self._encrypted(after))

    def names(self) -> list[str]:
        return self._inner.names()

    def _encrypted(self, clear: bytes) -> bytes:
        sealed = pyrage.encrypt(clear, self._required_recipients())
        assert isinstance(sealed, bytes)
        return sealed

    def _required_recipients(self) -> list[Any]:
        if not self._recipients:
            raise ConfigError(
                "The store is encrypted, and no recipients were given.",
                next_step="Give --recipient for every service that reads it, and for yourself.",
            )
        return self._recipients


def read_identities(path: Path) -> list[Any]:
    """The identities in an age key file (lines of AGE-SECRET-KEY-1…; # begins a comment); raises ConfigError."""
    data = read_limited(path, _MAX_IDENTITY_BYTES, follow_links=True, privacy=NOT_FOR_OTHERS)
    text = data.decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise ConfigError(
            f"{path} holds no age identity.", next_step="Make one with: index-builder identity FILE"
        )
    return found


def read_recipients(recipients: Sequence[str]) -> list[Any]:
    """Recipients (age1…); raises ConfigError."""
    try:
        return [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    except pyrage.RecipientError:
        raise ConfigError(
            "A recipient is not one.", next_step="Give age1…, as index-builder identity prints it."
        ) from None


def new_identity() -> tuple[str, str]:
    """A new identity and its recipient."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def _is_secret(name: str) -> bool:
    return "/" in name or name == OVERLAY_NAME


def _decrypted(sealed: Iterator[bytes], identities: list[Any], name: str) -> Iterator[bytes]:
    """The clear bytes of `sealed`, as they come. age pushes them, so a thread hands them over."""
    parts: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
    source, sink = _Source(sealed), _Sink(parts)

    def work() -> None:
        try:
            pyrage.decrypt_io(source, sink, identities)
            sink.flush()
            parts.put(_END)
        except BaseException as error:
            if not sink.closed:
                parts.put(error)

    thread = threading.Thread(target=work, name="decrypting", daemon=True)
    thread.start()
    try:
        while (part := parts.get()) != _END:
            if isinstance(part, BaseException):
                raise source.error or _not_for_us(name) from None
            yield part
    finally:
        sink.closed = True
        while thread.is_alive():  # let go of a thread that waits to hand over what nobody wants any more
            while not parts.empty():
                parts.get_nowait()
            thread.join(0.01)


class _Source:
    """A file of what an iterator gives. Its own error is kept: age would tell another."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""
        self.error: HashcheckError | None = None

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            try:
                part = next(self._parts, None)
            except HashcheckError as error:
                self.error = error
                raise
            if part is None:
                return b""
            self._rest = part
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Sink:
    """A file that hands what is written to a queue, in parts of some size."""

    def __init__(self, parts: "queue.Queue[bytes | BaseException]") -> None:
        self._parts = parts
        self._held = bytearray()
        self.closed = False

    def write(self, data: bytes) -> int:
        if self.closed:
            raise OSError("nobody reads on")
        self._held += data
        if len(self._held) >= CHUNK_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._held:
            self._parts.put(bytes(self._held))
            self._held.clear()


def _not_for_us(name: str) -> SnapshotDigestError:
    return SnapshotDigestError(
        f"{name} in the store cannot be decrypted here.",
        next_step="Check that this host's recipient was among those it was published for; publish it again if so.",
    )
