"""Steady state: what both use when nothing changes, and what grows while something always does.

Idle is looked at with every size. Churn is endpoints that move every 100 ms somewhere and a route that comes or goes
every second, under a light load of new and of kept connections; it has one size, the greatest up to 1,000. Growth is
the slope of a straight line through the memory, without the first quarter, in which caches fill.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import linear_regression, median

from controller.tests.live.headrace import Headrace
from e2e.bench.cost import Program, open_files, proportional
from e2e.bench.crowd import Cluster, Host, cluster, serving
from e2e.bench.figures import Figure
from e2e.bench.floor import Floor
from e2e.bench.plan import Plan
from e2e.bench.probe import Door

PART = "steady"
IDLE = 20.0
"""Seconds; five rounds of load where a profile has short ones."""
CHURNED = 1_000
STEP, ROUTE, WATCH = 0.1, 1.0, 0.5
STANDING = 20
"""Routes that came in the churn and have not gone yet."""
REQUEST = 0.02
_IDLE = "idle, CPU of both"
_GOALS = {_IDLE: {5_000: 0.15}}


@dataclass(frozen=True)
class Sample:
    """At one moment, in seconds, bytes and numbers."""

    moment: float
    memory: float
    files: int
    old_workers: int


def run(plan: Plan) -> list[Figure]:
    """All figures. Raises Unmeasurable where a cluster cannot be had or a host is not served."""
    found = []
    churned = max((size for size in plan.sizes if size <= CHURNED), default=min(plan.sizes))
    with tempfile.TemporaryDirectory(dir=plan.scratch, prefix="steady-") as place:
        Path(place).chmod(0o755)
        with cluster(Path(place)) as running:
            for size in plan.sizes:
                running.grow(size)
                found += measured(running, plan, churn=size == churned)
    return found


def measured(running: Cluster, plan: Plan, churn: bool) -> list[Figure]:
    """At the size that the cluster has now."""
    size, seconds = len(running.hosts), min(IDLE, 5 * plan.seconds)
    floor = Floor(running.scratch / f"floor{size}", running.hosts)
    with floor.running() as bare:
        floor.door.all_served(running.hosts[-2:], 60)
        _, theirs = _idle(bare, seconds)
    controller = running.controller()
    with serving(controller) as program:
        Door(controller.http, controller.https).all_served(running.hosts[-2:], 60)
        mine, proxy = _idle(program, seconds)
        found = [
            Figure(PART, _IDLE, size, "cores", mine + proxy, goal=_GOALS[_IDLE].get(size)),
            Figure(PART, "idle, CPU of the controller", size, "cores", mine),
            Figure(PART, "idle, CPU of nginx", size, "cores", proxy, theirs),
        ]
        return found + (_churn(running, controller, program, plan) if churn else [])


def _idle(program: Program, seconds: float) -> tuple[float, float]:
    """Processors that the controller and nginx use, some seconds after what came before."""
    time.sleep(min(seconds / 4, 5))
    before, begun = program.cost(), time.monotonic()
    time.sleep(seconds)
    used, took = program.cost() - before, time.monotonic() - begun
    return (used.controller + used.tried) / took, used.nginx / took


def _churn(running: Cluster, controller: Headrace, program: Program, plan: Plan) -> list[Figure]:
    churn = Churn(running, program)
    load = Load(Door(controller.http, controller.https), [host for host in running.hosts if not host.tls][:8])
    reloads, before, begun = controller.metric("headrace_reloads_total"), program.cost(), time.monotonic()
    with load:
        churn.run(plan.churn_seconds)
    took, used = time.monotonic() - begun, program.cost() - before
    reloads = controller.metric("headrace_reloads_total") - reloads
    size, files = len(running.hosts), [sample.files for sample in churn.samples]
    said = f"{took:.0f} s; {churn.moves:,} moves of endpoints, {churn.routes:,} routes; {load.requests:,} requests"

    def figure(name: str, unit: str, ours: float, goal: float | None = None, note: str = "") -> Figure:
        return Figure(PART, f"churn, {name}", size, unit, ours, goal=goal, note=note)

    return [
        figure("growth of the controller's memory", "kB/min", _slope(churn.samples), note=said),
        figure("memory of the controller at the end", "MiB", churn.samples[-1].memory / 2**20),
        figure("open files of the controller, median", "files", median(files)),
        figure("open files of the controller, end over start", "files", files[-1] - files[len(files) // 4]),
        figure("old workers at most", "workers", max(sample.old_workers for sample in churn.samples)),
        figure("reloads", "1/h", reloads / took * 3600),
        figure("CPU of both", "cores", used.all / took),
        figure("requests that failed", "requests", load.failed, goal=0, note="; ".join(load.reasons)),
        figure("kept connections that ended without notice", "1/h", load.closed / took * 3600),
    ]


@dataclass
class Churn:
    """Changes, in a rhythm that does not slip, and a look at the processes twice a second."""

    running: Cluster
    program: Program
    samples: list[Sample] = field(default_factory=list)
    moves: int = 0
    routes: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(2))
    standing: deque[Host] = field(default_factory=deque)

    def run(self, seconds: float) -> None:
        begun = time.monotonic()
        todo: list[tuple[float, float, Callable[[], None]]] = [
            (begun, STEP, self._move),
            (begun, ROUTE, self._route),
            (begun, WATCH, self._look),
        ]
        while (now := time.monotonic()) < begun + seconds:
            moment, every, act = todo.pop(0)
            time.sleep(max(moment - now, 0))
            act()
            todo.append((max(moment + every, time.monotonic() - every), every, act))
            todo.sort(key=lambda entry: entry[0])
        self._look()

    def _move(self) -> None:
        host = self.chance.choice(self.running.hosts)
        self.running.api.replace(host.endpoints(self.running.next_pod(host)))
        self.moves += 1

    def _route(self) -> None:
        """One comes until there are enough; from then on one comes and one goes in turns."""
        self.routes += 1
        if len(self.standing) >= STANDING:
            host = self.standing.popleft()
            self.running.api.delete_all([host.ingress, *host.behind])
            return
        host = Host(self.routes, f"churn{len(self.running.hosts)}x")
        self.running.api.create_all([*host.behind, host.ingress])
        self.standing.append(host)

    def _look(self) -> None:
        pid = self.program.controller
        memory, files, old = proportional((pid,)), open_files(pid), self.program.old_workers()
        self.samples.append(Sample(time.monotonic(), memory, files, old))


def _slope(samples: list[Sample]) -> float:
    """kB a minute."""
    counted = samples[len(samples) // 4 :]
    line = linear_regression([each.moment for each in counted], [each.memory for each in counted])
    return line.slope * 60 / 1000


class Load:
    """Context manager: fifty requests a second, in turns on a new connection and on a kept one.

    A kept connection that the proxy has closed before it answered anything is no failure, as no client takes it for
    one: the request is sent once more on a new one. It is counted.
    """

    def __init__(self, door: Door, hosts: list[Host]) -> None:
        self.requests = self.failed = self.closed = 0
        self.reasons: list[str] = []
        self._door, self._hosts = door, hosts
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        kept = HTTPConnection("127.0.0.1", self._door.http, timeout=10)
        while not self._over.wait(REQUEST):
            host = self._hosts[self.requests // 2 % len(self._hosts)]
            self.requests += 1
            try:
                status = self._kept(kept, host) if self.requests % 2 else self._door.ask(host)[0]
                wrong = "" if status == 200 else f"status {status}"
            except (OSError, HTTPException, ValueError) as reason:
                kept.close()
                wrong = f"{type(reason).__name__}: {reason}"
            if wrong:
                self.failed += 1
                self.reasons = [*self.reasons, wrong][:5]
        kept.close()

    def _kept(self, connection: HTTPConnection, host: Host) -> int:
        try:
            return _asked(connection, host)
        except ConnectionError:
            self.closed += 1
            connection.close()
            return _asked(connection, host)


def _asked(connection: HTTPConnection, host: Host) -> int:
    connection.request("GET", "/", headers={"Host": host.name})
    response = connection.getresponse()
    response.read()
    return response.status
