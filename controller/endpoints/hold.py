"""Hold, don't fail: when is a failed request worth another try? A decision machine without clock or I/O.

nginx asks about a request that never reached a pod. Most such failures come from addresses that were withdrawn a
moment ago: the request is held until nginx has been given the present ones, then tried afresh. What can be said of a
name is its *content* (the set of places) and since when nginx has it:

- first try, and the content is recent, or has a second pod: go; the failure came from old content or from one pod;
- later tries with content that nginx just took: go after a short pause, the last one at the deadline (nginx may still
  be applying it, or the new pod starting);
- otherwise: wait for new content, and for nginx to take it, at most `deadline` seconds.

A backend that is plainly broken must not make everyone wait: once a hold ended without news, further failures of the
same content give up at once until it changes or `broken_for` seconds passed. Empty content is never a reason to go.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from controller.endpoints.table import PortKey, ServiceName


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """Times in seconds. `settle`: what nginx gets to apply an answer. `recent`: how long a later failure may still
    come from content before the present one; `stale`: the same for a first failure, which may be a slow connect.

    `rounds` cannot be raised: nginx allows a request 10 internal redirections, a round takes three of them.
    """

    deadline: float = 3.0
    rounds: int = 3
    per_service: int = 256
    total: int = 2048
    settle: float = 0.010
    pause: float = 0.1
    recent: float = 1.5
    stale: float = 60.0
    broken_for: float = 10.0


class Reason(StrEnum):
    """Why a hold ended. `FRESH` lets the request go, `LEFT` is a client that did not wait, the rest give up."""

    FRESH = "fresh"
    LEFT = "left"
    DEADLINE = "deadline"
    BROKEN = "broken"
    ROUNDS = "rounds"
    FULL = "full"
    STOPPED = "stopped"


@dataclass(slots=True)
class HoldCounters:
    """For metrics; they only grow, but for `held_now`. `wait_seconds` sums the time of all that ended."""

    asked: int = 0
    ended: Counter[Reason] = field(default_factory=Counter)
    held_now: int = 0
    wait_seconds: float = 0.0


class Asked(NamedTuple):
    """nginx asks about a request. `ticket` is the caller's, `round` how often this request was held before."""

    ticket: int
    key: PortKey
    round: int


class Left(NamedTuple):
    """The asker of that ticket is gone."""

    ticket: int


class Changed(NamedTuple):
    """The content of a name is new; `ips` is empty where no pod is left."""

    key: PortKey
    ips: tuple[str, ...]


class Removed(NamedTuple):
    """The Service is gone."""

    key: PortKey


class Served(NamedTuple):
    """nginx has been given the present content of that name."""

    key: PortKey


class Fetched(NamedTuple):
    """nginx has been given the address behind a target name: whoever settles on it needs a moment more."""

    ip: str


class Elapsed(NamedTuple):
    """Time passed."""


class Stopped(NamedTuple):
    """The controller ends: everyone gets the failure as it was."""


Event = Asked | Left | Changed | Removed | Served | Fetched | Elapsed | Stopped


class Decision(NamedTuple):
    """The command: answer that ticket. Go where the reason is `FRESH`, else give up."""

    ticket: int
    reason: Reason


@dataclass(slots=True)
class _Held:
    key: PortKey
    since: float
    deadline: float
    go_at: float | None

    @property
    def due(self) -> float:
        return self.deadline if self.go_at is None else min(self.go_at, self.deadline)


@dataclass(slots=True)
class _Name:
    ips: tuple[str, ...] = ()
    published: bool = False
    changed_at: float = float("-inf")
    served_at: float | None = None
    broken_until: float = float("-inf")
    waiting: dict[int, _Held] = field(default_factory=dict)


class HoldMachine:
    """`on(event, now)` answers with decisions; `next_due` says when to come back with `Elapsed`.

    `now` is any monotonic clock in seconds. The work of an event is bound by the waiters of its name.
    """

    def __init__(self, limits: HoldLimits | None = None) -> None:
        self.limits = limits or HoldLimits()
        self.counters = HoldCounters()
        self._names: dict[PortKey, _Name] = {}
        self._tickets: dict[int, _Held] = {}
        self._services: Counter[ServiceName] = Counter()
        self._due: list[tuple[float, int]] = []
        self._settling: dict[PortKey, float] = {}

    @property
    def next_due(self) -> float | None:
        """When the next decision is due at the latest; None where nobody waits."""
        while self._due:
            due, ticket = self._due[0]
            held = self._tickets.get(ticket)
            if held is not None and held.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def on(self, event: Event, now: float) -> list[Decision]:
        match event:
            case Asked():
                return self._asked(event, now)
            case Changed(key, ips):
                self._changed(key, ips, now)
            case Served(key):
                self._served(key, now)
            case Fetched(ip):
                self._fetched(ip, now)
            case Left(ticket):
                self._end(ticket, Reason.LEFT, now)
            case Removed(key):
                self._removed(key, now)
            case Elapsed():
                return self._elapsed(now)
            case Stopped():
                return [self._end(ticket, Reason.STOPPED, now) for ticket in list(self._tickets)]
        return []

    def _asked(self, event: Asked, now: float) -> list[Decision]:
        self.counters.asked += 1
        name = self._names.get(event.key) or _Name()
        refusal = self._refusal(event, name, now)
        if refusal is not None:
            self.counters.ended[refusal] += 1
            return [Decision(event.ticket, refusal)]
        held = _Held(event.key, now, now + self.limits.deadline, self._go_at(name, event.round, now))
        self._names[event.key] = name
        name.waiting[event.ticket] = self._tickets[event.ticket] = held
        self._services[_service(event.key)] += 1
        self.counters.held_now += 1
        return self._schedule(event.ticket, held, now)

    def _refusal(self, event: Asked, name: _Name, now: float) -> Reason | None:
        if event.round >= self.limits.rounds:
            return Reason.ROUNDS
        if name.broken_until > now:
            return Reason.BROKEN
        full = self._services[_service(event.key)] >= self.limits.per_service
        return Reason.FULL if full or len(self._tickets) >= self.limits.total else None

    def _go_at(self, name: _Name, round_: int, now: float) -> float | None:
        """When a request that fails now may try again with what nginx has; None where it has to wait for news."""
        if not name.ips or name.served_at is None:
            return None
        age = now - name.served_at
        applied = name.served_at + self.limits.settle
        if round_ == 0:
            return max(now, applied) if age <= self.limits.stale or len(name.ips) > 1 else None
        pause = self.limits.pause if round_ == 1 else self.limits.deadline
        return max(now + pause, applied) if age <= self.limits.recent else None

    def _changed(self, key: PortKey, ips: tuple[str, ...], now: float) -> None:
        name = self._names.setdefault(key, _Name())
        name.ips, name.published, name.changed_at = ips, True, now
        name.served_at, name.broken_until = None, float("-inf")
        self._settling.pop(key, None)
        for held in name.waiting.values():
            held.go_at = None
        self._reschedule(name)

    def _removed(self, key: PortKey, now: float) -> None:
        if key in self._names:
            self._changed(key, (), now)
            self._names[key].published = False
            self._forget(key)

    def _served(self, key: PortKey, now: float) -> None:
        name = self._names.get(key)
        if name is None:
            return
        name.served_at = now
        if name.ips and name.waiting:
            self._settling[key] = now + self.limits.settle
            self._settle(name, now)

    def _fetched(self, ip: str, now: float) -> None:
        for key, until in list(self._settling.items()):
            name = self._names[key]
            if until < now:
                del self._settling[key]
            elif ip in name.ips:
                self._settling[key] = now + self.limits.settle
                self._settle(name, now)

    def _settle(self, name: _Name, now: float) -> None:
        for held in name.waiting.values():
            held.go_at = now + self.limits.settle
        self._reschedule(name)

    def _elapsed(self, now: float) -> list[Decision]:
        decisions = []
        while (due := self.next_due) is not None and due <= now:
            _, ticket = heapq.heappop(self._due)
            decisions.append(self._conclude(ticket, now))
        return decisions

    def _schedule(self, ticket: int, held: _Held, now: float) -> list[Decision]:
        if held.due <= now:
            return [self._conclude(ticket, now)]
        heapq.heappush(self._due, (held.due, ticket))
        return []

    def _reschedule(self, name: _Name) -> None:
        for ticket, held in name.waiting.items():
            heapq.heappush(self._due, (held.due, ticket))

    def _conclude(self, ticket: int, now: float) -> Decision:
        held = self._tickets[ticket]
        name = self._names[held.key]
        if held.go_at is not None:
            return self._end(ticket, Reason.FRESH, now)
        if name.changed_at <= held.since:
            name.broken_until = now + self.limits.broken_for
        return self._end(ticket, Reason.DEADLINE, now)

    def _end(self, ticket: int, reason: Reason, now: float) -> Decision:
        held = self._tickets.pop(ticket, None)
        if held is not None:
            service = _service(held.key)
            self._services[service] -= 1
            if not self._services[service]:
                del self._services[service]
            del self._names[held.key].waiting[ticket]
            self._forget(held.key)
            self.counters.held_now -= 1
            self.counters.ended[reason] += 1
            self.counters.wait_seconds += now - held.since
        return Decision(ticket, reason)

    def _forget(self, key: PortKey) -> None:
        """Names come from requests too: keep only those that are published or waited for."""
        name = self._names[key]
        if not name.waiting:
            self._settling.pop(key, None)
            if not name.published:
                del self._names[key]


def _service(key: PortKey) -> ServiceName:
    return key.namespace, key.service
