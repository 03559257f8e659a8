"""Hold, don't fail: where should a failed request go next, and when? A decision machine without clock or I/O.

nginx asks about a request that no pod has received. Most such failures come from addresses that were withdrawn a
moment ago, and the controller knows the present ones before nginx does. So the answer names an address:

- a place that the request has not tried: go there at once;
- a place that it tried and that is young, so its process may be about to listen: there, after a short pause;
- otherwise wait for news. At the end of the time one last attempt, wherever the Service has a pod.

nginx is sent to an address rather than back to its upstream, because the workers of each configuration have a peer
list of their own: those that a reload retired may never learn the news, once the one of them that asked is gone.

A backend that is plainly broken must not make everyone wait: once a request had its time without news, further
failures of the same content give up at once until it changes or `broken_for` seconds passed. A request that a pod did
receive, and that nginx may send twice (GET), is held only for the news that the pod was withdrawn.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from controller.endpoints.table import PortKey, ServiceName

Place = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """Times in seconds. `attempt`: what is left for the last attempt. `pause`: doubled with each round. `young`: how
    long a place may need to listen. `withdrawal`: how long to wait for the news that a pod is gone that had received
    the request.

    `rounds` cannot be raised: nginx allows a request 10 internal redirections, and a round takes two of them.
    """

    rounds: int = 4
    per_service: int = 256
    total: int = 2048
    attempt: float = 0.5
    pause: float = 0.1
    young: float = 2.0
    withdrawal: float = 0.5
    broken_for: float = 10.0


class Reason(StrEnum):
    """Why a hold ended. `FRESH` gets another try, `LEFT` is a client that did not wait, the rest give up."""

    FRESH = "fresh"
    LEFT = "left"
    DEADLINE = "deadline"
    EMPTY = "empty"
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
    """nginx asks about a request. `ticket` is the caller's, `round` how often this request was held before, `left`
    the seconds that it may still take. `received`: a pod had it, and it may be sent again. `otherwise`: whose pods
    answer while `key` has none."""

    ticket: int
    key: PortKey
    round: int = 0
    tried: frozenset[Place] = frozenset()
    left: float = 3.0
    received: bool = False
    otherwise: PortKey | None = None


class Left(NamedTuple):
    """The asker of that ticket is gone."""

    ticket: int


class Changed(NamedTuple):
    """The content of a name is new; `places` is empty where no pod is left."""

    key: PortKey
    places: tuple[Place, ...]


class Removed(NamedTuple):
    """The Service is gone."""

    key: PortKey


class Elapsed(NamedTuple):
    """Time passed."""


class Stopped(NamedTuple):
    """The controller ends: everyone gets the failure as it was."""


Event = Asked | Left | Changed | Removed | Elapsed | Stopped


class Decision(NamedTuple):
    """The command: answer that ticket. `place` is where to go, and is there only where the reason is `FRESH`."""

    ticket: int
    reason: Reason
    place: Place | None = None


@dataclass(slots=True)
class _Held:
    asked: Asked
    since: float
    until: float
    pause_until: float | None

    @property
    def due(self) -> float:
        return self.until if self.pause_until is None else min(self.pause_until, self.until)


@dataclass(slots=True)
class _Name:
    """`places` with the time since when each is there. `broken_until` by whether pods received the request."""

    places: dict[Place, float] = field(default_factory=dict)
    published: bool = False
    changed_at: float = float("-inf")
    broken_until: dict[bool, float] = field(default_factory=dict)
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
        self._turn = 0

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
            case Changed(key, places):
                return self._changed(key, places, now)
            case Left(ticket):
                self._end(ticket, Reason.LEFT, now)
            case Removed(key):
                self._removed(key, now)
            case Elapsed():
                return self._elapsed(now)
            case Stopped():
                return [self._end(ticket, Reason.STOPPED, now) for ticket in list(self._tickets)]
        return []

    # -- a request

    def _asked(self, asked: Asked, now: float) -> list[Decision]:
        self.counters.asked += 1
        name = self._names.get(asked.key) or _Name()
        if asked.otherwise and not name.places:
            asked = asked._replace(key=asked.otherwise, otherwise=None)
            name = self._names.get(asked.key) or _Name()
        decision = self._at_once(asked, name, now)
        if decision is not None:
            self.counters.ended[decision.reason] += 1
            return [decision]
        self._hold(asked, name, now)
        return []

    def _at_once(self, asked: Asked, name: _Name, now: float) -> Decision | None:
        """The decision where there is nothing to wait for."""
        if asked.round >= self.limits.rounds:
            return Decision(asked.ticket, Reason.ROUNDS)
        place = self._place_for(asked, name)
        if place is not None:
            return Decision(asked.ticket, Reason.FRESH, place)
        if name.broken_until.get(asked.received, now) > now:
            return Decision(asked.ticket, Reason.BROKEN)
        if asked.left <= self.limits.attempt:
            self._mark_broken(name, asked, now)
            return Decision(asked.ticket, _given_up(name))
        full = self._services[_service(asked.key)] >= self.limits.per_service
        return Decision(asked.ticket, Reason.FULL) if full or len(self._tickets) >= self.limits.total else None

    def _hold(self, asked: Asked, name: _Name, now: float) -> None:
        wait = min(asked.left - self.limits.attempt, self.limits.withdrawal if asked.received else asked.left)
        held = _Held(asked, now, now + wait, self._pause_until(asked, name, now))
        self._names[asked.key] = name
        name.waiting[asked.ticket] = self._tickets[asked.ticket] = held
        self._services[_service(asked.key)] += 1
        self.counters.held_now += 1
        heapq.heappush(self._due, (held.due, asked.ticket))

    def _place_for(self, asked: Asked, name: _Name) -> Place | None:
        """A place that the request has not tried. What a pod received is its to fail for as long as it is there."""
        if asked.received and not asked.tried.isdisjoint(name.places):
            return None
        return self._pick([place for place in name.places if place not in asked.tried])

    def _pause_until(self, asked: Asked, name: _Name, now: float) -> float | None:
        if asked.received or not self._young(name, now):
            return None
        return now + self.limits.pause * 2.0**asked.round

    def _young(self, name: _Name, now: float) -> list[Place]:
        return [place for place, since in name.places.items() if now - since < self.limits.young]

    def _pick(self, places: list[Place]) -> Place | None:
        """In turn, so that held requests spread over the pods."""
        if not places:
            return None
        self._turn += 1
        return places[self._turn % len(places)]

    # -- news

    def _changed(self, key: PortKey, places: tuple[Place, ...], now: float) -> list[Decision]:
        name = self._names.setdefault(key, _Name())
        new = set(places) - name.places.keys()
        name.places = {place: name.places.get(place, now) for place in places}
        name.published, name.changed_at, name.broken_until = True, now, {}
        decisions = []
        for ticket, held in list(name.waiting.items()):
            # A place that came back is as good as one that was never tried.
            held.asked = held.asked._replace(tried=held.asked.tried - new)
            place = self._place_for(held.asked, self._standing_in(held.asked, name))
            if place is not None:
                decisions.append(self._end(ticket, Reason.FRESH, now, place))
            elif not places:
                held.pause_until = None
                heapq.heappush(self._due, (held.due, ticket))
        return decisions

    def _standing_in(self, asked: Asked, name: _Name) -> _Name:
        """Whoever answers for a name that has no pod any more."""
        other = self._names.get(asked.otherwise) if asked.otherwise and not name.places else None
        return other or name

    def _removed(self, key: PortKey, now: float) -> None:
        if key in self._names:
            self._changed(key, (), now)
            self._names[key].published = False
            self._forget(key)

    # -- time

    def _elapsed(self, now: float) -> list[Decision]:
        decisions = []
        while (due := self.next_due) is not None and due <= now:
            _, ticket = heapq.heappop(self._due)
            decisions.append(self._conclude(ticket, now))
        return decisions

    def _conclude(self, ticket: int, now: float) -> Decision:
        """The pause, or the time, is over."""
        held = self._tickets[ticket]
        name = self._names[held.asked.key]
        place = None if held.asked.received else self._pick(self._young(name, now) or list(name.places))
        if place is not None:
            return self._end(ticket, Reason.FRESH, now, place)
        if name.changed_at <= held.since:
            self._mark_broken(name, held.asked, now)
        return self._end(ticket, _given_up(name), now)

    def _mark_broken(self, name: _Name, asked: Asked, now: float) -> None:
        """Not where the content changed while somebody may have waited: he would have been sent on."""
        if now - name.changed_at > self.limits.young:
            name.broken_until[asked.received] = now + self.limits.broken_for

    # -- the end of a hold

    def _end(self, ticket: int, reason: Reason, now: float, place: Place | None = None) -> Decision:
        held = self._tickets.pop(ticket, None)
        if held is not None:
            key = held.asked.key
            service = _service(key)
            self._services[service] -= 1
            if not self._services[service]:
                del self._services[service]
            del self._names[key].waiting[ticket]
            self._forget(key)
            self.counters.held_now -= 1
            self.counters.ended[reason] += 1
            self.counters.wait_seconds += now - held.since
        return Decision(ticket, reason, place)

    def _forget(self, key: PortKey) -> None:
        """Names come from requests too: keep only those that are published or waited for."""
        name = self._names[key]
        if not name.waiting and not name.published:
            del self._names[key]


def _given_up(name: _Name) -> Reason:
    return Reason.EMPTY if name.published and not name.places else Reason.DEADLINE


def _service(key: PortKey) -> ServiceName:
    return key.namespace, key.service
