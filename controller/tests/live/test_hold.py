"""Hold as clients feel it: a request that no pod received waits for one and arrives unchanged; and the limits of it."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from controller.tests.live.backends import Backend, Backends, Blackhole
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import CONFIGMAP, Object, configmap, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

DEADLINE = 3.0
AT_ONCE = 0.4

Sent = dict[str, Any]


def refusing(name: str) -> list[Object]:
    """A Service whose only endpoint refuses connections."""
    return [service(name), slice_at(name, ("127.0.0.1", free_port()))]


@pytest.fixture(scope="module")
def headrace(run: Run) -> Iterator[Headrace]:
    rewritten = {"rewrite-target": "/new/$1", "use-regex": "true"}
    running = run(
        ingress("app", ("app.test", "/", "Prefix", "app")),
        ingress("again", ("again.test", "/old/(.*)", "ImplementationSpecific", "app"), annotations=rewritten),
        ingress("quiet", ("quiet.test", "/", "Prefix", "app"), annotations={"enable-access-log": "false"}),
        ingress("off", ("off.test", "/", "Prefix", "off"), annotations={"headrace.dev/hold": "false"}),
        ingress("broken", ("broken.test", "/", "Prefix", "broken")),
        ingress("many", ("many.test", "/", "Prefix", "many")),
        ingress("gone", ("gone.test", "/", "Prefix", "gone")),
        ingress("leaver", ("leaver.test", "/", "Prefix", "leaver")),
        ingress("slow", ("slow.test", "/", "Prefix", "slow")),
        service("app"),
        service("slow"),
        *(document for name in ("off", "broken", "many", "leaver", "gone") for document in refusing(name)),
        configmap(proxy_read_timeout="1"),
        flags=CONFIGMAP,
    )
    time.sleep(2)  # the pods are not new any more
    yield running


REQUESTS: list[Sent] = [
    {"url": "http://app.test/plain?a=1&b=%20x", "headers": {"X-Mine": "kept", "Cookie": "a=b; c=d"}},
    {"url": "http://app.test/a%2Fb/c%20d?q=%2F"},
    {"url": "http://app.test//double//slash"},
    {"url": "http://app.test/dots/./and/../more"},
    {"url": "http://app.test/caf%C3%A9/caf%c3%a9"},
    {"url": "http://app.test/q%3Fnot-a-query#x".split("#")[0]},
    {"url": "http://app.test/post", "method": "POST", "body": b"a" * 300},
    {"url": "http://app.test/large", "method": "PUT", "body": b"b" * 200_000},
    {"url": "http://app.test/delete?x", "method": "DELETE"},
    {"url": "http://app.test/odd", "method": "PROPFIND"},
    {"url": "http://again.test/old/a/b?x=1", "method": "POST", "body": b"c"},
    {"url": "http://again.test/old/a%2Fb%20c"},
    {"url": "http://quiet.test/quiet"},
    {"url": "https://app.test/tls%2F"},
]


def test_held_requests_arrive_as_they_were(headrace: Headrace, backends: Backends) -> None:
    first, second = backends.start("first"), backends.start("second")
    headrace.write("app.yaml", slice_of("app", first))
    headrace.until(lambda: headrace.get("http://app.test/").backend == "first")
    unheld = [headrace.get(**sent) for sent in REQUESTS]
    backends.stop(first)
    with ThreadPoolExecutor(len(REQUESTS)) as pool:
        waiting = [pool.submit(headrace.get, **sent) for sent in REQUESTS]
        time.sleep(0.5)
        assert not any(held.done() for held in waiting)
        headrace.write("app.yaml", slice_of("app", second))
        held = [future.result() for future in waiting]
    for sent, before, after in zip(REQUESTS, unheld, held, strict=True):
        assert before.status == after.status == 200 and after.backend == "second", (sent, after)
        assert comparable(after) == comparable(before), sent
        assert after.headers.keys() == before.headers.keys(), sent
    logged = [line for line in headrace.log.read_text().splitlines() if "/quiet" in line and "[error]" not in line]
    assert not logged, "a location without an access log has none for held requests either"


def comparable(answer: Answer) -> dict[str, object]:
    seen = dict(answer.json)
    seen["headers"] = {name: value for name, value in seen["headers"].items() if name != "x-request-id"}
    return {name: value for name, value in seen.items() if name != "backend"}


def timed(call: Callable[[], Answer]) -> tuple[float, Answer]:
    begun = time.monotonic()
    answer = call()
    return time.monotonic() - begun, answer


def test_a_slow_backend_keeps_its_504_and_is_asked_once(headrace: Headrace, backends: Backends) -> None:
    backend = backends.start("slow-one")
    headrace.write("slow.yaml", slice_of("slow", backend))
    headrace.until(lambda: headrace.get("http://slow.test/").backend == "slow-one")
    for method in ("GET", "POST"):
        path = f"/slow/5/{method}"
        took, answer = timed(partial(headrace.get, f"http://slow.test{path}", method=method))
        assert answer.status == 504 and took < 1.5
        assert times(backend, path) == 1


def test_what_a_pod_received_is_not_posted_again(headrace: Headrace, backends: Backends) -> None:
    pods = [backends.start("end1"), backends.start("end2")]
    headrace.write("slow.yaml", slice_of("slow", pods[0]), slice_of("slow", pods[1], suffix="2"))
    headrace.until(lambda: {headrace.get("http://slow.test/").backend for _ in range(4)} == {"end1", "end2"})
    took, answer = timed(lambda: headrace.get("http://slow.test/reset/post", method="POST", body=b"x"))
    assert answer.status == 502 and took < AT_ONCE
    assert sum(times(pod, "/reset/post") for pod in pods) == 1
    took, answer = timed(lambda: headrace.get("http://slow.test/reset/get"))
    assert answer.status == 502 and took < DEADLINE / 2
    assert sum(times(pod, "/reset/get") for pod in pods) <= 4, "GET goes to each pod, and again where a kept one ended"


def times(backend: Backend, path: str) -> int:
    return sum(request["target"] == path for request in backend.requests)


def test_it_can_be_switched_off_for_an_ingress(headrace: Headrace) -> None:
    took, answer = timed(lambda: headrace.get("http://off.test/"))
    assert answer.status == 502 and took < AT_ONCE


@pytest.mark.shows("configmap:hold")
def test_it_can_be_switched_off_for_all(run: Run) -> None:
    headrace = run(ingress("app", ("app.test", "/", "Prefix", "app")), *refusing("app"), configmap(hold="false"),
                   flags=CONFIGMAP)  # fmt: skip
    took, answer = timed(lambda: headrace.get("http://app.test/"))
    assert answer.status == 502 and took < AT_ONCE
    assert headrace.metric("headrace_hold_requests_total") == 0


def test_a_body_that_is_passed_on_as_it_comes_is_not_held(run: Run) -> None:
    settings = configmap(proxy_request_buffering="off", hold_deadline="1s")
    headrace = run(ingress("app", ("app.test", "/", "Prefix", "app")), *refusing("app"), settings, flags=CONFIGMAP)
    took, answer = timed(lambda: headrace.get("http://app.test/", method="POST", body=b"x" * 50_000))
    assert answer.status == 502 and took < AT_ONCE
    time.sleep(2)  # the pod is not new any more
    took, answer = timed(lambda: headrace.get("http://app.test/"))
    assert answer.status == 502 and 0.4 < took < 2, "a GET is held, as long as the ConfigMap says"


def test_a_backend_that_stays_broken_makes_few_wait_and_nobody_long(headrace: Headrace) -> None:
    took, answer = timed(lambda: headrace.get("http://broken.test/"))
    assert answer.status == 502 and took < DEADLINE
    later = [timed(lambda: headrace.get("http://broken.test/")) for _ in range(20)]
    assert {answer.status for _, answer in later} == {502}
    assert max(took for took, _ in later) < AT_ONCE
    assert b"502 Bad Gateway" in answer.body and not any(name.startswith("x-headrace") for name in answer.headers)


def test_a_blackholed_pod_alone_answers_504_in_bounded_time(run: Run) -> None:
    with Blackhole() as hole:
        headrace = run(ingress("app", ("app.test", "/", "Prefix", "app")), service("app"),
                       slice_at("app", (hole.host, hole.port)))  # fmt: skip
        time.sleep(2.1)
        took, answer = timed(lambda: headrace.get("http://app.test/"))
        assert answer.status == 504 and took < DEADLINE + 0.7


def test_when_the_last_pod_is_gone_it_ends_as_503(headrace: Headrace) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[tuple[float, Answer]] = pool.submit(timed, lambda: headrace.get("http://gone.test/"))
        time.sleep(0.3)
        headrace.write("gone.yaml", slice_of("gone"))  # comes before objects.yaml
        took, answer = waiting.result()
    assert answer.status == 503 and 2 < took < DEADLINE


def test_there_is_a_bound_per_service(headrace: Headrace) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", headrace.http))) for _ in range(300)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: many.test\r\n\r\n")
        time.sleep(0.8)
        assert 200 <= headrace.metric("headrace_hold_waiting") <= 256
        statuses = Counter(answered(client) for client in clients)
        assert statuses[b"502"] >= 44 and statuses[b"waits"] <= 256


def answered(client: socket.socket) -> bytes:
    client.setblocking(False)
    try:
        return client.recv(65_536).split(b" ")[1]
    except BlockingIOError:
        return b"waits"


def test_a_client_that_leaves_frees_its_place(headrace: Headrace) -> None:
    headrace.until(lambda: headrace.metric("headrace_hold_waiting") == 0, 10)
    with socket.create_connection(("127.0.0.1", headrace.http)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: leaver.test\r\n\r\n")
        headrace.until(lambda: headrace.metric("headrace_hold_waiting") == 1)
    headrace.until(lambda: headrace.metric("headrace_hold_waiting") == 0, 1)
