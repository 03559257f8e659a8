"""Start: time until all hosts are served, processor time and memory, cold and with last-good state, next to bare nginx.

Cold is an empty state directory and everything still to be read from the API server. Warm is the state of an orderly
end. Bare nginx has its configuration before it starts; what ours takes longer for is reading, judging and writing it.
Of many hosts up to 200 are asked, from everywhere in the configuration, the last one first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from controller.tests.live.headrace import Headrace
from e2e.bench import sides
from e2e.bench.cost import Cost, Program
from e2e.bench.crowd import Cluster, Host, cluster, program_of, sampled
from e2e.bench.figures import Figure
from e2e.bench.floor import Floor
from e2e.bench.plan import Plan
from e2e.bench.probe import Door, until

PART = "start"
PATIENCE = 180.0
REST = 3.0
"""Seconds after which memory is looked at: first work is done."""
_ALL, _CPU = "cold start to all served", "cold start, CPU"
_CONTROLLER, _PROXY = "memory (PSS) of the controller", "memory (PSS) of the data plane"
_NAMES = ("ingress-nginx 1.15", "Traefik 3.7", "HAProxy Ingress")
_OTHERS = {
    (_ALL, 5_000): (32.8, 8.1, 9.4),
    (_CPU, 5_000): (27.0, 6.3, 8.0),
    (_CONTROLLER, 5_000): (308.0, 402.0, 9.0),
    (_PROXY, 5_000): (1_278.0, 402.0, 884.0),
}
"""From the issue, seconds and MiB; the middle where it says from and to. Traefik is one program for both."""
_GOALS = {_ALL: {5_000: 6.0, 10_000: 12.0}, _CONTROLLER: {5_000: 150.0}}
_PER_HOST = 60.0
"""kB of the data plane for each host."""
_MANY = 1_000
"""Hosts from which on memory is told for each: with few it is nginx itself."""


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process to the first right answer, to all of them, and until it says that it is
    ready, which is asked afterwards; `cost` until all were served; `memory` in bytes of controller and nginx later."""

    first: float
    served: float
    ready: float
    cost: Cost
    memory: tuple[float, float]


def run(plan: Plan) -> list[Figure]:
    """All figures. Raises Unmeasurable where a cluster cannot be had or a host is not served."""
    found = []
    with tempfile.TemporaryDirectory(dir=plan.scratch, prefix="start-") as place:
        Path(place).chmod(0o755)
        with cluster(Path(place)) as running:
            for size in plan.sizes:
                running.grow(size)
                found += measured(running, plan)
    return found


def measured(running: Cluster, plan: Plan) -> list[Figure]:
    """At the size that the cluster has now; ours and bare nginx in turns, neither while the other runs."""
    cold, warm, bare = [], [], []
    floor = Floor(running.scratch / f"floor{len(running.hosts)}", running.hosts)
    for _ in range(plan.trials):
        controller = running.controller()
        cold.append(_ours(controller, running.hosts))
        warm.append(_ours(controller, running.hosts))
        bare.append(_bare(floor, running.hosts))
    return figures(len(running.hosts), cold, warm, bare)


def _ours(controller: Headrace, hosts: list[Host]) -> Start:
    """Starts it and ends it in order; what it leaves is the last-good state of the next time."""
    with ExitStack() as stack:
        stack.callback(controller.__exit__)
        begun = time.monotonic()
        controller.start(wait=False)
        assert controller.process
        sides.rank_alike((controller.process.pid,))
        door = Door(controller.http, controller.https)
        ready = lambda: controller.ask_health("/readyz").status == 200  # noqa: E731 - asked later, again and again
        return _started(begun, door, hosts, ready, lambda: program_of(controller))


def _bare(floor: Floor, hosts: list[Host]) -> Start:
    begun = time.monotonic()
    with floor.running() as program:
        return _started(begun, floor.door, hosts, lambda: True, lambda: program)


def _started(
    begun: float, door: Door, hosts: list[Host], ready: Callable[[], bool], program: Callable[[], Program]
) -> Start:
    first = until(lambda: door.serves(hosts[-1]), PATIENCE, f"{hosts[-1].name} served") - begun
    served = door.all_served(sampled(hosts), PATIENCE) - begun
    cost = program().cost()
    said = until(ready, PATIENCE, "ready") - begun
    time.sleep(REST)
    return Start(first, served, said, cost, program().memory())


def figures(size: int, cold: list[Start], warm: list[Start], bare: list[Start]) -> list[Figure]:
    def figure(name: str, unit: str, of: Callable[[Start], float], ours: list[Start], beside: bool = True) -> Figure:
        values = [of(start) for start in ours]
        return Figure(
            PART,
            name,
            size,
            unit,
            median(values),
            median(map(of, bare)) if beside else None,
            _GOALS.get(name, {}).get(size),
            others=dict(zip(_NAMES, _OTHERS.get((name, size), ()), strict=False)),
            spread=(min(values), max(values)) if len(values) > 1 else None,
            goal_on="value",
        )

    found = [
        figure(_ALL, "s", lambda start: start.served, cold),
        figure("cold start to ready", "s", lambda start: start.ready, cold, beside=False),
        figure(_CPU, "CPU s", lambda start: start.cost.all, cold),
        figure("cold start, CPU of the controller", "CPU s", lambda start: start.cost.controller, cold, beside=False),
        figure(_CONTROLLER, "MiB", lambda start: start.memory[0] / 2**20, cold, beside=False),
        figure(_PROXY, "MiB", lambda start: start.memory[1] / 2**20, cold),
        figure("warm restart to the first right answer", "s", lambda start: start.first, warm),
        figure("warm restart to all served", "s", lambda start: start.served, warm),
        figure("warm restart to ready", "s", lambda start: start.ready, warm, beside=False),
        figure("warm restart, CPU", "CPU s", lambda start: start.cost.all, warm),
    ]
    if size >= _MANY:
        found.append(_each(size, cold, bare))
    return found


def _each(size: int, cold: list[Start], bare: list[Start]) -> Figure:
    ours, theirs = ([start.memory[1] / size / 1000 for start in starts] for starts in (cold, bare))
    return Figure(
        PART,
        "data plane for each host",
        size,
        "kB",
        median(ours),
        median(theirs),
        _PER_HOST,
        spread=(min(ours), max(ours)),
        goal_on="value",
    )
