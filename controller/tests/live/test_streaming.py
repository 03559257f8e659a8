"""What lasts longer than a request: WebSockets, streams, large bodies; and traffic without the controller."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.load import Load
from controller.tests.live.objects import CONFIGMAP, app, configmap, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def pods(backends: Backends) -> list[Backend]:
    return [backends.start("one"), backends.start("two")]


@pytest.fixture(scope="module")
def headrace(run: Run, pods: list[Backend]) -> Iterator[Headrace]:
    running = run(
        ingress("app", ("app.test", "/", "Prefix", "app"), ("dead.test", "/", "Prefix", "dead")),
        service("app"),
        service("dead"),
        slice_at("dead", ("127.0.0.1", free_port())),
        configmap(proxy_body_size="8m"),
        flags=CONFIGMAP,
    )
    running.write("slices.yaml", slice_of("app", pods[0]))
    running.until(lambda: running.get("http://app.test/").backend == "one")
    yield running


class WebSocket:
    """As much of one as a proxy sees: an upgrade, then bytes both ways."""

    def __init__(self, headrace: Headrace) -> None:
        self._socket = socket.create_connection(("127.0.0.1", headrace.http), timeout=5)
        self._socket.sendall(
            b"GET /chat HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = self._socket.recv(65_536)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def echo(self, text: bytes) -> bool:
        self._socket.sendall(text)
        return self._socket.recv(65_536) == text

    def close(self) -> None:
        self._socket.close()


def test_a_websocket_survives_endpoint_changes_and_a_reload(headrace: Headrace, pods: list[Backend]) -> None:
    chat = WebSocket(headrace)
    reloads = headrace.metric("headrace_reloads_total")
    for number in range(10):
        headrace.write("slices.yaml", slice_of("app", pods[(number + 1) % 2]))
        time.sleep(0.3)
        assert chat.echo(b"after change %d" % number)
    headrace.write("more.yaml", ingress("more", ("more.test", "/", "Prefix", "app")))
    headrace.until(lambda: headrace.get("http://more.test/").status == 200)
    headrace.until(lambda: headrace.metric("headrace_reloads_total") == reloads + 1)
    assert chat.echo(b"after a reload")
    new = WebSocket(headrace)
    assert new.echo(b"a new one") and chat.echo(b"both")
    for opened in (chat, new):
        opened.close()


@pytest.mark.parametrize("path", ["/stream/5", "/events/5"])
def test_a_stream_arrives_line_by_line(headrace: Headrace, path: str) -> None:
    with socket.create_connection(("127.0.0.1", headrace.http), timeout=5) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode())
        arrivals = []
        while data := client.recv(65_536):
            arrivals += [time.monotonic()] * (data.count(b"line ") + data.count(b"data: "))
    assert len(arrivals) == 5
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert min(gaps) > 0.05 and max(gaps) < 0.3


def test_large_bodies_arrive(headrace: Headrace) -> None:
    body = bytes(range(97, 123)) * (5 * MEGABYTE // 26)
    answer = headrace.get("http://app.test/upload", method="POST", body=body)
    assert answer.status == 200 and answer.json["body"] == body.decode()
    assert answer.json["headers"]["content-length"] == str(len(body))


def test_a_body_of_unknown_length_arrives(headrace: Headrace) -> None:
    chunk = b"%x\r\n%s\r\n" % (MEGABYTE, b"z" * MEGABYTE)
    head = b"POST /chunks HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = headrace.raw(head + chunk * 3 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"z") == 3 * MEGABYTE


def test_traffic_goes_on_while_the_controller_stands_still(headrace: Headrace, pods: list[Backend]) -> None:
    headrace.write("slices.yaml", slice_of("app", pods[0]))
    headrace.until(lambda: headrace.get("http://app.test/").backend == "one")
    assert headrace.process
    os.kill(headrace.process.pid, signal.SIGSTOP)
    try:
        with Load(headrace.http, "app.test", clients=3) as load:
            headrace.write("slices.yaml", slice_of("app", pods[1]))
            begun = time.monotonic()
            assert headrace.get("http://dead.test/", timeout=15).status in (502, 504)
            failing = time.monotonic() - begun
            time.sleep(max(0.0, 8 - failing))
    finally:
        os.kill(headrace.process.pid, signal.SIGCONT)
    print(f"controller stopped: {load.tally}; a dead backend answered after {failing:.1f} s")
    assert not load.tally.failures and load.tally.slowest < 1 and failing < 6
    assert headrace.until(lambda: headrace.get("http://app.test/").backend == "two") < 3


def test_traffic_goes_on_without_the_controller(run: Run, backends: Backends) -> None:
    headrace = run(
        ingress("app", ("app.test", "/", "Prefix", "app"), ("dead.test", "/", "Prefix", "dead")),
        *app("app", backends.start("app")),
        service("dead"),
        slice_at("dead", ("127.0.0.1", free_port())),
    )
    headrace.stop(kill=True)
    with Load(headrace.http, "app.test", clients=3) as load:
        begun = time.monotonic()
        assert headrace.get("http://dead.test/").status == 502
        assert time.monotonic() - begun < 1
        time.sleep(3)
    assert not load.tally.failures
    headrace.start()
