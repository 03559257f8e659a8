"""Data plane: requests/s, latency and CPU per request of ours next to bare nginx, in turns, medians.

Load and backend have one processor and the proxy the others, so the proxy is what is measured. With two processors
that is one for both its workers. Latencies are those of 32 connections that are never idle: with them the proxy is
full, and p50 is another way to say requests/s. Who judges them has to look at p99.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from controller.tests.live.objects import key_pair
from e2e.bench import sides
from e2e.bench.bare import Variant
from e2e.bench.figures import Figure
from e2e.bench.load import Load, Outcome, prepare, put
from e2e.bench.plan import Plan
from e2e.bench.shapes import ENDLESS, Shape, many_paths
from e2e.bench.sides import Side

PART = "dataplane"
METRICS, DEFAULT = "metrics", "metrics and access log"
PLAIN, ZONE, LOGGED = "bare", "bare with a zone", "bare with an access log"
ALIKE = "bare with our headers and buffers"
VARIANTS = {
    PLAIN: Variant(),
    ZONE: Variant(zone=True),
    ALIKE: Variant(zone=True, alike=True),
    LOGGED: Variant(log=True),
}
_OTHERS = {
    "HTTP": {"ingress-nginx 1.15": 0.56, "Traefik 3.7": 0.40, "HAProxy Ingress": 0.95},
    "HTTPS": {"ingress-nginx 1.15": 0.58, "Traefik 3.7": 0.41, "HAProxy Ingress": 0.88},
    "New TLS connections": {"ingress-nginx 1.15": 0.44, "Traefik 3.7": 0.32, "HAProxy Ingress": 1.06},
}
"""Ratios to bare nginx, from the issue."""


@dataclass(frozen=True)
class Case:
    """Loads that one configuration is put under. `thorough`: with and without logs and zone, else metrics and bare."""

    title: str
    shape: Shape
    loads: dict[str, Load]
    thorough: bool = False


@dataclass(frozen=True)
class Sample:
    """One load on one side; `cpu` is the proxy's and `beside` the controller's, in seconds per request."""

    outcome: Outcome
    cpu: float
    beside: float


Samples = dict[str, list[Sample]]


def run(plan: Plan) -> list[Figure]:
    """All figures. Raises Unmeasurable where a program is missing or an answer was no success."""
    prepare()
    return [figure for case in cases(plan) for figure in measured(case, plan)]


def cases(plan: Plan) -> list[Case]:
    one, many = Shape(), Shape(max(plan.sizes) if plan.quick else 5_000)
    loads = {
        "HTTP": Load("http"),
        "HTTPS": Load("https"),
        "New TLS connections": Load("https", new=True),
        "1 MiB downloads": Load("http", "/big", connections=8),
    }
    prefixes, patterns = many_paths(), many_paths(regex=True)
    return [
        Case("one host", one, loads, thorough=not plan.quick),
        Case("many hosts", many, {name: Load(name.lower(), hosts=many.asked) for name in ("HTTP", "HTTPS")}),
        Case("one host, gRPC", Shape(grpc=True), {"gRPC": Load("grpc", "/bench.Echo/Say")}),
        Case("500 prefixes", prefixes, {"HTTP, the last of 500 prefixes": Load("http", "/v499/items")}),
        Case("500 patterns", patterns, {"HTTP, the last of 500 patterns": Load("http", "/v499/items")}),
    ]


def measured(case: Case, plan: Plan) -> list[Figure]:
    """Starts everything of a case, measures load by load, and ends it."""
    pair = key_pair(*case.shape.hosts[:1])
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=plan.scratch, prefix="bench-")))
        root.chmod(0o755)  # workers have a user of their own
        behind = stack.enter_context(sides.backend(root / "backend"))
        everyone: dict[str, Side] = {}
        for number, (name, options) in enumerate(_ours(case).items()):
            place = root / f"ours{number}"
            everyone[name] = stack.enter_context(sides.headrace(place, case.shape, pair, behind, **options))
        for number, (name, variant) in enumerate(_bare(case).items()):
            place = root / f"bare{number}"
            everyone[name] = stack.enter_context(sides.bare_nginx(place, case.shape, variant, pair, behind))
        return [
            figure
            for title, load in case.loads.items()
            for figure in figures(title, case, _sampled(load, everyone, plan, root))
        ]


def _ours(case: Case) -> dict[str, dict[str, str]]:
    endless = {"keep_alive_requests": str(ENDLESS)} if case.shape.grpc else {}
    every = {METRICS: {"disable_access_log": "true", **endless}, DEFAULT: endless}
    return every if case.thorough else {METRICS: every[METRICS]}


def _bare(case: Case) -> dict[str, Variant]:
    return VARIANTS if case.thorough else {PLAIN: VARIANTS[PLAIN]}


def _sampled(load: Load, everyone: dict[str, Side], plan: Plan, scratch: Path) -> Samples:
    """In turns; each round begins with another side. A short first load of each fills caches and is not counted."""
    found: Samples = {name: [] for name in everyone}
    names = list(everyone)
    for name in names:
        _sample(load, name, everyone, min(plan.seconds, 1), scratch)
    for trial in range(plan.trials):
        turned = names[trial % len(names) :] + names[: trial % len(names)]
        for name in turned:
            found[name].append(_sample(load, name, everyone, plan.seconds, scratch))
    return found


def _sample(load: Load, name: str, everyone: dict[str, Side], seconds: float, scratch: Path) -> Sample:
    side = everyone[name]
    with side.alone(tuple(everyone.values())):
        before = sides.cpu_seconds(side.proxy), sides.cpu_seconds(side.others)
        outcome = put(load, side.http if load.scheme == "http" else side.https, seconds, scratch)
        proxy, beside = sides.cpu_seconds(side.proxy), sides.cpu_seconds(side.others)
    return Sample(outcome, (proxy - before[0]) / outcome.requests, (beside - before[1]) / outcome.requests)


def figures(title: str, case: Case, samples: Samples) -> list[Figure]:
    """Goals count for what the issue names: HTTP, HTTPS and new TLS connections on any number of hosts."""
    named = title in _OTHERS
    found = []
    for ours, goal in ((METRICS, 0.95), (DEFAULT, 0.90)):
        for against in VARIANTS:
            if ours in samples and against in samples and (ours == METRICS) >= (against in (ZONE, ALIKE)):
                wanted = goal if named and against == PLAIN else None
                found.append(_rate(title, case, ours, against, samples, wanted))
    return [*found, *_costs(title, case, samples, 1.1 if named else None)]


def _costs(title: str, case: Case, samples: Samples, goal: float | None) -> list[Figure]:
    def figure(
        name: str, unit: str, of: Callable[[Sample], float], goal: float | None = None, against: str = PLAIN
    ) -> Figure:
        ours = [of(sample) for sample in samples[METRICS]]
        theirs = median(of(sample) for sample in samples[against])
        spread = (min(ours), max(ours))
        return Figure(PART, f"{title}: {name}", case.shape.count, unit, median(ours), theirs, goal, spread=spread)

    def cpu(sample: Sample) -> float:
        return sample.cpu * 1e6

    return [
        figure("CPU", "µs/request", cpu, goal),
        *([figure(f"CPU, to {ALIKE}", "µs/request", cpu, against=ALIKE)] if ALIKE in samples else []),
        figure("p50", "ms", lambda sample: sample.outcome.p50 * 1e3),
        figure("p99", "ms", lambda sample: sample.outcome.p99 * 1e3),
        figure("CPU of the controller", "µs/request", lambda sample: sample.beside * 1e6),
    ]


def _rate(title: str, case: Case, ours: str, against: str, samples: Samples, goal: float | None) -> Figure:
    """Ratios of the same round, whose median is what a noisy machine disturbs least, give `ours`."""
    mine, theirs = ([s.outcome.rate for s in samples[name]] for name in (ours, against))
    others = _OTHERS.get(title, {}) if (ours, against, case.shape.count) == (METRICS, PLAIN, 1) else {}
    bare = median(theirs)
    return Figure(
        PART,
        f"{title}, {ours}" + ("" if against == PLAIN else f", to {against}"),
        case.shape.count,
        "requests/s",
        ours=bare * median(a / b for a, b in zip(mine, theirs, strict=True)),
        bare=bare,
        goal=goal,
        better="higher",
        others={name: bare * ratio for name, ratio in others.items()},
        spread=(min(mine), max(mine)),
    )
