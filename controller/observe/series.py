"""Requests counted by route: label sets with a budget, so that no traffic can fill the memory of whoever scrapes us.

A route is what the location wrote into its log line, `namespace/ingress/service/port…`; the port is not a label. What
a client chooses is bounded: methods outside the standard ones count as `OTHER`, and once the budget is used up every
new label set counts as `__overflow__`. What belongs to Ingresses that are gone is dropped by `retain`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

from controller.observe.exposition import Family, labels

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds; those of ingress-nginx, which dashboards and alerts name (`le="1"`)."""

OVERFLOW = "__overflow__"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
"""RFC 9110 and RFC 5789."""

_BOUNDS = (*(f'le="{bound:g}"' for bound in BUCKETS), 'le="+Inf"')
_MAX_HEADS = 100_000


class Metric(StrEnum):
    """What is counted of a request, with its help text."""

    REQUESTS = "requests"
    REQUEST_SECONDS = "request-seconds"
    UPSTREAM_SECONDS = "upstream-seconds"


_HELP = {
    Metric.REQUESTS: "Requests by route, method and status code.",
    Metric.REQUEST_SECONDS: "Seconds from the first byte of a request to the last byte of its answer.",
    Metric.UPSTREAM_SECONDS: "Seconds that the upstream which answered took.",
}


class Route(NamedTuple):
    """Where a request went. All empty for our own answers to what no Ingress matches."""

    namespace: str
    ingress: str
    service: str


@dataclass(slots=True)
class Count:
    """A counter."""

    value: int = 0

    def lines(self, name: str, labelled: str) -> Iterator[str]:
        yield f"{name}{{{labelled}}} {self.value}"


@dataclass(slots=True)
class Timing:
    """A histogram of seconds. `counts` are not cumulative; the last is everything above the highest bound."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))
    seconds: float = 0.0

    def add(self, seconds: float, times: int) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += times
        self.seconds += seconds * times

    def lines(self, name: str, labelled: str) -> Iterator[str]:
        total, start = 0, f"{name}_bucket{{{labelled},"
        for bound, count in zip(_BOUNDS, tuple(self.counts), strict=True):
            total += count
            yield f"{start}{bound}}} {total}"
        yield f"{name}_sum{{{labelled}}} {self.seconds:.12g}"
        yield f"{name}_count{{{labelled}}} {total}"


V = TypeVar("V", Count, Timing)


class Cell(NamedTuple):
    """The series that one kind of request feeds."""

    requests: Count
    request: Timing
    upstream: Timing


@dataclass(slots=True)
class RequestSeries:
    """All label sets. `budget`: how many there may be; a histogram is one. Owned by the event loop."""

    budget: int = 20_000
    overflowed: int = 0
    _series: dict[Metric, dict[str, tuple[Route, Count | Timing]]] = field(
        default_factory=lambda: {metric: {} for metric in Metric}
    )
    _cells: dict[bytes, Cell] = field(default_factory=dict)

    def cell(self, head: bytes) -> Cell | None:
        """Where requests whose log line begins so (`route<TAB>method<TAB>status`) count; None if nothing can."""
        found = self._cells.get(head)
        return self._new_cell(head) if found is None else found

    def retain(self, ingresses: Container[tuple[str, str]]) -> None:
        """Keep what belongs to these Ingresses, given as (namespace, name), and to none."""
        for kept in self._series.values():
            for labelled, (route, _) in list(kept.items()):
                if route.ingress not in ("", OVERFLOW) and (route.namespace, route.ingress) not in ingresses:
                    del kept[labelled]
        self._cells.clear()

    @property
    def size(self) -> int:
        return sum(map(len, self._series.values()))

    def families(self, names: dict[Metric, str], constant: str = "") -> Iterator[Family]:
        """The series under these names; `constant` are labels that every sample gets."""
        for metric, name in names.items():
            lines = self._lines(metric, name, constant)
            yield Family(name, "counter" if metric is Metric.REQUESTS else "histogram", _HELP[metric], lines)

    def _lines(self, metric: Metric, name: str, constant: str) -> Iterator[str]:
        tail = f",{constant}" if constant else ""
        for labelled, (_, value) in list(self._series[metric].items()):
            yield from value.lines(name, labelled + tail)

    def _new_cell(self, head: bytes) -> Cell | None:
        fields = head.decode("utf-8", "replace").split("\t")
        if len(fields) != 3 or len(fields[2]) != 3 or not fields[2].isdigit():
            return None
        parts = fields[0].split("/")
        if len(parts) < 3 and fields[0]:
            return None
        route = Route(*parts[:3]) if fields[0] else Route("", "", "")
        cell = self._cell_of(route, fields[1] if fields[1] in METHODS else "OTHER", fields[2])
        if len(self._cells) >= _MAX_HEADS:  # clients can invent methods without end
            self._cells.clear()
        self._cells[head] = cell
        return cell

    def _cell_of(self, route: Route, method: str, status: str) -> Cell:
        base = route._asdict()
        return Cell(
            self._obtain(Metric.REQUESTS, route, Count, **base, method=method, status=status),
            self._obtain(Metric.REQUEST_SECONDS, route, Timing, **base, method=method, status=f"{status[0]}xx"),
            self._obtain(Metric.UPSTREAM_SECONDS, route, Timing, **base),
        )

    def _obtain(self, metric: Metric, route: Route, make: type[V], **labelled: str) -> V:
        kept = self._series[metric]
        text = labels(**labelled)
        if text not in kept and self.size >= self.budget:
            self.overflowed += 1
            route, text = Route(*[OVERFLOW] * 3), labels(**dict.fromkeys(labelled, OVERFLOW))
        value = kept.setdefault(text, (route, make()))[1]
        assert isinstance(value, make)
        return value
