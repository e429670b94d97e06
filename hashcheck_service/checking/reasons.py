"""Why something could not be checked, or not be relied on, by stable codes."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a hash, or a picture, could not be checked. Stable: callers branch on these."""

    MALFORMED_HASH = "malformed_hash"
    UNSUPPORTED_TYPE = "unsupported_type"
    TYPE_NOT_LISTED = "type_not_listed"
    LOW_QUALITY = "low_quality"
    DEGENERATE = "degenerate"
    UNDECODABLE_IMAGE = "undecodable_image"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_COMPLEX = "image_too_complex"
    IMAGE_TOO_SMALL = "image_too_small"
    IMAGE_TIMEOUT = "image_timeout"
    ANIMATION = "animation"
    STALE_SNAPSHOT = "stale_snapshot"
    DIGEST_CONFLICT = "digest_conflict"
    PROBING_SUSPECTED = "probing_suspected"
