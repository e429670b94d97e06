"""Settings of the service: a TOML file, with HASHCHECK_* variables above it.

A nested key is written with two underscores in a variable: HASHCHECK_LIMITS__MAX_ITEMS=500.
"""

import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hashcheck_core.config import above, mistakes, read_variables
from hashcheck_core.errors import ConfigError, ConfigMistakesError, HashcheckError
from hashcheck_core.images.decoder import ImageLimits
from hashcheck_core.snapshot.files import read_limited
from hashcheck_core.snapshot.trust import Floor
from hashcheck_service.policy import Policy
from hashcheck_stores.location import located

_MAX_CONFIG_BYTES = 1024 * 1024
_PREFIX: Final = "HASHCHECK_"
_OTHER_VARIABLES: Final = frozenset(
    {"HASHCHECK_RECIPIENTS"}
)  # of index-builder, which may run beside the service
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


T = TypeVar("T", str, Path)


def _no_nul(path: T) -> T:
    if "\0" in str(path):
        raise ValueError("a path holds no NUL character")
    return path


File = Annotated[Path, AfterValidator(_no_nul)]


class Fence(StrEnum):
    """What is asked of the fence around picture decoders (docs/fence.md)."""

    REQUIRED = "required"
    BEST = "best"


class Limits(BaseModel):
    """What one request, and all of them together, may cost this worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # 1,000 items of four hashes and a ref fit in a third of this.
    max_body_bytes: Positive = 1024 * 1024
    max_media_bytes: Positive = ImageLimits().max_bytes
    max_pixels: Positive = ImageLimits().max_pixels
    # The contract's largest batch: what a file listing gives at once; more only delays the first answer.
    max_items: Positive = 1000
    # All types there are, some of them for the eight dihedral variants.
    max_hashes_per_item: Positive = 16
    max_ref_chars: Positive = 256
    # A head that comes in parts is kept whole until it ends; a long one has some kilobytes of tokens and cookies.
    max_head_bytes: Positive = 64 * 1024
    # From the first byte of a request head to its end, for the first byte on a connection to come, and for a caller to
    # read its answers.
    head_seconds: Seconds = 10.0
    # Between two requests. Balancers close their idle connections after 60 s: the one who is to send the next request
    # must be the one who closes, or requests are lost.
    keep_alive_seconds: Seconds = 75.0
    # One byte a second must not hold a connection for ever.
    body_seconds: Seconds = 10.0
    # Large checks, and those of a tenant that has used more than its part: so many may wait for their turn or for a
    # thread. One tenant alone gets half of them.
    max_checks_in_hand: Positive = 512
    # Bodies that are being read or worked on take at most so much memory. One tenant alone gets half of it.
    max_bytes_in_hand: Positive = 256 * 1024 * 1024
    # What comes in one turn of the event loop is answered within so long: a thousand connections that speak at once
    # take half of it. The next are refused, which takes a fifth of an answer's time.
    turn_seconds: Seconds = 0.1
    # Batches whose searches leave the event loop wait for a thread for so long at most.
    wait_seconds: Seconds = 1.0
    # A decoded picture of max_pixels may take 2 GB (see ImageLimits): so many at a time, each in a process of its own.
    max_pictures_in_hand: Positive = 2
    # Beside those, so many whole pictures wait for a process. One tenant alone gets half of all.
    max_pictures_waiting: Annotated[int, Field(ge=0)] = 18
    # Address space of each of those processes: 2 GB for the picture, the rest for the libraries' own.
    picture_memory_bytes: Annotated[int, Field(ge=256 * 1024 * 1024)] = 3 * 1024 * 1024 * 1024
    # Processor time for the largest picture; a smaller one gets less (see pictures.worker). And time by the clock.
    picture_seconds: Seconds = 10.0
    # Each may hold some lines and what is read of the next. One tenant alone gets half of them.
    max_streams_in_hand: Positive = 8
    # An item of 16 hashes and a ref has some 3,000 bytes.
    max_line_bytes: Positive = 16 * 1024
    # Quotas of each tenant on this machine, all workers together; [tenants] has exceptions. A tenant alone may use
    # the machine, but not without an end: 100,000 hashes a second, 100 pictures, 100 new matches.
    hashes_per_minute: Positive = 6_000_000
    stream_hashes_per_minute: Positive = 6_000_000
    media_per_minute: Positive = 6_000
    matches_per_minute: Positive = 6_000


class Tenant(BaseModel):
    """What is different for one tenant: its weight where tenants share, and its quotas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    hashes_per_minute: Positive | None = None
    stream_hashes_per_minute: Positive | None = None
    media_per_minute: Positive | None = None
    matches_per_minute: Positive | None = None


class TrustFloor(BaseModel):
    """The lowest numbers that are taken where nothing is remembered: of pointers, overlays and keys files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pointer: Annotated[int, Field(ge=0)] = 0
    overlay: Annotated[int, Field(ge=0)] = 0
    keys: Annotated[int, Field(ge=0)] = 0

    @property
    def numbers(self) -> Floor:
        return Floor(self.pointer, self.overlay, self.keys)


class Settings(BaseModel):
    """Everything the service is told. docs/running.md explains each key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snapshots: Annotated[str, AfterValidator(_no_nul)]
    trusted_keys: File
    state: File
    api_keys: File
    # So long the keys read before stay in force when the key file is gone, damaged or open to others.
    keys_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 900.0
    hit_log: File
    hit_log_file_bytes: Positive = 64 * 1024 * 1024
    # Since the last record of a file. A year, and some weeks to look after it.
    hit_log_days: Positive = 400
    # In all. A tenant gets as much as is free besides: one alone gets half.
    hit_log_bytes: Positive = 16 * 1024**3
    # On the disk, for each worker: some 35,000 hits, which is hours of them.
    hit_log_reserve_bytes: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024
    hit_log_slow_seconds: Seconds = 1.0
    # 32 random bytes, by default in the state directory and made there. All machines of a fleet have the same.
    hit_id_key: File | None = None
    poll_seconds: Seconds = 1.0
    # Certificates to trust in the place of the system's, for a store behind HTTPS.
    store_ca: File | None = None
    # An age key file, for a store that is encrypted for this host.
    identity: File | None = None
    # The one in force, the one before it for a roll-back, and one more.
    keep_snapshots: Positive = 3
    # The largest list a vendor has published takes 12 GB.
    max_snapshot_bytes: Positive = 64 * 1024**3
    # A store that is slower is as good as down: a trickle would keep an old list in force.
    min_bytes_per_second: Positive = 64 * 1024
    # Past its expiry a list may miss what was added since; whoever sets this prefers that to no answer at all.
    serve_stale: bool = False
    # Sealed: in memory that nobody can change. Mapped: from the files in the state directory, where that memory cannot
    # be had.
    served_memory: Literal["sealed", "mapped"] = "sealed"
    # What is served is hashed again at this pace: a hundredth of a core.
    rehash_bytes_per_second: Positive = 16 * 1024 * 1024
    metrics_without_key: bool = False
    # A machine that alone is cut off from the store leaves the balancer; where the store is down all of them do.
    unready_without_store_seconds: Annotated[float, Field(gt=0)] | None = None
    trust_floor: TrustFloor = TrustFloor()
    # Strangers' bytes meet native code behind the fence. Whoever does without it should have said so.
    fence: Fence = Fence.REQUIRED
    policy: Policy = Policy()
    limits: Limits = Limits()
    tenants: Mapping[str, Tenant] = Field(default_factory=dict)

    def quotas(self, tenant: str) -> Mapping[str, int]:
        """What a tenant may use in a minute, by kind (admission.quota.Kind)."""
        own = self.tenants.get(tenant, Tenant())
        return {
            kind: getattr(own, f"{kind}_per_minute") or getattr(self.limits, f"{kind}_per_minute")
            for kind in ("hashes", "stream_hashes", "media", "matches")
        }


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read a settings file, with variables above it; relative paths are relative to the file.

    Raises ConfigMistakesError with every mistake there is, or TransportError.
    """
    variables = read_variables(Settings, _PREFIX, environment, _OTHER_VARIABLES)
    found: list[HashcheckError] = list(variables.mistakes)
    try:
        text = read_limited(path, _MAX_CONFIG_BYTES, follow_links=True)
        settings = Settings.model_validate(above(tomllib.loads(text.decode()), variables.values))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found.append(ConfigError(f"{path} is not TOML: {error}.", next_step="Mend that line."))
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        found += mistakes(told, Settings, str(path), "docs/running.md", variables.names)
    if found:
        raise ConfigMistakesError(found)
    return _resolved(settings, path.absolute().parent)


def _resolved(settings: Settings, base: Path) -> Settings:
    update: dict[str, Any] = {
        "snapshots": located(settings.snapshots, base),
        "trusted_keys": base / settings.trusted_keys,
        "state": base / settings.state,
        "identity": None if settings.identity is None else base / settings.identity,
        "store_ca": None if settings.store_ca is None else base / settings.store_ca,
        "api_keys": base / settings.api_keys,
        "hit_log": base / settings.hit_log,
        "hit_id_key": None if settings.hit_id_key is None else base / settings.hit_id_key,
    }
    return settings.model_copy(update=update)
