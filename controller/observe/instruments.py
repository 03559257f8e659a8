"""The metrics that events move, with their help texts. Those that are read at scrape time are in `live.py`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_STAGE_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Instruments:
    """One attribute per metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"headrace_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"headrace_{name}", text, labels, registry=registry)

        self.build_info = gauge("build_info", "Always 1; the labels say what runs.", "version", "nginx")
        self.applies = counter("applies_total", "Builds, by what became of them.", "outcome")
        self.reloads = counter("reloads_total", "Reloads of nginx, by what made them necessary.", "reason")
        self.generation = gauge("config_generation", "Number of the configuration in force.")
        self.objects = gauge("config_objects", "Size of the configuration in force.", "kind")
        self.quarantined = gauge(
            "quarantined_fragments", "Hosts that nginx refused; each has its last good version or answers 503."
        )
        self.diagnostics = gauge("diagnostics", "Findings in the build in force.", "code", "severity")
        self.internal_errors = counter("internal_errors_total", "Bugs that the process survived.", "stage")
        self.nginx_up = gauge("nginx_up", "Whether nginx runs.")
        self.nginx_restarts = counter("nginx_restarts_total", "How often nginx ended by itself and was started again.")
        self.ready = gauge("ready", "Whether /readyz says so.")
        self.leader = gauge("leader", "Whether this replica writes the status of Ingresses.")
        self.stages = Histogram(
            "headrace_apply_stage_seconds",
            "Time of each stage from change to traffic.",
            ["stage"],
            registry=registry,
            buckets=_STAGE_BUCKETS,
        )
        self.lag = Histogram(
            "headrace_loop_lag_seconds",
            "How late the event loop came to its turn.",
            registry=registry,
            buckets=_LAG_BUCKETS,
        )
