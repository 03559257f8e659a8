"""Load while endpoints flip every second and a route of another Ingress changes every two: nobody may notice.

Lasts `HEADRACE_LOAD_SECONDS` each: short here, a minute in e2e/load. Reloads happen as often as in production.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from controller.tests.live.backends import Backends, Blackhole, PodProcess
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.load import Load, seconds
from controller.tests.live.objects import Object, app, ingress, service, slice_at, slice_of

AS_IN_PRODUCTION = ("--reload-interval", "1")
SLOWEST = 3.0

Record = Callable[[str, object], None]


def routes(*services: str) -> list[Object]:
    rules = [(f"{name}.test", "/", "Prefix", name) for name in services]
    return [ingress("flip", *rules), *(service(name) for name in services)]


def every_second(headrace: Headrace, backends: Backends, lasting: float) -> Iterator[int]:
    """Counts the seconds; every other one changes a route of an Ingress that has nothing to do with the load."""
    other = app("other", backends.start("other"))
    begun = time.monotonic()
    for number in range(int(lasting)):
        if number % 2 == 0:
            headrace.write("other.yaml", ingress("other", ("other.test", f"/v{number}", "Prefix", "other")), *other)
        yield number
        time.sleep(max(0.0, begun + number + 1 - time.monotonic()))


def check(name: str, load: Load, headrace: Headrace, record: Record) -> None:
    tally = load.tally
    reloads, held = (int(headrace.metric(f"headrace_{what}_total")) for what in ("reloads", "hold_requests"))
    summary = f"{name}: {tally}; {reloads} reloads, {held} held"
    record(name, summary)
    print(summary)
    assert not tally.failures, f"{summary}\n{tally.failures[:20]}\n{headrace.log}"
    assert tally.slowest <= SLOWEST and reloads >= int(seconds()) // 2 and held > 0


def test_one_of_two_pods_is_blackholed(run: Run, backends: Backends, record_property: Record) -> None:
    headrace = run(*routes("app"), flags=AS_IN_PRODUCTION)
    good = slice_of("app", backends.start("good"))
    headrace.write("slices.yaml", good)
    headrace.until(lambda: headrace.get("http://app.test/").status == 200)
    with Blackhole() as hole, Load(headrace.http, "app.test") as load:
        lost = slice_at("app", (hole.host, hole.port), suffix="lost")
        for number in every_second(headrace, backends, seconds()):
            headrace.write("slices.yaml", good, *([] if number % 2 else [lost]))
    check("blackholed pod", load, headrace, record_property)


def test_a_single_pod_exits_the_moment_it_is_withdrawn(run: Run, backends: Backends, record_property: Record) -> None:
    """Twice at once: a Service whose pods end each connection after its answer, with GET and POST; and one whose pods
    keep them, with GET. A POST that meets a kept connection which is just being closed is lost with any proxy that
    never sends one twice (RFC 9112, section 9.6)."""
    headrace = run(*routes("app", "kept"), flags=AS_IN_PRODUCTION)
    with ExitStack() as stack:
        pods = {keep: start(stack, keep=keep) for keep in (False, True)}
        publish(headrace, pods)
        for name in ("app", "kept"):
            headrace.until(lambda name=name: headrace.get(f"http://{name}.test/").status == 200)
        with (
            Load(headrace.http, "app.test", clients=4) as load,
            Load(headrace.http, "kept.test", clients=3, posts=False) as kept,
        ):
            for _ in every_second(headrace, backends, seconds()):
                new = {keep: start(stack, keep=keep) for keep in (False, True)}
                publish(headrace, new)
                for pod in pods.values():
                    pod.terminate()
                pods = new
    check("exiting pod", load, headrace, record_property)
    check("exiting pod with kept connections", kept, headrace, record_property)


def start(stack: ExitStack, *, keep: bool) -> PodProcess:
    pod = PodProcess(keep=keep)
    stack.callback(pod.reap)
    return pod


def publish(headrace: Headrace, pods: dict[bool, PodProcess]) -> None:
    slices = [slice_at("kept" if keep else "app", (pod.host, pod.port)) for keep, pod in pods.items()]
    headrace.write("slices.yaml", *slices)
