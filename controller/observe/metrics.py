"""Our metrics: a registry of our own, names beginning with `headrace_`, and small methods for what happens.

Two kinds: events are told by `record_…`; state that lives elsewhere is read when somebody scrapes, by the callables
given to `read_…`. All of it runs on the event loop. Families that grow with the cluster are written by `exposition`.
The names of ingress-nginx that mean the same are exposed as well, unless switched off (`compatibility`).

No metric has a label whose values a client can choose without bound.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as MetricFamily

from controller.model.configuration import Configuration
from controller.model.diagnostics import Report
from controller.observe.compatibility import Identity, OldNames
from controller.observe.exposition import Family, bounded, labels, sample, write
from controller.observe.instruments import Instruments
from controller.observe.live import (
    HoldState,
    Live,
    OldWorkerState,
    ReloadState,
    WatchState,
    counter,
    hold_families,
    old_worker_families,
    reload_families,
    watch_families,
)
from controller.observe.requests import RequestLog
from controller.observe.series import OVERFLOW, Metric, RequestSeries
from controller.observe.served import ServedRoutes

NAMES = {
    Metric.REQUESTS: "headrace_requests_total",
    Metric.REQUEST_SECONDS: "headrace_request_duration_seconds",
    Metric.UPSTREAM_SECONDS: "headrace_upstream_duration_seconds",
}
CERTIFICATE_EXPIRY = "headrace_certificate_expiry_timestamp_seconds"
MAX_SERVICES = 10_000


class Metrics:
    """Everything that is counted. Owned by the event loop."""

    def __init__(self, identity: Identity, *, compatibility: bool = True, budget: int = 20_000) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestSeries(budget)
        self._now = Instruments(self.registry)
        self._reload = ReloadState()
        self._old = OldNames(identity) if compatibility else None
        self._endpoints: Callable[[], Mapping[tuple[str, str], int]] = dict
        self._configuration: Configuration | None = None
        self._report = Report()
        self._served = ServedRoutes()
        self._now.build_info.labels(identity.version, identity.nginx).set(1)
        ProcessCollector(registry=self.registry)
        self._read(lambda: reload_families(self._reload))
        self._read(lambda: [_overflow(self.requests)])

    # -- what happens

    def record_apply(
        self,
        outcome: str,
        *,
        generation: int,
        seconds: Mapping[str, float],
        quarantined: int = 0,
        reload_reason: str = "",
    ) -> None:
        """A build was put in force, or not. `outcome`: unchanged, applied, degraded or refused.

        `generation` is the one in force afterwards. `seconds` by stage. `reload_reason` is a word from a fixed set,
        empty where nginx was not reloaded.
        """
        self._now.applies.labels(outcome).inc()
        for stage, spent in seconds.items():
            self._now.stages.labels(stage).observe(spent)
        self._now.generation.set(generation)
        self._now.quarantined.set(quarantined)
        if outcome == "refused":
            self._reload.failures += 1
            self._reload.last_ok = False
        elif reload_reason:
            self._now.reloads.labels(reload_reason).inc()
            self._reload.reloads += 1
            self._reload.last_ok, self._reload.last_at = True, time.time()

    def record_report(self, report: Report) -> None:
        """The findings of the build in force."""
        if report is self._report:
            return
        self._report = report
        self._now.diagnostics.clear()
        for (code, severity), number in Counter((d.code, d.severity) for d in report.diagnostics).items():
            self._now.diagnostics.labels(code, severity).inc(number)

    def record_configuration(self, configuration: Configuration) -> None:
        """What is served from now on: certificates and sizes; requests to Ingresses that are gone are forgotten."""
        before, self._configuration = self._configuration, configuration
        gone = self._served.change(before.servers if before else {}, configuration.servers)
        for kind, number in (
            ("server", len(configuration.servers)),
            ("location", self._served.locations),
            ("upstream", len(configuration.upstreams)),
            ("certificate", len(configuration.certificates)),
        ):
            self._now.objects.labels(kind).set(number)
        if gone or before is None:
            self.requests.retain(self._served.ingresses)

    def record_nginx(self, *, up: bool) -> None:
        self._now.nginx_up.set(up)

    def record_nginx_restart(self) -> None:
        """nginx ended by itself and was started again."""
        self._now.nginx_restarts.inc()

    def record_ready(self, *, ready: bool) -> None:
        self._now.ready.set(ready)

    def record_leader(self, *, leader: bool) -> None:
        self._now.leader.set(leader)

    def record_loop_lag(self, seconds: float) -> None:
        self._now.lag.observe(seconds)

    def record_internal_error(self, stage: str) -> None:
        """A bug of ours that the process survived."""
        self._now.internal_errors.labels(stage).inc()

    # -- what is read when somebody scrapes

    def read_watches(self, read: Callable[[], Sequence[WatchState]]) -> None:
        self._read(lambda: watch_families(read()))

    def read_old_workers(self, read: Callable[[], OldWorkerState]) -> None:
        self._read(lambda: old_worker_families(read()))

    def read_hold(self, read: Callable[[], HoldState]) -> None:
        self._read(lambda: hold_families(read()))

    def read_dns(self, queries: Callable[[], int], unsent: Callable[[], int]) -> None:
        """Counters of the DNS responder; `unsent` are answers that the kernel did not take."""
        self._read(
            lambda: (
                counter("dns_queries", "Questions of nginx for endpoints.", queries()),
                counter("dns_unsent", "Answers that were lost before they were sent.", unsent()),
            )
        )

    def read_request_log(self, log: RequestLog) -> None:
        self._read(
            lambda: (
                counter("request_log_lines", "Requests that nginx reported.", log.lines),
                counter("request_log_lost_lines", "Requests that could not be counted.", log.lost),
            )
        )

    def read_endpoints(self, read: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Usable endpoints by (namespace, service); what is returned must not change later."""
        self._endpoints = read

    def _read(self, families: Callable[[], Iterable[MetricFamily]]) -> None:
        self.registry.register(Live(families))

    # -- exposition

    async def scrape(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and text in the format that the `Accept` header asks for. Lets the loop turn meanwhile."""
        encode, content_type = choose_encoder(accept)
        open_metrics = content_type.startswith("application/openmetrics-text")
        small = encode(self.registry)
        large = await write(self._large(), open_metrics=open_metrics)
        return content_type, small.removesuffix(b"# EOF\n") + large + (b"# EOF\n" if open_metrics else b"")

    def _large(self) -> Iterator[Family]:
        yield from self.requests.families(NAMES)
        yield Family("headrace_endpoints", "gauge", "Usable endpoints of a Service.", self._endpoint_lines())
        text = "When the certificate of a Secret runs out, in seconds since the epoch."
        yield Family(CERTIFICATE_EXPIRY, "gauge", text, self._certificate_lines())
        if self._old:
            yield from self._old.families(self.requests, self._reload, self._configuration)

    def _endpoint_lines(self) -> Iterator[str]:
        for (namespace, service), number in bounded(self._endpoints().items(), MAX_SERVICES, OVERFLOW):
            yield sample("headrace_endpoints", labels(namespace=namespace, service=service), number)

    def _certificate_lines(self) -> Iterator[str]:
        for found in self._configuration.certificates.values() if self._configuration else ():
            if found.secret is not None:
                labelled = labels(namespace=found.secret.namespace, secret=found.secret.name)
                yield sample(CERTIFICATE_EXPIRY, labelled, found.not_after)


def _overflow(requests: RequestSeries) -> MetricFamily:
    text = "Label sets of requests beyond the budget, counted as __overflow__."
    return counter("request_series_overflowed", text, requests.overflowed)
