"""Processes that die, of ours and of nginx, and what clients notice of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.load import Load
from controller.tests.live.objects import app, ingress, service, slice_of

AGAIN = 2.0
"""Seconds within which everything is served after a crash of nginx."""


@pytest.fixture(scope="module")
def pods(backends: Backends) -> list[Backend]:
    return [backends.start("one"), backends.start("two")]


@pytest.fixture(scope="module")
def headrace(run: Run, pods: list[Backend]) -> Iterator[Headrace]:
    running = run(ingress("app", ("app.test", "/", "Prefix", "app")), service("app"), flags=("--reload-interval", "1"))
    running.write("slices.yaml", slice_of("app", pods[0]))
    running.until(lambda: running.get("http://app.test/").backend == "one")
    yield running


def master(headrace: Headrace) -> int:
    """0 while nginx has not written it."""
    return int((headrace.directory / "state" / "nginx.pid").read_text() or 0)


def lives(pid: int) -> bool:
    """Whether it runs; one that its adopter has not been told about is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def workers(headrace: Headrace) -> list[int]:
    pid = master(headrace)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Watcher:
    """Asks all the time, each time on a new connection. `with Watcher(headrace) as watcher:`"""

    def __init__(self, headrace: Headrace) -> None:
        self._headrace = headrace
        self._over = threading.Event()
        self.asked = 0
        self.failed_at: list[float] = []

    def __enter__(self) -> Watcher:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            self.asked += 1
            try:
                good = self._headrace.get("http://app.test/", timeout=1).status == 200
            except (OSError, HTTPException):
                good = False
            if not good:
                self.failed_at.append(time.monotonic())

    def outage_since(self, moment: float) -> float:
        """Seconds until the last failure."""
        return max((failed - moment for failed in self.failed_at), default=0.0)


def test_the_master_is_killed(headrace: Headrace) -> None:
    old = master(headrace)
    with Watcher(headrace) as watcher:
        time.sleep(0.3)
        killed = time.monotonic()
        os.kill(old, signal.SIGKILL)
        headrace.until(lambda: master(headrace) not in (0, old) and headrace.get("http://app.test/").status == 200)
        time.sleep(2.5)
    outage = watcher.outage_since(killed)
    print(f"kill -9 of the master: outage {outage:.2f} s, {len(watcher.failed_at)} of {watcher.asked} failed")
    assert outage <= AGAIN
    headrace.until(lambda: headrace.metric("headrace_nginx_restarts_total") == 1)
    headrace.write("more.yaml", ingress("more", ("more.test", "/", "Prefix", "app")))
    headrace.until(lambda: headrace.get("http://more.test/").backend == "one")
    headrace.until(lambda: headrace.metric("headrace_reloads_total") == 2)


def test_workers_are_killed(headrace: Headrace) -> None:
    with Watcher(headrace) as watcher:
        for _ in range(3):
            killed = time.monotonic()
            for pid in workers(headrace):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
    print(f"kill -9 of all workers, three times: {len(watcher.failed_at)} of {watcher.asked} failed")
    assert watcher.outage_since(killed) < 0.5 and len(watcher.failed_at) < 20
    assert headrace.get("http://app.test/").backend == "one", "their successors know the endpoints"


def test_endpoints_change_while_the_controller_is_away(headrace: Headrace, pods: list[Backend]) -> None:
    nginx = master(headrace)
    with Load(headrace.http, "app.test", clients=2) as load:
        headrace.stop(kill=True)
        headrace.write("slices.yaml", slice_of("app", pods[1]))
        time.sleep(0.5)
        headrace.start()
        headrace.until(lambda: headrace.get("http://app.test/").backend == "two", 3)
    assert master(headrace) == nginx and not load.tally.failures
    assert headrace.metric("headrace_reloads_total") == 0
    headrace.write("slices.yaml", slice_of("app", pods[0]))
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one", 3)


def test_the_controller_is_killed_at_any_moment(headrace: Headrace) -> None:
    with Load(headrace.http, "app.test", clients=2) as load:
        for number in range(6):
            headrace.write("turns.yaml", ingress("turns", (f"turn{number}.test", "/", "Prefix", "app")))
            time.sleep(0.06 * number)
            headrace.stop(kill=True)
            headrace.start()
        headrace.until(lambda: headrace.get("http://turn5.test/").status == 200)
    print(f"kill -9 of the controller, six times in the middle of a change: {load.tally}")
    assert not load.tally.failures and load.tally.slowest < 1
    assert headrace.get("http://turn0.test/").status == 404


def test_all_is_killed_at_once(headrace: Headrace) -> None:
    pids = [master(headrace), *workers(headrace)]
    headrace.stop(kill=True)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    headrace.start()
    assert headrace.get("http://app.test/").backend == "one"
    print(f"kill -9 of everything: ready {time.monotonic() - begun:.2f} s after the start")


def test_what_a_disk_may_lose(headrace: Headrace) -> None:
    """The saved state is a help, never a need."""
    state = headrace.directory / "state"
    headrace.stop(kill=True)
    (state / "endpoints.json").write_text('[{"names')
    (state / "ports.json").write_text("")
    (state / "last-good").write_text("1")
    newest = max((path for path in (state / "generations").iterdir()), key=lambda path: path.stat().st_mtime)
    next(iter((newest / "servers").iterdir())).write_text("server { listen ")
    headrace.start()
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one", 3)
    headrace.stop()
    shutil.rmtree(state)
    headrace.start()
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one", 3)


def test_it_drains(headrace: Headrace) -> None:
    process, nginx = headrace.process, master(headrace)
    assert process
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(headrace.get, "http://app.test/slow/2") for _ in range(3)]
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        not_ready = headrace.ask_health("/readyz")
        answers = [request.result() for request in slow]
    assert [answer.status for answer in answers] == [200] * 3
    assert not_ready.status == 503 and b"shutting down" in not_ready.body
    assert process.wait(5) == 0
    assert not lives(nginx), "nginx is gone as well"
    headrace.start()
    assert headrace.get("http://app.test/").backend == "one"


def test_a_port_in_use_is_said_clearly(headrace: Headrace, tmp_path: Path) -> None:
    other = Headrace(tmp_path, headrace.manifests)
    other.http = headrace.http
    other.start(wait=False)
    assert other.process
    try:
        assert other.process.wait(15) == 1
    except subprocess.TimeoutExpired:
        other.stop()
        raise
    assert f"127.0.0.1:{headrace.http}" in other.log.read_text() and "another process listens" in other.log.read_text()


def test_two_controllers_do_not_share_a_state_directory(run: Run, backends: Backends) -> None:
    headrace = run(ingress("app", ("app.test", "/", "Prefix", "app")), *app("app", backends.start("app")))
    first, headrace.process = headrace.process, None
    try:
        headrace.start(wait=False)
        assert headrace.process
        with suppress(subprocess.TimeoutExpired):
            headrace.process.wait(15)
        ended = headrace.process.poll()
    finally:
        headrace.stop(kill=True)
        headrace.process = first
    assert headrace.get("http://app.test/").backend == "app"
    assert ended not in (None, 0), "the second one should refuse to start"
