"""Private keys from their files: only a file that its owner alone may use is taken."""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.files import OWNER_ONLY, read_limited
from hashcheck_core.snapshot.signing import load_private

_MAX_BYTES: Final = 64 * 1024
_ID_KEY_BYTES: Final = 32


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Raises ConfigError for a key that others may read or that is none, TransportError where it cannot be read."""
    return load_private(_read(path))


def read_id_key(path: Path) -> bytes:
    """The key that entry ids are made with. Raises as `read_signing_key` does."""
    try:
        key = bytes.fromhex(_read(path).decode().strip())
    except (ValueError, UnicodeDecodeError):
        key = b""
    if len(key) != _ID_KEY_BYTES:
        raise ConfigError(f"{path} is not an entry id key.", next_step="Make one with: index-builder keygen")
    return key


def _read(path: Path) -> bytes:
    return read_limited(path, _MAX_BYTES, follow_links=True, privacy=OWNER_ONLY)
