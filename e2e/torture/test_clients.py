"""Clients that mean harm, on every port: nobody else notices, no worker ends, memory stays bounded and comes back.

Window of all of these: none. Bounds are stated in MiB of proportional memory, against what was taken before.
"""

from __future__ import annotations

import itertools
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from controller.tests.live.headrace import Headrace
from e2e.torture.crowds import Hold, client_hello, crowd, garbage, holds
from e2e.torture.doors import GREEDY, THROUGH, Doors, open_doors
from e2e.torture.faults import controller_of
from e2e.torture.frames import Flood, connected, floods, pour
from e2e.torture.memory import Peak, descriptors, taken, undisturbed

DOORS = ("http", "https", "health", "tcp", "dns")

KEPT = 24.0
"""MiB that may stay taken after an attack: allocators keep some, and the load itself moves by a few."""

FLOODED = 48.0
"""MiB more while floods go on."""

FLOODS = {flood.name: flood for flood in floods(GREEDY)}
SHORT = {("rapid reset", True), ("CONTINUATION", True), ("PING", False), ("windows of nothing", True)}
QUICK = {("slow headers", False), ("slow bodies", True), ("slow reading", False)}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with open_doors(tmp_path_factory.mktemp("doors")) as opened:
        yield opened


def crowds() -> Iterator[Any]:
    """Every way to hold a connection: three of them with few, and all with thousands."""
    for tls, few, many in ((False, 400, 3000), (True, 200, 1500)):
        for hold in holds(GREEDY):
            name = f"{hold.name}-{'TLS' if tls else 'plain'}"
            if (hold.name, tls) in QUICK:
                yield pytest.param(hold, few, tls, id=f"{name}-{few}")
            count = 600 if hold.name == "slow reading" else many  # each takes 2 MB of the pod's time
            yield pytest.param(hold, count, tls, id=f"{name}-{count}", marks=pytest.mark.long)


def gave_back(headrace: Headrace, before: float, kept: float = KEPT) -> None:
    """nginx comes down to what it took before and `kept` MiB more."""
    headrace.until(lambda: taken(headrace).nginx <= before + kept, 15, f"{taken(headrace)}, before {before:.0f}")


@pytest.mark.parametrize("door", DOORS)
def test_garbage(doors: Doors, door: str) -> None:
    """Whatever the first bytes are, and wherever the client stops."""
    shots = [(name, data) for name, data in garbage(THROUGH if door == "https" else "red.test") for _ in range(2)]
    before = taken(doors.headrace)
    with undisturbed(doors.headrace), doors.load() as load, Peak(doors.headrace) as peak:
        load.warm_up()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda shot: fire(doors.ports[door], shot[1]), shots))
        assert doors.works(door)
    load.seen().assert_all_right(at_least=50)
    print(f"{len(shots)} shots at {door}: grown by {peak.grown}; {load.seen()}")
    assert peak.grown.nginx <= FLOODED and peak.grown.controller <= FLOODED, peak.grown
    gave_back(doors.headrace, before.nginx)


@pytest.mark.parametrize(("hold", "count", "tls"), list(crowds()))
def test_crowds(doors: Doors, hold: Hold, count: int, tls: bool) -> None:
    """Thousands of connections that give little: at most 40 KiB for each, 80 KiB with TLS.

    A slow reader takes the buffers of its answer on top: `proxy_buffers`, and the one of a TLS record.
    """
    hold = replace(hold, tls=tls)
    before = taken(doors.headrace)
    with undisturbed(doors.headrace), doors.load() as load:
        load.warm_up()
        with crowd(doors.headrace.https if tls else doors.headrace.http, count, hold, "gold.test") as held:
            assert len(held.sockets) >= count * 0.99
            for _ in range(3):
                held.drip()
                assert doors.works("https") and doors.works("http")
                time.sleep(0.5)
            each = (taken(doors.headrace).nginx - before.nginx) * 1024 / count
    load.seen().assert_all_right(at_least=50)
    print(f"{count} connections, {hold.name}, TLS {tls}: {each:.1f} KiB for each; {load.seen()}")
    assert each <= (80 if tls else 40) + (100 if hold.name == "slow reading" else 0)
    gave_back(doors.headrace, before.nginx, KEPT + count / 100)


@pytest.mark.parametrize(
    ("flood", "tls"),
    [
        pytest.param(name, tls, id=f"{name}-{tls}", marks=() if (name, tls) in SHORT else pytest.mark.long)
        for name, tls in itertools.product(FLOODS, (True, False))
    ],
)
def test_floods_of_http2(doors: Doors, flood: str, tls: bool) -> None:
    """Four clients at once, again as soon as they are cut off."""
    before = taken(doors.headrace)
    with undisturbed(doors.headrace), doors.load() as load, Peak(doors.headrace) as peak:
        load.warm_up()
        port = doors.headrace.https if tls else doors.headrace.http
        with ThreadPoolExecutor(4) as pool:
            cut = sum(pool.map(lambda _: flooding(port, FLOODS[flood], tls, 2.0), range(4)))
        assert doors.works("https") and doors.works("http")
    load.seen().assert_all_right(at_least=20)
    print(f"{flood}, TLS {tls}: {cut} times cut off, grown by {peak.grown}; {load.seen()}")
    assert peak.grown.nginx <= FLOODED, peak.grown
    gave_back(doors.headrace, before.nginx)


def flooding(port: int, flood: Flood, tls: bool, seconds: float) -> int:
    """How often the server hung up."""
    cut, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with suppress(OSError), connected(port, "gold.test", tls=tls) as connection:
            cut += pour(connection, flood, left)[1]
    return cut


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_handshakes_that_are_never_finished(doors: Doors, count: int) -> None:
    """At most 120 KiB for each."""
    hold = Hold("half a handshake", client_hello("gold.test"))
    before = taken(doors.headrace)
    with undisturbed(doors.headrace), doors.load() as load:
        load.warm_up()
        with crowd(doors.headrace.https, count, hold):
            time.sleep(1)
            each = (taken(doors.headrace).nginx - before.nginx) * 1024 / count
            assert doors.works("https")
    load.seen().assert_all_right(at_least=50)
    print(f"{count} half handshakes: {each:.1f} KiB for each")
    assert each <= 120
    gave_back(doors.headrace, before.nginx, KEPT + count / 100)


def test_renegotiation_is_refused(doors: Doors) -> None:
    """A client that asks for a new handshake again and again costs a server more than itself (CVE-2011-1473)."""
    target = f"127.0.0.1:{doors.headrace.https}"
    command = [
        "openssl",
        "s_client",
        "-connect",
        target,
        "-tls1_2",
        "-servername",
        "gold.test",
        "-legacy_renegotiation",
    ]
    with undisturbed(doors.headrace), doors.load() as load:
        load.warm_up()
        for _ in range(2):
            asked = subprocess.run(command, input=b"R\n", capture_output=True, timeout=20, check=False)
            assert b"no renegotiation" in asked.stderr or b"closed" in asked.stdout + asked.stderr, asked
    load.seen().assert_all_right(at_least=20)


def test_old_versions_of_tls_are_refused(doors: Doors) -> None:
    target = f"127.0.0.1:{doors.headrace.https}"
    for version in ("-tls1", "-tls1_1"):
        command = ["openssl", "s_client", "-connect", target, version, "-cipher", "ALL:@SECLEVEL=0"]
        asked = subprocess.run(command, input=b"", capture_output=True, timeout=20, check=False)
        assert b"Cipher is (NONE)" in asked.stdout, asked


def test_the_health_port_is_full(doors: Doors) -> None:
    """Probes and scrapes of the kubelet and of Prometheus get through, though others take all they can.

    One that was refused used to be enough for somebody's pod to have the controller restarted.
    """
    before = taken(doors.headrace)
    with undisturbed(doors.headrace), doors.load() as load, Peak(doors.headrace) as peak:
        load.warm_up()
        with crowd(doors.headrace.health, 400, Hold("silent")), ThreadPoolExecutor(4) as pool:
            end = time.monotonic() + 3
            pages = ("/metrics", "/debug/diagnostics", "/metrics", "/")
            hammering = [pool.submit(hammer, doors.headrace.health, page, end) for page in pages]
            while time.monotonic() < end:
                assert doors.headrace.ask_health("/healthz").status == 200
                assert doors.headrace.ask_health("/readyz").status == 200
                time.sleep(0.05)
            moved = change_of_endpoints(doors)
            asked = sum(each.result() for each in hammering)
    load.seen().assert_all_right(at_least=50)
    print(f"{asked} questions meanwhile, endpoints moved in {moved:.2f} s, grown by {peak.grown}, before {before}")
    assert peak.grown.controller <= KEPT
    doors.headrace.until(lambda: descriptors(controller_of(doors.headrace)) < 120)


def hammer(port: int, page: str, end: float) -> int:
    """How many answers were had. None is read beyond its first bytes."""
    asked = 0
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 2, ("127.0.1.9", 0)) as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\n\r\n" % page.encode())
            asked += bool(connection.recv(100))
    return asked


def change_of_endpoints(doors: Doors) -> float:
    """Seconds until it is served."""
    doors.world.move("blue" if doors.world.place != "blue" else "green")
    return doors.headrace.until(doors.world.moved, 5, "endpoints move")


def test_the_dns_responder_is_flooded(doors: Doors) -> None:
    """Datagrams of any kind and idle connections: endpoints still change."""
    port = doors.ports["dns"]
    with undisturbed(doors.headrace), doors.load() as load, crowd(port, 300, Hold("silent")):
        load.warm_up()
        end = time.monotonic() + 3
        with ThreadPoolExecutor(2) as pool:
            sent = [pool.submit(datagrams, port, end) for _ in range(2)]
            moved = change_of_endpoints(doors)
        print(f"{sum(each.result() for each in sent)} datagrams, endpoints moved in {moved:.2f} s")
        doors.headrace.until(lambda: doors.works("dns"))
    load.seen().assert_all_right(at_least=50)


def datagrams(port: int, end: float) -> int:
    """Garbage to a port, from many places, until then; how many."""
    kinds = [data[:500] for _, data in garbage("red.test")]
    sent = 0
    while time.monotonic() < end:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for data in kinds * 20:
                with suppress(OSError):
                    sender.sendto(data, ("127.0.0.1", port))
                    sent += 1
    return sent


def test_a_udp_service_is_flooded(doors: Doors) -> None:
    """Each client of a UDP service holds a connection until a pod has answered, and this one never does.

    What senders of any address can take, HTTP must have left.
    """
    with undisturbed(doors.headrace), doors.load() as load:
        load.warm_up()
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(many_senders, doors.udp, 14_000)
            while not sent.done():
                assert doors.works("http") and doors.works("https") and doors.works("tcp")
        time.sleep(1)
        assert doors.works("http")
    load.seen().assert_all_right(at_least=50)
    print(f"{sent.result()} clients of a UDP service; {taken(doors.headrace)}; {load.seen()}")


def many_senders(port: int, count: int) -> int:
    """So many datagrams, each from an address and port of its own."""
    for number in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((f"127.0.2.{1 + number % 100}", 0))
            sender.sendto(b"question", ("127.0.0.1", port))
    return count


@pytest.mark.long
def test_more_clients_than_connections(doors: Doors) -> None:
    """All connections of all workers are held by slow clients. Routes still change, and nothing is restarted for it.

    New clients wait as they do before any server that is full: this is what `max-worker-connections` is for.
    """
    headrace = doors.headrace
    doors.configure(max_worker_connections="300", client_header_timeout="5")
    with undisturbed(headrace):
        with crowd(headrace.http, 1500, holds(GREEDY)[1]):
            doors.world.change()
            time.sleep(4)
        doors.world.until_changed(10)
        assert "rolled back" not in headrace.log.read_text()[-20_000:]
    doors.configure()


def fire(port: int, data: bytes) -> None:
    """Send it, wait for a moment, and hang up without a word."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(data)
        connection.settimeout(0.2)
        with suppress(TimeoutError):
            while connection.recv(65_536):
                pass


def test_slow_clients_are_hung_up_on(doors: Doors) -> None:
    """Timeouts count for a whole header, not from one byte of it to the next."""
    headrace = doors.headrace
    doors.configure(client_header_timeout="1", client_body_timeout="1")
    time.sleep(1)
    with doors.load() as load, crowd(headrace.http, 20, holds(GREEDY)[1]) as held:
        headrace.until(lambda: held.dripped() == 0, 4, "they are cut off")
    load.seen().assert_all_right()
    doors.configure()
