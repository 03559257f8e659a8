"""Requests that two readers could read in two ways: a pod receives one that is beyond doubt, or nothing.

Meanwhile others send requests to the same pod over the same connections, and each gets its own answer.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from controller.tests.live.headrace import Headrace, trusting_context
from controller.tests.live.objects import ingress, service, slice_at
from e2e.torture import frames
from e2e.torture.checker import Checker, Group
from e2e.torture.memory import undisturbed
from e2e.torture.recorder import Received, Recorder
from e2e.torture.smuggling import Shape, shapes
from e2e.torture.world import World

BUFFERED, STREAMED = "kept.test", "live.test"
PLACES = ((BUFFERED, False), (STREAMED, False), (BUFFERED, True), (STREAMED, True))
"""Hosts of the recorder, over HTTP and over HTTPS. The body of the second is passed on as it comes."""


@pytest.fixture(scope="module")
def recorder(world: World) -> Iterator[Recorder]:
    with Recorder() as pod:
        world.headrace.write(
            "raw.yaml",
            service("raw"),
            slice_at("raw", (pod.host, pod.port)),
            ingress("raw", (BUFFERED, "/", "Prefix", "raw"), annotations={"ssl-redirect": "false"}),
            ingress("streamed", (STREAMED, "/", "Prefix", "raw"), annotations={"proxy-request-buffering": "off"}),
            ingress("other", ("other.test", "/", "Prefix", "red")),
        )
        for host in (BUFFERED, STREAMED):
            world.headrace.until(lambda name=host: world.headrace.get(f"http://{name}/begin").backend == "raw")
        pod.requests.clear()
        yield pod


def victims(world: World) -> Checker:
    """Others who use the pod meanwhile, over the connections that nginx keeps to it."""
    hosts = {BUFFERED: ("raw",), STREAMED: ("raw",)}
    return Checker([*world.groups(), Group("raw", world.headrace.http, hosts, clients=4)], world.headrace.directory)


def test_shapes(world: World, recorder: Recorder) -> None:
    """Hundreds of messages. What arrives is strict, has the boundaries that it should have, and hides nothing."""
    every = [(shape, *place) for shape in shapes() for place in PLACES]
    with undisturbed(world.headrace), victims(world) as load, ThreadPoolExecutor(24) as pool:
        load.warm_up()
        answers = list(pool.map(lambda each: send(world.headrace, each[0], each[1][0], *each[1][1:]), enumerate(every)))
    hidden = {every[int(one.target[8:])][0].name for one in recorder.requests if one.target.startswith("/hidden/")}
    assert not hidden, sorted(hidden)
    received = own(recorder)
    recorder.requests.clear()
    load.seen().assert_all_right(at_least=100)
    assert not recorder.faults, recorder.faults[:3]
    arrived = Counter(number for number, _ in received)
    for number, (shape, host, tls) in enumerate(every):
        got = [(one.method, one.body) for at, one in received if at == number]
        most = shape.may_arrive(number, host)
        assert got == most[: len(got)], f"{shape.name} at {host}, TLS {tls}: {got}, not {most}; {answers[number]!r}"
        if shape.name.startswith("good"):
            assert got == most and answers[number].count(b"HTTP/1.") == len(most), (shape.name, answers[number])
    print(f"{len(every)} messages, {len(arrived)} of them reached the pod, none of them hidden; {load.seen()}")


def test_headers_of_http2_become_one_request(world: World, recorder: Recorder) -> None:
    """A pod speaks HTTP/1, so what HTTP/2 carries in frames must not become lines there (RFC 9113, section 10.3)."""
    with undisturbed(world.headrace), victims(world) as load:
        load.warm_up()
        every = list(frames.downgrades(BUFFERED))
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda one: send_frames(world.headrace, *one), enumerate(every)))
    load.seen().assert_all_right(at_least=100)
    assert not recorder.faults, recorder.faults[:3]
    for number, one in own(recorder):
        assert one.body == every[number][1] and one.values("host") == [BUFFERED], (every[number], one)


def send_frames(headrace: Headrace, number: int, downgrade: tuple[tuple[frames.Field, ...], bytes]) -> None:
    fields, body = downgrade
    with suppress(OSError), frames.connected(headrace.https, BUFFERED) as connection:
        connection.sendall(frames.request([(b":path", b"/shape/%d" % number), *fields], body))
        frames.drain(connection, 0.3)


def send(headrace: Headrace, number: int, shape: Shape, host: str, tls: bool) -> bytes:
    """All that comes back within a moment."""
    received = b""
    port = headrace.https if tls else headrace.http
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
        connection: socket.socket | ssl.SSLSocket = plain
        if tls:
            connection = trusting_context().wrap_socket(plain, server_hostname=host)
        connection.sendall(shape.sent(number, host))
        connection.settimeout(0.4)
        while data := connection.recv(65_536):
            received += data
    return received


def own(recorder: Recorder) -> list[tuple[int, Received]]:
    """What came of the shapes, each with its number. Fails where something came that nobody sent openly."""
    found = []
    for one in recorder.requests:
        number = re.fullmatch(r"/shape/(\d+)(?:\?.*)?", one.target)
        if not number and (one.target == "/" or one.target.startswith(("/load/", "/begin"))):
            continue
        assert number, one
        assert one.values("host")[0].partition(":")[0] in (BUFFERED, STREAMED), one
        found.append((int(number[1]), one))
    return found
