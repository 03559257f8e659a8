"""Whose address a pod and the log get to see: TCP peer, header, or PROXY protocol, and who may say so."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress

PEER = "127.0.0.1"
CLIENT, PROXY, STRANGER = "203.0.113.9", "198.51.100.5", "192.0.2.66"


@pytest.fixture(scope="module")
def objects(backends: Backends) -> list[Object]:
    return [
        ingress("app", ("app.test", "/", "Prefix", "one")),
        ingress("tls", ("tls.test", "/", "Prefix", "one"), tls=[{"hosts": ["tls.test"]}]),
        *app("one", backends.start("one")),
    ]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


def line_of(address: str, port: int) -> bytes:
    """The PROXY protocol, version 1; the second pair is what the client connected to."""
    return f"PROXY TCP4 {address} 192.0.2.1 51000 {port}\r\n".encode()


def binary_line_of(address: str, port: int) -> bytes:
    """The PROXY protocol, version 2, as network load balancers speak it."""
    addresses = socket.inet_aton(address) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 51_000, port)
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses)) + addresses


@dataclass(frozen=True)
class Ask:
    """Addresses in, and the address that a pod must get as X-Real-IP."""

    expected: str
    forwarded: str | None = None
    source: str = PEER
    proxy: str | None = None

    def __str__(self) -> str:
        return f"{self.forwarded} proxy {self.proxy} from {self.source} -> {self.expected}"


def address_seen(headrace: Headrace, ask: Ask) -> str:
    answer = headrace.get(
        "http://app.test/",
        headers={"X-Forwarded-For": ask.forwarded} if ask.forwarded else {},
        source=ask.source,
        first=line_of(ask.proxy, 80) if ask.proxy else b"",
    )
    seen: str = answer.json["headers"]["x-real-ip"]
    assert answer.json["headers"]["x-forwarded-for"] == seen
    return seen


@pytest.fixture(scope="module")
def by_header(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    """Only the address is taken from the header, from the peers of the list."""
    settings = configmap(enable_real_ip="true", proxy_real_ip_cidr="127.0.0.0/30, 198.51.100.0/24")
    yield run(*objects, settings, flags=CONFIGMAP)


@pytest.mark.parametrize(
    "ask",
    [
        Ask(PEER),
        Ask(CLIENT, forwarded=CLIENT),
        Ask(CLIENT, forwarded=f"{STRANGER}, {CLIENT}, {PROXY}"),
        Ask(PROXY, forwarded=f"{PROXY}, 127.0.0.3"),
        Ask("2001:db8::1", forwarded="2001:db8::1"),
        Ask(PEER, forwarded="not an address"),
        Ask("127.0.0.9", forwarded=CLIENT, source="127.0.0.9"),
    ],
    ids=str,
)
@pytest.mark.shows("configmap:enable-real-ip", "configmap:proxy-real-ip-cidr")
def test_the_header_names_the_client_where_the_peer_is_trusted(by_header: Headrace, ask: Ask) -> None:
    assert address_seen(by_header, ask) == ask.expected


def test_scheme_host_and_port_are_not_trusted(by_header: Headrace) -> None:
    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "forged.test", "X-Forwarded-Port": "1"}
    seen = by_header.get("http://app.test/", headers=forged).json["headers"]
    found = (seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["x-forwarded-port"])
    assert found == ("http", "app.test", str(by_header.http))


@pytest.mark.shows("configmap:forwarded-for-header", "configmap:compute-full-forwarded-for")
def test_another_header_and_the_whole_chain(run: Run, objects: list[Object]) -> None:
    settings = configmap(
        use_forwarded_headers="true", compute_full_forwarded_for="true", forwarded_for_header="CF-Connecting-IP"
    )
    headrace = run(*objects, settings, flags=CONFIGMAP)
    seen = headrace.get("http://app.test/", headers={"CF-Connecting-IP": CLIENT, "X-Forwarded-For": STRANGER}).json
    assert seen["headers"]["x-real-ip"] == CLIENT
    assert seen["headers"]["x-forwarded-for"] == f"{CLIENT}, {PEER}"
    assert seen["headers"]["x-original-forwarded-for"] == CLIENT
    alone = headrace.get("http://app.test/").json["headers"]
    assert (alone["x-real-ip"], alone["x-forwarded-for"]) == (PEER, PEER)


@pytest.fixture(scope="module")
def by_protocol(run: Run, objects: list[Object], log: Path) -> Iterator[Headrace]:
    """Everyone is trusted, as the old controller had it, unless the list says otherwise."""
    flags = (*CONFIGMAP, "--access-log", str(log))
    yield run(*objects, configmap(use_proxy_protocol="true"), flags=flags)


@pytest.mark.parametrize("first", [line_of, binary_line_of])
def test_address_and_port_come_from_the_line(by_protocol: Headrace, first: Callable[[str, int], bytes]) -> None:
    sent = {"X-Forwarded-For": STRANGER, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "1"}
    seen = by_protocol.get("http://app.test/", headers=sent, first=first(CLIENT, 80)).json["headers"]
    assert (seen["x-real-ip"], seen["x-forwarded-for"]) == (CLIENT, CLIENT)
    assert (seen["x-forwarded-port"], seen["x-forwarded-proto"]) == ("80", "http")
    assert seen["x-original-forwarded-for"] == STRANGER


def test_over_tls(by_protocol: Headrace) -> None:
    seen = by_protocol.get("https://tls.test/", first=line_of(CLIENT, 443)).json["headers"]
    assert (seen["x-real-ip"], seen["x-forwarded-port"], seen["x-scheme"]) == (CLIENT, "443", "https")


def test_a_balancer_that_ended_tls_on_443_makes_it_https(by_protocol: Headrace) -> None:
    seen = by_protocol.get("http://tls.test/", first=line_of(CLIENT, 443)).json["headers"]
    assert (seen["x-forwarded-port"], seen["x-forwarded-proto"]) == ("443", "https")
    assert by_protocol.get("http://tls.test/", first=line_of(CLIENT, 80)).status == 308


def test_a_line_without_addresses_leaves_what_is_so(by_protocol: Headrace) -> None:
    unknown = b"PROXY UNKNOWN\r\n"
    plain = by_protocol.get("http://app.test/", first=unknown).json["headers"]
    assert (plain["x-real-ip"], plain["x-forwarded-port"]) == (PEER, str(by_protocol.http))
    assert by_protocol.get("https://app.test/", first=unknown).json["headers"]["x-forwarded-port"] == "443"


def test_whoever_does_not_speak_it_is_turned_away(by_protocol: Headrace) -> None:
    assert by_protocol.raw(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n") == b""


def test_the_log_names_the_client(by_protocol: Headrace, log: Path) -> None:
    by_protocol.get("http://app.test/logged", first=line_of(CLIENT, 80))
    by_protocol.until(lambda: any(w.startswith(CLIENT) and "/logged" in w for w in log.read_text().splitlines()))


def test_proxy_protocol_of_an_untrusted_peer_does_not_name_the_client(run: Run, objects: list[Object]) -> None:
    settings = configmap(use_proxy_protocol="true", proxy_real_ip_cidr="127.0.0.2")
    headrace = run(*objects, settings, flags=CONFIGMAP)
    assert address_seen(headrace, Ask("", proxy=CLIENT)) == PEER
    assert address_seen(headrace, Ask("", proxy=CLIENT, source="127.0.0.2")) == CLIENT


@pytest.fixture(scope="module")
def by_both(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    """The header counts only where the PROXY protocol names a trusted proxy."""
    settings = configmap(
        use_proxy_protocol="true", use_forwarded_headers="true", proxy_real_ip_cidr="127.0.0.1,198.51.100.0/24"
    )
    yield run(*objects, settings, flags=CONFIGMAP)


@pytest.mark.parametrize(
    "ask",
    [
        Ask(CLIENT, forwarded=CLIENT, proxy=PROXY),
        Ask(PROXY, proxy=PROXY),
        Ask(STRANGER, forwarded=CLIENT, proxy=STRANGER),
        Ask(CLIENT, forwarded=f"{STRANGER}, {CLIENT}", proxy=PROXY),
        Ask("127.0.0.2", forwarded=CLIENT, proxy=PROXY, source="127.0.0.2"),
    ],
    ids=str,
)
def test_a_trusted_proxy_names_the_client(by_both: Headrace, ask: Ask) -> None:
    assert address_seen(by_both, ask) == ask.expected


def test_scheme_and_host_are_believed_of_a_trusted_proxy_only(by_both: Headrace) -> None:
    sent = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.test", "X-Forwarded-Port": "8443"}
    believed, ignored = ("https", "public.test", "8443"), ("http", "app.test", "80")
    for source, proxy, expected in ((PEER, PROXY, believed), (PEER, STRANGER, ignored), ("127.0.0.2", PROXY, ignored)):
        seen = by_both.get("http://app.test/", headers=sent, source=source, first=line_of(proxy, 80)).json["headers"]
        assert (seen["x-forwarded-proto"], seen["host"], seen["x-forwarded-port"]) == expected, (source, proxy)


def test_where_everyone_is_trusted_the_first_address_of_the_header_counts_in_the_log_too(
    run: Run, objects: list[Object], tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    settings = configmap(use_proxy_protocol="true", use_forwarded_headers="true")
    headrace = run(*objects, settings, flags=(*CONFIGMAP, "--access-log", str(file)))
    assert address_seen(headrace, Ask("", forwarded=f"{CLIENT}, {STRANGER}", proxy=PROXY)) == CLIENT
    assert address_seen(headrace, Ask("", forwarded=f"{CLIENT}:5000", proxy=PROXY)) == CLIENT
    assert address_seen(headrace, Ask("", forwarded="2001:db8::7, 10.0.0.1", proxy=PROXY)) == "2001:db8::7"
    assert address_seen(headrace, Ask("", forwarded="unknown", proxy=PROXY)) == PROXY
    headrace.until(lambda: len(file.read_text().splitlines()) == 4, message="four lines in the log")
    logged = [line.split()[0] for line in file.read_text().splitlines()]
    # In any order: a worker writes the line after the answer, and another one may be quicker with the next request.
    assert sorted(logged) == sorted([CLIENT, CLIENT, "2001:db8::7", PROXY])
