"""The controller's own work by itself: decode, store, translate, render, diff and write, for the first time and after a
change of one object, on one processor without nginx and without an API server.

Each host has an Ingress, a Service and an EndpointSlice of its own, every second one a certificate of its own. Times
are those of the process (`time.process_time`), the median of some rounds where a round is short.

    python -m e2e.bench.python 1000 5000 10000       # the table; --profile writes where the time goes
"""

from __future__ import annotations

import argparse
import base64
import cProfile
import io
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from controller import memory
from controller.dataplane.certificates import CertificateFiles
from controller.dataplane.generation import GenerationStore
from controller.findings import FindingsLog
from controller.k8s.codec import decode_object
from controller.model.configuration import Translation
from controller.model.fragments import FragmentSet
from controller.model.layout import Layout, NginxBinary
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.observe.compatibility import Identity
from controller.observe.metrics import Metrics
from controller.reconcile import Builder, CertificateTexts
from controller.render.fragments import Renderer
from controller.state.events import Applied, Deleted
from controller.state.store import Store
from controller.tests.live.objects import key_pair
from e2e.bench.figures import Figure
from e2e.bench.plan import Plan

ROUNDS = 7
"""Changes of one object that are timed, of each kind."""

FIRST_NEW = 100_001
"""Number of the first host that comes later: an odd one, so it has a certificate."""

OWN_WORK_GOAL = 50.0
"""Milliseconds of the controller itself for a change of one host."""

Wire = tuple[Kind, bytes]


def host_of(number: int) -> str:
    return f"shop-{number:05}.example.com"


def objects_of(number: int, pair: tuple[bytes, bytes], *, path: str = "/") -> Iterator[Wire]:
    """Everything that one host has, as the API server writes it."""
    meta = {"namespace": f"team-{number % 50}", "name": f"shop-{number:05}", "resourceVersion": "1"}
    backend = {"service": {"name": meta["name"], "port": {"number": 80}}}
    ingress = {
        "metadata": {**meta, "creationTimestamp": "2024-01-01T00:00:00Z", "uid": f"u-{number}"},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": [host_of(number)], "secretName": meta["name"]}] if number % 2 else [],
            "rules": [
                {"host": host_of(number), "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
            ],
        },
    }
    yield Kind.INGRESS, msgspec.json.encode(ingress)
    spec = {"clusterIP": "10.96.0.1", "ports": [{"port": 80, "name": "http", "targetPort": 8080}]}
    yield Kind.SERVICE, msgspec.json.encode({"metadata": meta, "spec": spec})
    labels = {"kubernetes.io/service-name": meta["name"]}
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    pods = [{"addresses": [address], "conditions": {"ready": True}}]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    slices = {"metadata": {**meta, "labels": labels}, "addressType": "IPv4", "endpoints": pods, "ports": ports}
    yield Kind.ENDPOINT_SLICE, msgspec.json.encode(slices)
    if number % 2:
        data = {name: base64.b64encode(text).decode() for name, text in zip(("tls.crt", "tls.key"), pair, strict=True)}
        yield Kind.SECRET, msgspec.json.encode({"metadata": meta, "type": "kubernetes.io/tls", "data": data})


@dataclass(slots=True)
class Pipeline:
    """The parts of the controller that turn objects into files, with the time that each took."""

    state_dir: Path
    store: Store = field(default_factory=lambda: Store(frozenset()))
    seconds: dict[str, float] = field(default_factory=dict)
    number: int = 0
    fragments: FragmentSet | None = None
    builder: Builder = field(init=False)
    generations: GenerationStore = field(init=False)
    certificates: CertificateFiles = field(init=False)
    texts: CertificateTexts = field(default_factory=CertificateTexts)
    findings: FindingsLog = field(default_factory=FindingsLog)
    metrics: Metrics = field(default_factory=lambda: Metrics(Identity("bench")))

    def __post_init__(self) -> None:
        layout = Layout(
            state_dir=str(self.state_dir),
            run_dir=str(self.state_dir / "run"),
            nginx=NginxBinary("nginx", (1, 31, 3), frozenset({"ipv6", "headers-more"})),
            resolvers=("127.0.0.1:10053",),
            sentinel_port=8181,
        )
        self.builder = Builder(Options(manifests=True), Renderer(layout), {})
        self.generations = GenerationStore(layout)
        self.generations.recover()
        self.certificates = CertificateFiles(layout.certificates_dir)

    def take(self, objects: Sequence[Wire]) -> None:
        decoded = self._timed("decode", lambda: [decode_object(kind, raw) for kind, raw in objects])
        for each in decoded:
            assert each.object is not None, each.finding
        events = [Applied(each.key, each.object) for each in decoded if each.object is not None]
        self._timed("store", lambda: [self.store.apply(event) for event in events])

    def build(self) -> None:
        snapshot = self._timed("snapshot", self.store.snapshot)
        builder, now = self.builder, int(time.time())
        translation: Translation = self._timed(
            "translate", lambda: builder.translator.translate(snapshot, builder.options, now=now, kept=builder.kept)
        )
        builder.kept = translation.configuration.certificates
        before = self.fragments
        after = self._timed("render", lambda: builder.renderer.render(translation.configuration))
        self._timed("diff", lambda: after.changed_since(before))
        self._timed("publish", lambda: self._publish(translation))
        self.fragments, self.number = after, self.number + 1
        self._timed("write", lambda: self._write(translation))

    def _publish(self, translation: Translation) -> None:
        """What is told after each round, besides the cluster."""
        self.findings.tell(translation.report)
        self.metrics.record_report(translation.report)
        self.metrics.record_configuration(translation.configuration)

    def _write(self, translation: Translation) -> None:
        assert self.fragments is not None
        self.certificates.write(self.texts.files(translation.configuration))
        self.generations.write(self.number, self.fragments)
        self.generations.publish(self.number)
        self.generations.keep(self.number, self.fragments.digest)

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = work()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - begun
        return result


def run(plan: Plan) -> list[Figure]:
    """All figures for the plan's numbers of hosts."""
    return [figure for size in plan.sizes for figure in _of_size(size)]


def _of_size(size: int) -> Iterator[Figure]:
    pair = key_pair("*.example.com")
    with tempfile.TemporaryDirectory() as directory:
        pipeline, first = _first(Path(directory), size, pair)
        for stage, seconds in first.items():
            yield Figure("python", f"{stage}, from nothing, per host", size, "us", round(seconds / size * 1e6, 1))
        yield Figure("python", "all, from nothing", size, "s", round(sum(first.values()), 2))
        for name, change in _changes(pair).items():
            rounds = [_round(pipeline, change, number) for number in range(ROUNDS)]
            for stage in rounds[0]:
                found = statistics.median(each.get(stage, 0.0) for each in rounds) * 1e3
                yield Figure("python", f"{stage}, {name}", size, "ms", round(found, 2))
            sums = [sum(each.values()) * 1e3 for each in rounds]
            yield Figure(
                "python",
                f"all, {name}",
                size,
                "ms",
                round(statistics.median(sums), 2),
                goal=OWN_WORK_GOAL,
                spread=(round(min(sums), 2), round(max(sums), 2)),
            )


def _first(directory: Path, size: int, pair: tuple[bytes, bytes]) -> tuple[Pipeline, dict[str, float]]:
    """As at a start: everything is read, then built; the heap is left out of collections as `app` does it."""
    wire = [each for number in range(size) for each in objects_of(number, pair)]
    memory.collect_rarely()
    pipeline = Pipeline(directory)
    pipeline.take(wire)
    memory.settle()
    pipeline.build()
    return pipeline, dict(pipeline.seconds)


def _changes(pair: tuple[bytes, bytes]) -> dict[str, Callable[[Pipeline, int], None]]:
    """What happens to one host, by name."""

    def less(pipeline: Pipeline, number: int) -> None:
        for key in _keys(FIRST_NEW + 2 * number):
            pipeline.store.apply(Deleted(key))

    return {
        "one path changed": lambda pipeline, n: pipeline.take([next(objects_of(4, pair, path=f"/{n}"))]),
        "one host more": lambda pipeline, n: pipeline.take(list(objects_of(FIRST_NEW + 2 * n, pair))),
        "one host less": less,
    }


def _keys(number: int) -> list[ObjectKey]:
    kinds = (Kind.INGRESS, Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.SECRET)
    return [ObjectKey(kind, f"team-{number % 50}", f"shop-{number:05}") for kind in kinds]


def _round(pipeline: Pipeline, change: Callable[[Pipeline, int], None], number: int) -> dict[str, float]:
    pipeline.seconds = {}
    change(pipeline, number)
    pipeline.build()
    return pipeline.seconds


def profile(size: int) -> str:
    """Where the time goes, as text: from nothing, then for one host more."""
    pair, parts = key_pair("*.example.com"), []
    with tempfile.TemporaryDirectory() as directory:
        pipeline = Pipeline(Path(directory))
        wire = [each for number in range(size) for each in objects_of(number, pair)]
        parts.append(_profiled(f"{size} hosts from nothing", pipeline, wire))
        for number in range(ROUNDS):  # a generation has its directory from one that is gone
            _round(pipeline, _changes(pair)["one path changed"], number)
        parts.append(_profiled(f"one host more than {size}", pipeline, list(objects_of(FIRST_NEW, pair))))
    return "\n".join(parts)


def _profiled(title: str, pipeline: Pipeline, wire: Sequence[Wire], lines: int = 30) -> str:
    profiler, text = cProfile.Profile(), io.StringIO()
    with profiler:
        pipeline.take(wire)
        pipeline.build()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    return f"== {title}\n{text.getvalue().strip()}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1_000])
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    if chosen.profile:
        print(profile(chosen.sizes[0]))
        return
    for figure in (figure for size in chosen.sizes for figure in _of_size(size)):
        print(f"{figure.hosts:>6}  {figure.name:<40} {figure.ours:>9} {figure.unit}")


if __name__ == "__main__":
    main()
