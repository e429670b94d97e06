"""The metrics of the hit log, and of the one of test hashes beside it: the label `log` tells them apart."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

# Of several workers the worst is shown.
HIGHEST: Final = (
    "hashcheck_hit_log_commit_seconds",
    "hashcheck_hit_log_bytes",
    "hashcheck_hit_log_limit_bytes",
)
LOWEST: Final = (
    "hashcheck_hit_log_free_bytes",
    "hashcheck_hit_log_reserve_bytes",
    "hashcheck_hit_log_oldest_timestamp_seconds",
)


class HitLogMetrics:
    """docs/running.md lists them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hashcheck_hit_{name}", text, ["log", *labels], registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"hashcheck_hit_log_{name}", text, ["log"], registry=registry)

        self.repeats = counter("repeats", "Hits that were asked again and are on record already.")
        self.written = counter("log_written_bytes", "Forced to disk.")
        self.failures = counter("log_failures", "What kept the log from its work.", "code")
        self.disturbed = counter(
            "log_disturbed", "Files that somebody else removed, replaced, cut or wrote to.", "what"
        )
        self.commit = gauge("commit_seconds", "How long the disk took for the last records.")
        self.bytes = gauge("bytes", "In all files.")
        self.limit = gauge("limit_bytes", "What the files may have.")
        self.free = gauge("free_bytes", "Free on the disk.")
        self.reserve = gauge("reserve_bytes", "Set aside on the disk for hits to come.")
        self.oldest = gauge("oldest_timestamp_seconds", "Of the last record of the oldest file; 0 for none.")


class LogMetrics:
    """Those of one log."""

    def __init__(self, metrics: HitLogMetrics, name: str) -> None:
        self._failures = metrics.failures
        self._disturbed = metrics.disturbed
        self._name = name
        self.repeats = metrics.repeats.labels(name)
        self.written = metrics.written.labels(name)
        self.commit = metrics.commit.labels(name)
        self.bytes = metrics.bytes.labels(name)
        self.limit = metrics.limit.labels(name)
        self.free = metrics.free.labels(name)
        self.reserve = metrics.reserve.labels(name)
        self.oldest = metrics.oldest.labels(name)

    def failed(self, code: str) -> None:
        self._failures.labels(self._name, code).inc()

    def disturbed(self, what: str) -> None:
        self._disturbed.labels(self._name, what).inc()
