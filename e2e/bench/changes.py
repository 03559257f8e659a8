"""Changes: from the API server's answer to the first right response, next to what a reload costs bare nginx.

Every size has its hosts beforehand. A client that asks every few milliseconds, each time on a connection of its own,
tells when an answer is right; what that costs is no part of processor time, which is taken in rounds of their own.
Those are judged without what both use when nothing changes, which is a figure of `steady`.

Bare nginx has one way for all changes: a file and a reload. It has no API server, controller or validation in its way,
so its times are floors for everything that needs a reload; endpoints and certificates of ours need none.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from controller.tests.live.objects import key_pair
from e2e.bench.cost import Cost, Program
from e2e.bench.crowd import Cluster, Host, cluster, serving
from e2e.bench.figures import Figure
from e2e.bench.floor import Floor
from e2e.bench.plan import Plan
from e2e.bench.probe import Door, until

PART = "changes"
PATIENCE = 60.0
"""Seconds after which a change counts as lost."""
SELDOM = 0.1
"""Seconds between questions while processor time is taken."""
AT_ONCE, BURST, FLIPS = 100, 200, 20
ENDPOINTS, SECRET, NEW, GONE = "endpoint change", "Secret change to the new certificate", "new Ingress", "Ingress gone"
HUNDRED, MANY = f"{AT_ONCE} Ingresses at once, all served", "endpoint changes at once, all served"
PAIR, FLIP = "CPU per created and deleted Ingress", "CPU per endpoint change"
_NAMES = ("ingress-nginx 1.15", "Traefik 3.7", "HAProxy Ingress")
_OTHERS = {
    (ENDPOINTS, 10): (0.50, 0.09, 0.21),
    (f"{ENDPOINTS}, slowest", 10): (1.97, 0.28, 0.22),
    (NEW, 10): (0.88, 0.10, 0.68),
    (f"{NEW}, slowest", 10): (3.47, 0.21, 1.67),
    (HUNDRED, 10): (2.8, 2.2, 2.4),
    (PAIR, 10): (0.54, 0.23, 0.24),
    (ENDPOINTS, 5_000): (4.1, 2.15, 4.1),
    (NEW, 5_000): (26.2, 1.7, 2.1),
    (GONE, 5_000): (17.0, 1.8, 6.3),
    (HUNDRED, 5_000): (27.6, 4.2, 4.2),
    (PAIR, 5_000): (55.0, 6.7, 11.2),
    (FLIP, 5_000): (4.3, 4.0, 6.4),
}
"""From the issue: seconds, with no other Ingresses (here 10) and with 5,000."""
_ROUTE = {10: 0.3, 1_000: 0.8, 5_000: 1.3, 10_000: 2.0}
_GOALS = {
    NEW: _ROUTE,
    GONE: _ROUTE,
    f"{NEW}, slowest": {10: 1.0},
    f"{GONE}, slowest": {10: 1.0},
    HUNDRED: {10: 1.5, 5_000: 2.5},
    PAIR: {10: 0.15, 5_000: 2.5},
    **{name: dict.fromkeys(_ROUTE, goal) for name, goal in ((ENDPOINTS, 0.6), (f"{ENDPOINTS}, slowest", 1.2))},
    FLIP: dict.fromkeys(_ROUTE, 0.02),
}
Times = dict[str, list[float]]


def run(plan: Plan) -> list[Figure]:
    """All figures. Raises Unmeasurable where a cluster cannot be had, or a change did not arrive."""
    found = []
    with tempfile.TemporaryDirectory(dir=plan.scratch, prefix="changes-") as place:
        Path(place).chmod(0o755)
        with cluster(Path(place)) as running:
            for size in plan.sizes:
                running.grow(size)
                found += measured(running, plan)
    return found


def measured(running: Cluster, plan: Plan) -> list[Figure]:
    """At the size that the cluster has now."""
    controller = running.controller()
    with serving(controller) as program:
        trial = Trial(running, Door(controller.http, controller.https), program, plan)
        trial.door.all_served(running.hosts[-2:], PATIENCE)
        ours = trial.all()
    return figures(len(running.hosts), ours, _floor(running, plan))


@dataclass
class Trial:
    """Changes at one size; `number` makes each new host another one."""

    running: Cluster
    door: Door
    program: Program
    plan: Plan
    number: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def all(self) -> Times:
        trials = self.plan.trials
        found: Times = {ENDPOINTS: [self.endpoints() for _ in range(3 * trials)]}
        found[SECRET] = [self.secret() for _ in range(trials)]
        found[NEW], found[GONE] = map(list, zip(*(self.route() for _ in range(trials)), strict=True))
        few = range((trials + 1) // 2)
        found[MANY] = [self.burst() for _ in few]
        found[HUNDRED] = [self.hundred() for _ in few]
        pairs, flips = [self.spent(lambda: self.route(SELDOM)) for _ in few], [self.spent(self.flips) for _ in few]
        found[PAIR] = [cost.all for cost in pairs]
        found[f"{PAIR}: the controller"] = [cost.controller for cost in pairs]
        found[f"{PAIR}: nginx that tries it"] = [cost.tried for cost in pairs]
        found[FLIP] = [max(cost.all, 0.0) / FLIPS for cost in flips]
        return found

    def pause(self) -> None:
        """Until the last change is done with; at a chance moment, since endpoints are asked for in a rhythm."""
        time.sleep(1 + self.chance.random())

    def endpoints(self) -> float:
        host, address = self.moved()
        self.pause()
        begun = self.running.api.replace(host.endpoints(address))
        return until(lambda: self.door.serves(host, address), PATIENCE, ENDPOINTS) - begun

    def secret(self) -> float:
        host = self.chance.choice([host for host in self.running.hosts if host.tls])
        before = self.door.certificate(host)
        self.pause()
        begun = self.running.api.replace(host.secret(key_pair(host.name)))
        return until(lambda: self.door.certificate(host) != before, PATIENCE, SECRET) - begun

    def route(self, every: float = 0.003) -> tuple[float, float]:
        """A new Ingress, with its Service and endpoints, and the end of it; asked `every` so many seconds."""
        host = self.new()
        self.pause()
        self.running.api.create_all(host.behind)
        begun = self.running.api.create(host.ingress)
        served = until(lambda: self.door.serves(host), PATIENCE, NEW, every) - begun
        self.pause()
        begun = self.running.api.delete(host.ingress)
        gone = until(lambda: self.door.ask(host)[0] == 404, PATIENCE, GONE, every) - begun
        self.running.api.delete_all(host.behind)
        return served, gone

    def burst(self) -> float:
        """Endpoints of many hosts."""
        moved = [(host, self.running.next_pod(host)) for host in self.running.hosts[:BURST]]
        self.pause()
        begun, _ = self.running.api.replace_all(host.endpoints(address) for host, address in moved)
        for host, address in moved:
            moment = until(lambda: self.door.serves(host, address), PATIENCE, ENDPOINTS)  # noqa: B023
        return moment - begun

    def hundred(self) -> float:
        hosts = [self.new() for _ in range(AT_ONCE)]
        self.running.api.create_all(made for host in hosts for made in host.behind)
        self.pause()
        begun, _ = self.running.api.create_all(host.ingress for host in hosts)
        served = self.door.all_served(hosts, PATIENCE) - begun
        self.running.api.delete_all(host.ingress for host in hosts)
        self.running.api.delete_all(made for host in hosts for made in host.behind)
        until(lambda: self.door.ask(hosts[-1])[0] == 404, PATIENCE, GONE)
        return served

    def flips(self) -> None:
        """Changes of endpoints, one after the other; nobody asks meanwhile."""
        for _ in range(FLIPS):
            host, address = self.moved()
            self.running.api.replace(host.endpoints(address))
            time.sleep(SELDOM)
        until(lambda: self.door.serves(host, address), PATIENCE, ENDPOINTS, SELDOM)

    def spent(self, change: Callable[[], object]) -> Cost:
        """Processor time of a change, without what both use when nothing changes."""
        self.settle()
        quiet = self.used(lambda: time.sleep(self.plan.seconds))
        spent = self.used(change, self.settle)
        return spent[0] - quiet[0] * (spent[1] / quiet[1])

    def used(self, *work: Callable[[], object]) -> tuple[Cost, float]:
        before, begun = self.program.cost(), time.monotonic()
        for each in work:
            each()
        return self.program.cost() - before, time.monotonic() - begun

    def settle(self) -> None:
        """Until workers of before have ended, whose time counts only then, and nothing else is under way."""
        self.pause()
        until(lambda: not self.program.old_workers(), PATIENCE, "old workers gone", SELDOM)

    def moved(self) -> tuple[Host, str]:
        """A host, and a pod that it did not have."""
        host = self.chance.choice(self.running.hosts)
        return host, self.running.next_pod(host)

    def new(self) -> Host:
        self.number += 1
        return Host(self.number, f"new{len(self.running.hosts)}x", tls=self.number % 2 == 1)


def _floor(running: Cluster, plan: Plan) -> Times:
    """The same routes by hand: a file and a reload. Ours does not run meanwhile."""
    floor = Floor(running.scratch / f"floor{len(running.hosts)}", running.hosts)
    found: Times = {NEW: [], GONE: [], PAIR: []}
    with floor.running() as program:
        floor.door.all_served(running.hosts[-2:], PATIENCE)
        for number in range(plan.trials):
            host = Host(number, "floor", tls=number % 2 == 1)
            before = program.cost().nginx
            begun = floor.add(host)
            found[NEW].append(until(lambda: floor.door.serves(host), PATIENCE, NEW) - begun)  # noqa: B023
            time.sleep(0.5)
            begun = floor.remove(host)
            found[GONE].append(until(lambda: floor.door.ask(host)[0] == 404, PATIENCE, GONE) - begun)  # noqa: B023
            time.sleep(0.5)
            until(lambda: not program.old_workers(), PATIENCE, "old workers gone")
            found[PAIR].append(program.cost().nginx - before)
    return found


def figures(size: int, ours: Times, floor: Times) -> list[Figure]:
    found = [_figure(size, name, times, floor.get(name)) for name, times in ours.items()]
    slowest = [_figure(size, f"{name}, slowest", [max(ours[name])], None) for name in (ENDPOINTS, NEW, GONE)]
    return [*found, *slowest]


def _figure(size: int, name: str, times: list[float], floor: list[float] | None) -> Figure:
    others = dict(zip(_NAMES, _OTHERS.get((name, size), ()), strict=False))
    unit = "CPU s" if name.startswith("CPU") else "s"
    return Figure(
        PART,
        name,
        size,
        unit,
        median(times),
        median(floor) if floor else None,
        _GOALS.get(name, {}).get(size),
        others=others,
        spread=(min(times), max(times)) if len(times) > 1 else None,
        goal_on="value",
    )
