"""What a worker counts, and how the counts of all processes are shown to Prometheus.

Labels come from small fixed sets, never from a request.
"""

from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from hashcheck_core.snapshot.overlay import Overlay
from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.verdicts import Checked
from hashcheck_service.evidence.measures import HIGHEST, LOWEST, HitLogMetrics
from hashcheck_service.fence.layer import Layer, Layers
from hashcheck_service.processes.reports import Family, Merge, Sample

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
_NO_MATCH: Final = ("no_match",)
_AGE = "hashcheck_snapshot_age_seconds"
_OVERLAY_AGE = "hashcheck_overlay_age_seconds"
_FEED_AGE = "hashcheck_feed_age_seconds"
_VERIFIED = "hashcheck_list_verified_timestamp_seconds"
_AGES = frozenset({_AGE, _OVERLAY_AGE, _FEED_AGE})
# Of several workers the worst is shown: the lowest version, the nearest expiry, the greatest age. Else the sum.
_MERGE: Final[Mapping[str, Merge]] = MappingProxyType(
    {
        "hashcheck_snapshot_version": Merge.LOWEST,
        "hashcheck_snapshot_expires_timestamp_seconds": Merge.LOWEST,
        "hashcheck_overlay_sequence": Merge.LOWEST,
        "hashcheck_overlay_retractions": Merge.LOWEST,
        "hashcheck_fence": Merge.LOWEST,
        "hashcheck_clock_behind_seconds": Merge.HIGHEST,
        _VERIFIED: Merge.HIGHEST,
        "hashcheck_key_file_refused_seconds": Merge.HIGHEST,
        "hashcheck_keys_expire_timestamp_seconds": Merge.HIGHEST,
        **dict.fromkeys(_AGES, Merge.HIGHEST),
        **dict.fromkeys(HIGHEST, Merge.HIGHEST),
        **dict.fromkeys(LOWEST, Merge.LOWEST),
    }
)
_LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """docs/running.md lists them; a test holds the list."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.checks = Counter("hashcheck_checks", "Items checked.", ["verdict"], registry=registry)
        self.hashes = Counter("hashcheck_hashes", "Hashes sent.", ["type", "verdict"], registry=registry)
        self.matches = Counter("hashcheck_matches", "Matches answered.", ["category"], registry=registry)
        self.flat_scans = Counter(
            "hashcheck_flat_scans",
            "Queries whose buckets were too full and that were answered by a scan of the whole list.",
            ["type"],
            registry=registry,
        )
        self.beyond_plan = Counter(
            "hashcheck_beyond_plan", "Queries at a radius above the planned one.", ["type"], registry=registry
        )
        self.probing = Counter(
            "hashcheck_probing_suspected",
            "Alarms that a tenant feels its way to a listed hash.",
            ["tenant"],
            registry=registry,
        )
        self.requests = Histogram(
            "hashcheck_request_seconds",
            "Time from the first byte of a request in hand to its answer.",
            ["route", "status"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.refused_unread = Counter(
            "hashcheck_refused_unread",
            "Checks answered 503 before they were read, the worker having too many.",
            registry=registry,
        )
        self._refused = 0  # of them, so many are counted
        self.answers = 0  # requests that were answered, ever, in this worker
        self.malformed = Counter(
            "hashcheck_malformed_requests",
            "Requests that cannot be read as HTTP/1.1.",
            ["reason"],
            registry=registry,
        )
        self.crashes = Counter("hashcheck_crashes", "Unforeseen errors, answered 500.", registry=registry)
        self.picture_failures = Counter(
            "hashcheck_picture_failures",
            "Pictures whose process took too long, died, tried what the fence forbids, or answered nonsense.",
            ["cause"],
            registry=registry,
        )
        self.fence = Gauge(
            "hashcheck_fence",
            "Whether a layer of the fence around picture decoders holds, in the worker that has least of it.",
            ["layer"],
            registry=registry,
        )
        self.swaps = Counter("hashcheck_snapshot_swaps", "Snapshots put in force.", registry=registry)
        self.refusals = Counter(
            "hashcheck_snapshot_refusals", "Snapshots refused.", ["code"], registry=registry
        )
        self.version = Gauge("hashcheck_snapshot_version", "In force.", registry=registry)
        self.expires = Gauge(
            "hashcheck_snapshot_expires_timestamp_seconds",
            "When the snapshot in force expires.",
            registry=registry,
        )
        self.overlay = Gauge(
            "hashcheck_overlay_sequence", "Number of the overlay in force.", registry=registry
        )
        self.retracted = Gauge(
            "hashcheck_overlay_retractions",
            "Entries the overlay in force takes out of force.",
            registry=registry,
        )
        self.overlay_age = Gauge(_OVERLAY_AGE, "Since the overlay in force was made.", registry=registry)
        self.feed_age = Gauge(
            _FEED_AGE, "Since a feed of the snapshot in force was delivered.", ["feed"], registry=registry
        )
        self._feeds: set[str] = set()
        self.clock_behind = Gauge(
            "hashcheck_clock_behind_seconds",
            "How far the wall clock is behind what it was, or behind what was signed.",
            registry=registry,
        )
        self.incidents = Counter(
            "hashcheck_list_incidents",
            "What was served was found not to be as signed.",
            ["found_by"],
            registry=registry,
        )
        self.list_verified = Gauge(
            _VERIFIED, "When all of what is served was last hashed and found as signed.", registry=registry
        )
        self.age = Gauge(_AGE, "Since the snapshot in force was built.", registry=registry)

        self.keys_refused = Counter(
            "hashcheck_keys_refused", "Requests refused for their key.", ["code"], registry=registry
        )
        self.key_file = Gauge(
            "hashcheck_key_file_refused_seconds",
            "Since when the key file cannot be used; 0 while it can.",
            registry=registry,
        )
        self.keys_end = Gauge(
            "hashcheck_keys_expire_timestamp_seconds",
            "When the first tenant will have no key left that is valid; 0 for never.",
            registry=registry,
        )
        self.hit_log = HitLogMetrics(registry)
        self._requests = _Children(self.requests)
        # What every check adds to is added up here, and put into the metrics after each poll.
        self._checks: Counted[tuple[str, ...]] = Counted()
        self._hashes: Counted[tuple[str, ...]] = Counted()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request, whatever became of it."""
        self.answers += 1
        self._requests[route, status].observe(seconds)

    def checked(self, checked: Checked) -> None:
        """Items by verdict; hashes by type and by what became of them; searches that scanned the whole list."""
        batch = checked.batch
        for search in checked.searches:
            if search.scanned:
                self.flat_scans.labels(search.hash_type).inc(search.scanned)
            if search.beyond_plan:
                self.beyond_plan.labels(search.hash_type).inc(search.queries)
        if clean := len(batch.refs) - len(checked.results):
            self._checks[_NO_MATCH] += clean
        matched: Mapping[str, int] = _NOTHING
        if checked.results:
            for result in checked.results.values():
                self._checks[(str(result.verdict),)] += 1
            matched = _matched(checked)
        for asked in batch.asked:
            name = asked.hash_type.name
            if found := matched.get(name, 0):
                self._hashes[name, "match"] += found
            if rest := len(asked.owners) - found:
                self._hashes[name, "no_match"] += rest
        if batch.reasons:
            self._hashes["any", "unknown"] += sum(map(len, batch.reasons.values()))

    def put_in(self) -> None:
        """What was added up since, into the metrics. As `checked` and `render`, for the event loop alone."""
        for tally, metric in ((self._checks, self.checks), (self._hashes, self.hashes)):
            for labels, count in tally.items():
                metric.labels(*labels).inc(count)
            tally.clear()

    def fenced(self, layers: Layers) -> None:
        for layer in Layer:
            self.fence.labels(layer).set(not layers.get(layer, "-"))

    def serves(self, snapshot: Snapshot) -> None:
        self.swaps.inc()
        self.version.set(snapshot.version)
        self.expires.set(snapshot.expires_at.timestamp())

    def overlaid(self, overlay: Overlay) -> None:
        self.overlay.set(overlay.sequence)
        self.retracted.set(len(overlay.retractions))

    def refused(self, code: str) -> None:
        self.refusals.labels(code).inc()

    def refused_so_far(self, refused: int) -> None:
        """How many checks were refused unread, ever; called at each poll."""
        self._refused, new = refused, refused - self._refused
        self.refused_unread.inc(new)

    def key_refused(self, code: str) -> None:
        self.keys_refused.labels(code).inc()

    def key_file_refused(self, seconds: float) -> None:
        self.key_file.set(seconds)

    def keys_expire(self, moment: datetime | None) -> None:
        self.keys_end.set(0.0 if moment is None else moment.timestamp())

    def tick(self, snapshot: Snapshot | None, now: datetime, clock_behind: timedelta) -> None:
        """Keep ages current; called at each poll."""
        self.clock_behind.set(clock_behind.total_seconds())
        feeds = {} if snapshot is None else {feed.name: feed.delivered_at for feed in snapshot.manifest.feeds}
        self.age.set(_age(snapshot.built_at if snapshot else None, now))
        self.overlay_age.set(_age(snapshot.overlay_at if snapshot else None, now))
        self._feeds |= set(feeds)
        for name in self._feeds:
            self.feed_age.labels(name).set(_age(feeds.get(name), now))

    def incident(self, found_by: str) -> None:
        self.incidents.labels(found_by).inc()

    def verified(self, now: datetime) -> None:
        self.list_verified.set(now.timestamp())

    def report(self) -> list[Family]:
        """All that was counted, for other processes. No age is given of what this one does not have."""
        return [
            Family(
                metric.name,
                metric.documentation,
                metric.type,
                [
                    Sample(sample.name, tuple(sorted(sample.labels.items())), sample.value)
                    for sample in metric.samples
                    if not sample.name.endswith("_created")
                    and (metric.name not in _AGES or sample.value >= 0)
                ],
                _MERGE.get(metric.name, Merge.SUM),
            )
            for metric in self.registry.collect()
        ]


def report_of_sync(metrics: Metrics) -> list[Family]:
    """Of the process that serves nothing: what it counted, and when the list was verified."""
    return [family for family in metrics.report() if family.kind != "gauge" or family.name == _VERIFIED]


def render(families: Iterable[Family]) -> bytes:
    """The text exposition."""
    registry = CollectorRegistry()
    registry.register(_Given(families))
    return generate_latest(registry)


class _Given(Collector):
    """Hands merged families to the library that writes them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._metrics = []
        for family in families:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            self._metrics.append(metric)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _age(moment: datetime | None, now: datetime) -> float:
    """Seconds since `moment`; -1 for none, which is not shown."""
    return -1.0 if moment is None else max(0.0, (now - moment).total_seconds())


class _Children(dict[tuple[object, ...], Any]):
    """The children of a metric by their labels: finding one through the metric itself takes a lock and a copy."""

    def __init__(self, metric: Any) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[object, ...]) -> Any:
        child = self[labels] = self._metric.labels(*map(str, labels))
        return child


def _matched(checked: Checked) -> Counted[str]:
    """By type, the hashes of items that matched by that type."""
    found: Counted[str] = Counted()
    types = {
        place: {match.hash_type for match in result.matches}
        for place, result in checked.results.items()
        if result.matches
    }
    for asked in checked.batch.asked:
        name = asked.hash_type.name
        found[name] = sum(owner in types and name in types[owner] for owner in asked.owners)
    return found
