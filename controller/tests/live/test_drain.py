"""The end of a pod as Kubernetes brings it about: first told, then still asked for a while, and nobody is cut off."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import app, ingress

GRACE = 2


@pytest.fixture
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    flags = ("--shutdown-grace-period", str(GRACE))
    running = run(ingress("app", ("app.test", "/", "Prefix", "app")), *app("app", backends.start("one")), flags=flags)
    running.until(lambda: running.get("http://app.test/").backend == "one")
    yield running


def test_a_terminated_pod_serves_until_the_cluster_has_heard_and_finishes_what_it_began(headrace: Headrace) -> None:
    process = headrace.process
    assert process
    idle = http.client.HTTPConnection("127.0.0.1", headrace.http, timeout=10)
    idle.connect()
    with ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        headrace.until(lambda: headrace.ask_health("/readyz").status == 503, 1)
        served = 0
        while time.monotonic() < begun + GRACE - 0.3:
            assert headrace.get("http://app.test/").backend == "one"
            served += 1
        slow = pool.submit(headrace.get, "http://app.test/slow/2")
        assert process.poll() is None
        time.sleep(begun + GRACE + 0.5 - time.monotonic())
        with pytest.raises(OSError):
            headrace.get("http://app.test/")
        idle.request("GET", "/", headers={"Host": "app.test"})
        late = idle.getresponse()
        assert (late.status, late.getheader("Connection")) == (200, "close"), "a client that kept its connection"
        assert slow.result().backend == "one"
    assert process.wait(10) == 0
    assert served > 10


def test_a_second_signal_does_not_cut_it_short(headrace: Headrace) -> None:
    process = headrace.process
    assert process
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(headrace.get, "http://app.test/slow/2.5")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert slow.result().backend == "one"
    assert process.wait(10) == 0


def test_a_signal_during_the_start_ends_it(run: Run) -> None:
    """Whenever it comes: the interpreter loads for a moment, then nginx is found out about, then started."""
    headrace = run(ingress("app", ("app.test", "/", "Prefix", "app")))
    for moment in (0.15, 0.25, 0.35, 0.5, 0.7, 1.0):
        headrace.stop()
        headrace.start(wait=False)
        assert headrace.process
        time.sleep(moment)
        headrace.process.send_signal(signal.SIGTERM)
        assert headrace.process.wait(5) in (0, -signal.SIGTERM)
        assert not list((headrace.directory / "state").glob("nginx.pid")), "nginx has ended, too"
