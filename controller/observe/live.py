"""Metrics that are read from live objects when somebody scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.model.refs import Kind


class WatchState(NamedTuple):
    """One watched kind. `last_event`: seconds since the epoch, None before the first. The counters only grow."""

    kind: Kind
    objects: int
    connected: bool
    last_event: float | None
    relists: int
    rejects: int


class HoldState(NamedTuple):
    """What the hold has done: requests asked about and ended by reason, seconds waited by those that ended."""

    asked: int
    held_now: int
    wait_seconds: float
    ended: Mapping[str, int]


class OldWorkerState(NamedTuple):
    """Workers that a reload retired: their bytes and connections of clients (None: unknown). The rest only grows."""

    workers: int
    memory: int
    connections: int | None
    ended: int
    delayed: Mapping[str, int]


@dataclass(slots=True)
class ReloadState:
    """Attempts to put a configuration in force. `last_ok` and `last_at` (epoch seconds) are None before the first."""

    reloads: int = 0
    failures: int = 0
    last_ok: bool | None = None
    last_at: float | None = None


class Live(Collector):
    """Families made anew for each scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()

    def describe(self) -> Iterable[Metric]:
        return ()


def counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"headrace_{name}", text, value=value)


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"headrace_{name}", text, value=value)


def watch_families(states: Sequence[WatchState]) -> Iterator[Metric]:
    """One sample per kind in each family."""
    objects = GaugeMetricFamily("headrace_watch_objects", "Objects known, by kind.", labels=["kind"])
    connected = GaugeMetricFamily("headrace_watch_connected", "Whether the watch stands.", labels=["kind"])
    event = GaugeMetricFamily(
        "headrace_watch_last_event_timestamp_seconds", "When the last event or bookmark came.", labels=["kind"]
    )
    relists = CounterMetricFamily("headrace_watch_relists", "Complete lists fetched.", labels=["kind"])
    rejects = CounterMetricFamily("headrace_watch_rejects", "Objects that could not be read.", labels=["kind"])
    for state in states:
        kind = [str(state.kind)]
        objects.add_metric(kind, state.objects)
        connected.add_metric(kind, state.connected)
        relists.add_metric(kind, state.relists)
        rejects.add_metric(kind, state.rejects)
        if state.last_event is not None:
            event.add_metric(kind, state.last_event)
    yield from (objects, connected, event, relists, rejects)


def hold_families(state: HoldState) -> Iterator[Metric]:
    yield counter("hold_requests", "Requests that nginx asked about because no pod had received them.", state.asked)
    yield gauge("hold_waiting", "Requests that are held now.", state.held_now)
    yield counter("hold_wait_seconds", "Seconds that held requests waited.", state.wait_seconds)
    ended = CounterMetricFamily(
        "headrace_hold_ended", "Holds by how they ended; `fresh` got another try.", labels=["reason"]
    )
    for reason, number in state.ended.items():
        ended.add_metric([str(reason)], number)
    yield ended


def old_worker_families(state: OldWorkerState) -> Iterator[Metric]:
    yield gauge("old_workers", "Workers that a reload retired and that finish what they have.", state.workers)
    yield gauge("old_worker_memory_bytes", "Their memory; a page that several share counts in parts.", state.memory)
    if state.connections is not None:
        yield gauge("old_worker_connections", "Connections of clients that they hold.", state.connections)
    yield counter("old_workers_ended", "Workers that were ended because reloads had waited too long.", state.ended)
    delayed = CounterMetricFamily("headrace_reloads_delayed", "Reloads that had to wait, by cause.", labels=["cause"])
    for cause, number in state.delayed.items():
        delayed.add_metric([cause], number)
    yield delayed


def reload_families(state: ReloadState) -> Iterator[Metric]:
    """Nothing is said about the last reload before there was one: a 0 would raise an alarm at each start."""
    yield counter("reload_failures", "Configurations that could not be put in force.", state.failures)
    if state.last_ok is not None:
        text = "Whether the last configuration was put in force."
        yield gauge("config_last_reload_successful", text, int(state.last_ok))
    if state.last_at is not None:
        yield gauge("config_last_reload_timestamp_seconds", "When nginx was last reloaded.", state.last_at)
