"""Adding a signature to what someone else made: a snapshot, a pointer, an overlay, a keys file.

No feed is needed, so the key can live on another machine. It puts nothing in force.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import SnapshotDigestError, SnapshotFormatError
from hashcheck_core.snapshot.files import open_regular, read_limited, transport_error, write_atomically
from hashcheck_core.snapshot.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SIGNATURE_NAME, decode
from hashcheck_core.snapshot.signed import MAX_DOCUMENT_BYTES, SignedDocument
from hashcheck_core.snapshot.signing import (
    MAX_SIGNATURE_BYTES,
    encode_signatures,
    read_signatures,
    signatures_of,
)
from hashcheck_core.snapshot.verifier import snapshot_id


@dataclass(frozen=True, slots=True)
class Countersigned:
    """What was signed, and the ids of all keys that have signed it now (whether trusted or not)."""

    what: str
    signed_by: tuple[str, ...]


def countersign(
    path: Path, keys: Sequence[Ed25519PrivateKey], *, manifest_only: bool = False
) -> Countersigned:
    """Sign the snapshot directory or the signed document at `path` with `keys` too.

    The files of a snapshot are checked against its manifest first, unless `manifest_only`. Raises SnapshotError
    or TransportError, with nothing signed.
    """
    if path.is_dir():
        return _snapshot(path, keys, manifest_only=manifest_only)
    document = SignedDocument.read(read_limited(path, MAX_DOCUMENT_BYTES), path.name)
    signed = document.signed_with(keys)
    write_atomically(path, signed.encode(), keep_owner=True)
    return Countersigned(path.name, tuple(s.key_id for s in signed.signatures))


def _snapshot(directory: Path, keys: Sequence[Ed25519PrivateKey], *, manifest_only: bool) -> Countersigned:
    data = read_limited(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    manifest = decode(data)
    name = snapshot_id(manifest.version, data)
    if directory.absolute().name != name:
        raise SnapshotFormatError(
            f"The directory holds snapshot {name}.", next_step="Keep the name index-builder gave it."
        )
    for entry in () if manifest_only else manifest.files():
        try:
            with open_regular(directory / entry.name) as file:
                good = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
        except OSError as error:
            raise transport_error(directory / entry.name, error, "read") from None
        if not good:
            raise SnapshotDigestError(
                f"{entry.name} is not the file the manifest describes.",
                next_step="Copy the snapshot again from where it was built; sign nothing else.",
            )
    signatures = read_signatures(read_limited(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES))
    made = {s.key_id: s for s in (*signatures, *signatures_of(data, keys))}
    write_atomically(directory / SIGNATURE_NAME, encode_signatures(made[key] for key in sorted(made)))
    return Countersigned(name, tuple(sorted(made)))
