"""One error tree with two roots: bad data, and bad transport.

Every error carries a stable `code` for programs, one sentence for people, and the next step to take.
Hostile bytes may raise nothing outside this tree. It does not map errors to HTTP or to exit codes: the
edges (`hashcheck_service.problems`, the command-line programs) do that.
"""

from collections.abc import Sequence
from typing import ClassVar


class HashcheckError(Exception):
    """Base of all errors this project raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}"


class DataError(HashcheckError):
    """The bytes were there, and they are wrong."""

    code = "bad_data"


class TransportError(HashcheckError):
    """The bytes could not be had: a file is missing, a permission is lacking, a disk is full."""

    code = "unreachable"


class MissingError(TransportError):
    """It is not there, as far as whoever keeps it can tell."""


class NotAFileError(TransportError):
    """Something lies in the place of a file that is none: a named pipe, a directory, a device, a link."""

    code = "not_a_file"


class FenceError(TransportError):
    """The system does not confine processes as it must."""

    code = "no_fence"


class ConfigError(DataError):
    code = "bad_config"


class ConfigMistakesError(ConfigError):
    """Every mistake of a config at once. `errors` has at least one; a program prints each on a line of its own."""

    def __init__(self, errors: Sequence[HashcheckError]) -> None:
        super().__init__(errors[0].message, next_step=errors[0].next_step)
        self.errors = tuple(errors)


class HashError(DataError):
    """A hash that cannot be what it says it is."""

    code = "malformed_hash"


class UnknownHashTypeError(HashError):
    code = "unsupported_type"


class ImageError(DataError):
    """Base of what can be wrong with a picture; `code` is the reason a caller sees."""

    code = "undecodable_image"


class ImageTooLargeError(ImageError):
    code = "image_too_large"


class ImageTooComplexError(ImageError):
    """A file that is built so that a decoder would work for long on little."""

    code = "image_too_complex"


class ImageTooSmallError(ImageError):
    code = "image_too_small"


class FeedError(DataError):
    """A feed that cannot be read as a whole; a bad row is not an error but a reject."""

    code = "bad_feed"


class GateError(DataError):
    """A list that does not pass a gate of the builder."""

    code = "gate_failed"


class DecisionError(DataError):
    """A decision file that is not what the people wrote, or not all of it."""

    code = "bad_decisions"


class SnapshotError(DataError):
    """Base of what can be wrong with a snapshot. None of these is ever served."""

    code = "bad_snapshot"


class SnapshotFormatError(SnapshotError):
    code = "bad_snapshot_format"


class SnapshotSignatureError(SnapshotError):
    code = "bad_snapshot_signature"


class SnapshotDigestError(SnapshotError):
    code = "bad_snapshot_digest"


class SnapshotExpiredError(SnapshotError):
    code = "snapshot_expired"


class SnapshotRollbackError(SnapshotError):
    code = "snapshot_rollback"


class SnapshotMixError(SnapshotError):
    """Parts that are each signed, and do not belong together."""

    code = "snapshot_mixed"


class KeysExpiredError(SnapshotError):
    code = "keys_expired"


class SnapshotCanaryError(SnapshotError):
    code = "snapshot_canary_missed"
