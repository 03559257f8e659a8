"""Endpoints as clients feel them: every change reaches traffic within a second or so, and nginx is never reloaded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from controller.tests.live.backends import Backend, Backends, Blackhole
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

SOON = 3.0
"""nginx asks every second, and a busy machine has moments of its own: the benchmark judges how long it really takes."""
"""Seconds. nginx asks our DNS every second."""

TRIALS = range(4)
"""Services that change at the same time, since each trial takes a second."""

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def pods(backends: Backends) -> tuple[Backend, Backend, Backend]:
    one, two, six = backends.start("one"), backends.start("two"), backends.start("six", "::1")
    return one, two, six


@pytest.fixture(scope="module")
def headrace(run: Run, pods: tuple[Backend, ...]) -> Iterator[Headrace]:
    trials = [
        document
        for n in TRIALS
        for document in (ingress(f"t{n}", (f"t{n}.test", "/", "Prefix", f"t{n}")), service(f"t{n}"))
    ]
    running = run(ingress("app", ("app.test", "/", "Prefix", "app")), service("app"), *trials)
    running.write("slices.yaml", slice_of("app", pods[0]))
    running.until(lambda: answered_by(running) == {"one"}, message="first endpoint")
    yield running
    assert running.metric("headrace_reloads_total") == 1, "nginx was reloaded for endpoints"


def answered_by(headrace: Headrace, requests: int = 6) -> set[str | int]:
    """Who answers a handful of requests: names of backends, or the status."""
    answers = [headrace.get("http://app.test/") for _ in range(requests)]
    return {answer.backend or answer.status for answer in answers}


def change(headrace: Headrace, expected: set[str | int], *slices: Object) -> float:
    """Writes the slices; seconds until exactly these answer."""
    headrace.write("slices.yaml", *slices)
    return headrace.until(lambda: answered_by(headrace) == expected, message=f"{expected}")


def test_a_change_reaches_traffic_within_a_second_or_so(
    headrace: Headrace, pods: tuple[Backend, ...], record_property: Record
) -> None:
    took: list[float] = []
    for trial in range(5):
        time.sleep(0.2 * trial)  # nginx asks at its own times
        pod = pods[trial % 2]
        took += propagation(headrace, dict.fromkeys(TRIALS, pod))
    record_property("seconds", sorted(took))
    print(f"endpoint change to traffic: {len(took)} trials, median {sorted(took)[10]:.2f} s, worst {max(took):.2f} s")
    assert len(took) == 20 and max(took) <= SOON


def propagation(headrace: Headrace, wanted: dict[int, Backend]) -> list[float]:
    """Seconds until each of the Services is answered by its new pod."""
    headrace.write("trials.yaml", *(slice_of(f"t{n}", pod) for n, pod in wanted.items()))
    begun = time.monotonic()
    took: dict[int, float] = {}
    while len(took) < len(wanted):
        assert time.monotonic() - begun < 5, f"only {took}"
        for n, pod in wanted.items():
            if n not in took and headrace.get(f"http://t{n}.test/").backend == pod.name:
                took[n] = time.monotonic() - begun
        time.sleep(0.005)
    return list(took.values())


def test_ports_families_slices_and_names_of_ports(headrace: Headrace, pods: tuple[Backend, ...]) -> None:
    one, two, six = pods
    both = [slice_of("app", one), slice_of("app", two, suffix="2")]
    took = [
        change(headrace, {"one", "two"}, *both),  # two slices, and a named port with another number in each
        change(headrace, {"two"}, both[1]),
        change(headrace, {"six"}, slice_of("app", six)),
        change(headrace, {"one", "six"}, slice_of("app", one), slice_of("app", six, suffix="6")),
        change(headrace, {"one"}, slice_of("app", one), slice_of("app", one, suffix="copy")),
    ]
    assert max(took) <= SOON


def test_a_port_moves(headrace: Headrace, backends: Backends, pods: tuple[Backend, ...]) -> None:
    moved = backends.start("moved")
    change(headrace, {"one"}, slice_of("app", pods[0]))
    assert change(headrace, {"moved"}, slice_of("app", moved)) <= SOON


def endpoint(pod: Backend, **conditions: bool | None) -> Object:
    return {"addresses": [pod.host], "conditions": conditions}


@pytest.mark.parametrize(
    ("of_one", "of_two", "expected"),
    [
        pytest.param({}, {"ready": None}, {"one", "two"}, id="unset means ready"),
        pytest.param({"ready": True}, {"ready": False}, {"one"}, id="not ready"),
        pytest.param(
            {"ready": False, "serving": True, "terminating": True}, {"ready": True}, {"two"}, id="terminating, another"
        ),
        pytest.param(
            {"ready": False, "serving": True, "terminating": True},
            {"ready": False},
            {"one"},
            id="terminating, none else",
        ),
        pytest.param({"ready": False, "serving": False, "terminating": True}, {"ready": False}, {503}, id="all gone"),
    ],
)
def test_conditions(
    headrace: Headrace,
    pods: tuple[Backend, ...],
    of_one: dict[str, bool | None],
    of_two: dict[str, bool | None],
    expected: set[str | int],
) -> None:
    one, two, _ = pods
    slices = [
        slice_at("app", endpoint(one, **of_one), port=one.port),
        slice_at("app", endpoint(two, **of_two), port=two.port, suffix="2"),
    ]
    assert change(headrace, expected, *slices) <= SOON


def test_without_endpoints_it_is_503_and_it_comes_back(headrace: Headrace, pods: tuple[Backend, ...]) -> None:
    change(headrace, {"one"}, slice_of("app", pods[0]))
    gone = change(headrace, {503}, slice_of("app"))
    back = change(headrace, {"one"}, slice_of("app", pods[0]))
    removed = change(headrace, {503})
    again = change(headrace, {"two"}, slice_of("app", pods[1]))
    print(f"empty: {gone:.2f} and {removed:.2f} s, back: {back:.2f} and {again:.2f} s")
    assert max(gone, back, removed, again) <= SOON


def test_a_pod_that_refuses_costs_nobody_a_request(headrace: Headrace, pods: tuple[Backend, ...]) -> None:
    dead = "127.0.0.1", free_port()
    change(headrace, {"one"}, slice_of("app", pods[0]), slice_at("app", dead, suffix="dead"))
    time.sleep(SOON)
    seconds = timed(headrace, 60)
    assert max(seconds) < 0.5


def test_a_pod_that_vanished_without_a_word_costs_half_a_second(headrace: Headrace, pods: tuple[Backend, ...]) -> None:
    with Blackhole() as hole:
        lost = slice_at("app", (hole.host, hole.port), suffix="lost")
        headrace.write("slices.yaml", slice_of("app", pods[0]), lost)
        time.sleep(SOON)
        seconds = timed(headrace, 8)
    assert 0.4 < max(seconds) < 1.5, "some of them met the lost pod"


def timed(headrace: Headrace, requests: int) -> list[float]:
    """Seconds of each; GET and POST in turn, every one answered by a pod."""
    seconds = []
    for number in range(requests):
        begun = time.monotonic()
        answer = headrace.get("http://app.test/", method=("GET", "POST")[number % 2], body=b"x" * (number % 2))
        assert answer.status == 200, answer
        seconds.append(time.monotonic() - begun)
    return seconds


def test_connections_to_pods_are_kept(headrace: Headrace, backends: Backends) -> None:
    kept = [backends.start("kept1"), backends.start("kept2")]
    change(headrace, {"kept1", "kept2"}, slice_of("app", kept[0]), slice_of("app", kept[1], suffix="2"))
    before = sum(pod.connections for pod in kept)
    answers = Counter(headrace.get("http://app.test/").backend for _ in range(200))
    opened = sum(pod.connections for pod in kept) - before
    print(f"200 requests of 200 clients: {opened} new connections to pods")
    assert opened <= 8 and min(answers.values()) >= 90


def test_a_hundred_changes_do_not_reload(headrace: Headrace, pods: tuple[Backend, ...]) -> None:
    for number in range(100):
        headrace.write("slices.yaml", slice_of("app", pods[number % 2]), slice_of("other", pods[0], suffix=str(number)))
        time.sleep(0.01)
    headrace.until(lambda: answered_by(headrace) == {"two"})
    assert headrace.metric("headrace_reloads_total") == 1
