"""TCP and UDP services through the real nginx: where they lead, what a change costs, and what a bad entry costs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress
from controller.tests.live.peers import (
    Peer,
    Peers,
    ask_udp,
    entries,
    listening,
    places,
    places_of_both,
    plain_service,
    say,
    udp_client,
)
from controller.tests.ports import free_port, free_ports

MAPS = ("--tcp-services-configmap", "default/tcp", "--udp-services-configmap", "default/udp")
LOCAL = "--allow-local-external-names"


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    with Peers() as running:
        yield running


NAMES = (
    "number", "name", "target", "other_namespace", "by_two", "empty", "external", "gone", "no_port", "udp_only", "text",
    "fields", "proxi", "blank", "bare", "https", "accepts", "sends", "both", "small",
)  # fmt: skip


@pytest.fixture(scope="module")
def port() -> dict[str, int]:
    return dict(zip(NAMES, free_ports(len(NAMES)), strict=True))


@pytest.fixture(scope="module")
def udp_port() -> dict[str, int]:
    return {name: free_port() for name in ("dns", "name", "many", "empty", "proxy", "tcp_only")}


@pytest.fixture(scope="module")
def objects(backends: Backends, peers: Peers, port: dict[str, int], udp_port: dict[str, int]) -> list[Object]:
    echo, other, outside = peers.tcp("echo"), peers.tcp("other"), peers.tcp("outside")
    dns = peers.udp("dns")
    web = backends.start("web")
    tcp = {
        port["number"]: "default/echo:7000",
        port["name"]: "default/echo:line",
        port["target"]: "default/echo:7777",
        port["other_namespace"]: "other/echo:7000",
        port["by_two"]: "default/echo:7000",
        port["empty"]: "default/empty:7000",
        port["external"]: f"default/external:{outside.port}",
        port["gone"]: "default/gone:7000",
        port["no_port"]: "default/echo:7001",
        port["udp_only"]: "default/dns:53",
        port["text"]: "whatever",
        port["fields"]: "default/echo:7000:PROXY:PROXY:PROXY",
        port["proxi"]: "default/echo:7000:PROXI",
        port["blank"]: "  default/echo:7000  ",
        port["bare"]: "default/echo",
        port["accepts"]: "default/echo:7000:PROXY",
        port["sends"]: "default/echo:7000::PROXY",
        port["both"]: "default/echo:7000:PROXY:PROXY",
        port["small"]: "default/echo:7000:proxy",
        "http": "default/echo:7000",
        "0": "default/echo:7000",
        "70000": "default/echo:7000",
        "-1": "default/echo:7000",
        "1 2": "default/echo:7000",
        "10254": "default/echo:7000",
        "10246": "default/echo:7000",
        "442": "default/echo:7000",
    }
    udp = {
        udp_port["dns"]: "default/dns:53",
        udp_port["name"]: "default/dns:queries",
        udp_port["empty"]: "default/empty:53",
        udp_port["proxy"]: "default/dns:53:PROXY",
        udp_port["tcp_only"]: "default/echo:7000",
    }
    line = {"name": "line", "port": 7000, "protocol": "TCP", "targetPort": 7777}
    service = plain_service("echo")
    service["spec"]["ports"] = [line]
    return [
        service,
        places("echo", "line", echo),
        plain_service("echo", ("line", 7000, "TCP"), namespace="other"),
        places("echo", "line", other, namespace="other"),
        plain_service("empty", ("line", 7000, "TCP"), ("queries", 53, "UDP")),
        plain_service("external", type="ExternalName", externalName=socket.gethostname()),
        plain_service("dns", ("queries", 53, "UDP")),
        places("dns", "queries", dns, protocol="UDP"),
        ingress("web", ("web.test", "/", "Prefix", "web")),
        *app("web", web),
        entries("tcp", tcp),
        entries("udp", udp),
    ]


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object]) -> Headrace:
    return run(*objects, flags=(*MAPS, LOCAL))


def told(headrace: Headrace) -> str:
    return headrace.log.read_text()


def finding(headrace: Headrace, code: str, key: object) -> bool:
    """Whether the owner of the entry was told."""
    lines = told(headrace).splitlines()
    return any(f'"{code}"' in line and f"data[{key}]" in line and "ConfigMap" in line for line in lines)


def reloads(headrace: Headrace) -> float:
    return headrace.metric("headrace_reloads_total")


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("number", "echo"), ("name", "echo"), ("target", "echo"), ("other_namespace", "other"), ("by_two", "echo"),
        ("blank", "echo"), ("external", "outside"),
    ],
)  # fmt: skip
def test_a_tcp_service(headrace: Headrace, port: dict[str, int], name: str, peer: str) -> None:
    headrace.until(lambda: say(port[name], "one", "two") == [f"{peer} one", f"{peer} two"], message=name)


def test_a_conversation_goes_both_ways_for_as_long_as_it_lasts(headrace: Headrace, port: dict[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", port["number"]), timeout=5) as connection:
        for number in range(5):
            connection.sendall(f"{number}\n".encode())
            assert connection.recv(100) == f"echo {number}\n".encode()


def test_a_service_without_pods_hangs_up(headrace: Headrace, port: dict[str, int]) -> None:
    begun = time.monotonic()
    assert say(port["empty"], "hello") == []
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("name", ["gone", "no_port", "udp_only", "text", "fields", "proxi", "bare"])
def test_a_bad_entry_is_a_closed_port(headrace: Headrace, port: dict[str, int], name: str) -> None:
    assert not listening(port[name])


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("service-not-found", ["gone"]),
        ("port-not-found", ["no_port", "udp_only"]),
        ("stream-entry-invalid", ["text", "fields", "proxi", "bare"]),
    ],
)
def test_the_owner_of_a_bad_entry_is_told(
    headrace: Headrace, port: dict[str, int], code: str, names: list[str]
) -> None:
    assert all(finding(headrace, code, port[name]) for name in names)


@pytest.mark.parametrize("key", ["http", "0", "70000", "-1", "1 2"])
def test_a_key_that_is_no_port(headrace: Headrace, key: str) -> None:
    assert finding(headrace, "stream-entry-invalid", key)


@pytest.mark.parametrize("key", ["10254", "10246", "442"])
def test_a_reserved_port(headrace: Headrace, key: str) -> None:
    assert finding(headrace, "stream-port-reserved", key) or key == "10254"


def test_ports_of_the_controller_itself(run: Run, objects: list[Object]) -> None:
    others = objects[:-2]
    headrace = run(*others, flags=MAPS)
    own = {
        headrace.http: "default/echo:7000",
        headrace.https: "default/echo:7000",
        headrace.health: "default/echo:7000",
    }
    headrace.write("objects.yaml", *others, entries("tcp", own))
    headrace.until(lambda: all(finding(headrace, "stream-port-reserved", key) for key in own))
    assert headrace.get("http://web.test/").backend == "web"


def test_http_is_served_beside_them(headrace: Headrace) -> None:
    assert headrace.get("http://web.test/").backend == "web"
    assert headrace.get("https://web.test/").backend == "web"


@pytest.mark.parametrize("name", ["dns", "name", "proxy"])
def test_a_udp_service(headrace: Headrace, udp_port: dict[str, int], name: str) -> None:
    headrace.until(lambda: ask_udp(udp_port[name], "query") == ["dns query"], message=name)


def test_many_udp_clients_at_once(headrace: Headrace, udp_port: dict[str, int]) -> None:
    for number in range(50):
        assert ask_udp(udp_port["dns"], f"q{number}") == [f"dns q{number}"]


def test_a_udp_client_may_ask_again_from_the_same_port(headrace: Headrace, udp_port: dict[str, int]) -> None:
    with udp_client(udp_port["dns"]) as client:
        for number in range(5):
            client.send(f"{number}".encode())
            assert client.recv(100) == f"dns {number}".encode()


def test_there_is_no_proxy_protocol_for_udp(headrace: Headrace, udp_port: dict[str, int]) -> None:
    assert finding(headrace, "stream-entry-invalid", udp_port["proxy"])


def test_a_tcp_port_is_no_udp_port(headrace: Headrace, udp_port: dict[str, int]) -> None:
    assert finding(headrace, "port-not-found", udp_port["tcp_only"])
    assert ask_udp(udp_port["empty"], "query") == []


# -- PROXY protocol

ANNOUNCED = b"PROXY TCP4 203.0.113.9 192.0.2.1 51000 7000\r\n"


@pytest.mark.parametrize("name", ["accepts", "small"])
def test_the_proxy_protocol_is_taken_off(headrace: Headrace, port: dict[str, int], name: str) -> None:
    assert say(port[name], "one", first=ANNOUNCED) == ["echo one"]


def test_without_its_header_there_is_no_conversation(headrace: Headrace, port: dict[str, int]) -> None:
    assert say(port["accepts"], "no header here at all") == []


def test_the_proxy_protocol_is_put_on(headrace: Headrace, port: dict[str, int]) -> None:
    header, line = say(port["sends"], "", "one", source="127.0.0.7")[:2]
    assert header.startswith("echo PROXY TCP4 127.0.0.7 127.0.0.1 ")
    assert header.endswith(f" {port['sends']}")
    assert line in ("echo ", "echo one")


def test_the_client_that_was_announced_is_passed_on(headrace: Headrace, port: dict[str, int]) -> None:
    header, line = say(port["both"], "", "one", first=ANNOUNCED)[:2]
    assert header.startswith("echo PROXY TCP4 203.0.113.9 ")
    assert line in ("echo ", "echo one")


# -- changes


def test_pods_come_and_go_without_a_reload(run: Run, peers: Peers) -> None:
    tcp, udp = free_port(), free_port()
    one, two = peers.tcp("one"), peers.tcp("two", host="127.0.0.2")
    first, second = peers.udp("first"), peers.udp("second", host="127.0.0.2")
    fixed = [
        plain_service("echo", ("line", 7000, "TCP"), ("queries", 53, "UDP")),
        entries("tcp", {tcp: "default/echo:line"}),
        entries("udp", {udp: "default/echo:queries"}),
    ]
    headrace = run(*fixed, flags=MAPS)
    assert say(tcp, "x") == []
    before = reloads(headrace)

    def pods(tcp_pod: Peer | None, udp_pod: Peer | None) -> None:
        headrace.write("pods.yaml", places_of_both("echo", tcp_pod, udp_pod))

    pods(one, first)
    headrace.until(lambda: say(tcp, "x") == ["one x"] and ask_udp(udp, "x") == ["first x"])
    pods(two, second)
    took = headrace.until(lambda: say(tcp, "x") == ["two x"] and ask_udp(udp, "x") == ["second x"])
    assert took < 3
    pods(None, None)
    headrace.until(lambda: say(tcp, "x") == [])
    assert reloads(headrace) == before


def test_ports_come_and_go(run: Run, peers: Peers) -> None:
    first, second = free_ports(2)
    echo = peers.tcp("echo")
    fixed = [plain_service("echo", ("line", 7000, "TCP")), places("echo", "line", echo)]
    headrace = run(*fixed, flags=MAPS)
    assert not listening(first)
    headrace.write("tcp.yaml", entries("tcp", {first: "default/echo:line", second: "default/echo:line"}))
    headrace.until(lambda: say(first, "x") == ["echo x"] and say(second, "x") == ["echo x"])
    with socket.create_connection(("127.0.0.1", first), timeout=5) as kept:
        headrace.write("tcp.yaml", entries("tcp", {second: "default/echo:line"}))
        headrace.until(lambda: not listening(first), message="freed")
        socket.create_server(("127.0.0.1", first)).close()
        kept.sendall(b"still here\n")
        assert kept.recv(100) == b"echo still here\n"
    assert say(second, "x") == ["echo x"]


def test_a_service_that_appears_later_opens_its_port(run: Run, peers: Peers) -> None:
    port = free_port()
    echo = peers.tcp("echo")
    headrace = run(entries("tcp", {port: "default/late:7000"}), flags=MAPS)
    assert finding(headrace, "service-not-found", port)
    headrace.write("late.yaml", plain_service("late", ("line", 7000, "TCP")), places("late", "line", echo))
    headrace.until(lambda: say(port, "x") == ["echo x"])


def test_a_port_that_another_process_has_costs_no_other(run: Run, peers: Peers) -> None:
    good = free_port()
    echo = peers.tcp("echo")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        headrace = run(plain_service("echo", ("line", 7000, "TCP")), places("echo", "line", echo), flags=MAPS)
        headrace.write("tcp.yaml", entries("tcp", {number: "default/echo:line", good: "default/echo:line"}))
        headrace.until(lambda: say(good, "x") == ["echo x"], seconds=10)
        headrace.until(lambda: "refused-by-nginx" in told(headrace))
        assert str(number) in next(line for line in told(headrace).splitlines() if "refused-by-nginx" in line)


# -- settings


@pytest.fixture(scope="module")
def tuned(run: Run, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Headrace, int, int]:
    tcp, udp = free_port(), free_port()
    echo, twice = peers.tcp("echo"), peers.udp("twice", answers=2)
    settings = configmap(
        proxy_stream_timeout="1", proxy_stream_responses="2", proxy_stream_next_upstream="false",
        proxy_stream_next_upstream_timeout="5s", proxy_stream_next_upstream_tries="2",
        log_format_stream="stream $protocol $status $upstream_addr $remote_addr end",
        proxy_protocol_header_timeout="1s",
    )  # fmt: skip
    headrace = run(
        plain_service("echo", ("line", 7000, "TCP"), ("queries", 53, "UDP")),
        places_of_both("echo", echo, twice),
        entries("tcp", {tcp: "default/echo:line:PROXY"}),
        entries("udp", {udp: "default/echo:queries"}),
        settings,
        flags=(*MAPS, *CONFIGMAP, "--access-log", str(tmp_path_factory.mktemp("log") / "access.log")),
    )
    headrace.until(lambda: say(tcp, "x", first=ANNOUNCED) == ["echo x"])
    return headrace, tcp, udp


def access_log(headrace: Headrace) -> str:
    return Path(headrace.flags[headrace.flags.index("--access-log") + 1]).read_text()


@pytest.mark.shows("configmap:proxy-stream-timeout")
def test_an_idle_conversation_ends(tuned: tuple[Headrace, int, int]) -> None:
    _, tcp, _ = tuned
    with socket.create_connection(("127.0.0.1", tcp), timeout=5) as connection:
        connection.sendall(ANNOUNCED + b"one\n")
        assert connection.recv(100) == b"echo one\n"
        begun = time.monotonic()
        assert connection.recv(100) == b""
        assert 0.7 < time.monotonic() - begun < 3


@pytest.mark.shows("configmap:proxy-protocol-header-timeout")
def test_a_header_that_does_not_come_is_not_waited_for(tuned: tuple[Headrace, int, int]) -> None:
    _, tcp, _ = tuned
    with socket.create_connection(("127.0.0.1", tcp), timeout=5) as connection:
        begun = time.monotonic()
        assert connection.recv(100) == b""
        assert 0.7 < time.monotonic() - begun < 3


@pytest.mark.shows("configmap:proxy-stream-responses")
def test_as_many_answers_as_are_expected(tuned: tuple[Headrace, int, int]) -> None:
    _, _, udp = tuned
    assert ask_udp(udp, "q", answers=2) == ["twice q 0", "twice q 1"]


@pytest.mark.shows("configmap:log-format-stream")
def test_the_log_has_the_operators_format_and_the_announced_client(tuned: tuple[Headrace, int, int]) -> None:
    headrace, tcp, _ = tuned
    say(tcp, "x", first=ANNOUNCED)
    headrace.until(lambda: "stream TCP 200 127.0.0.1:" in access_log(headrace))
    assert " 203.0.113.9 end" in access_log(headrace)


@pytest.mark.shows(
    "configmap:proxy-stream-next-upstream",
    "configmap:proxy-stream-next-upstream-timeout",
    "configmap:proxy-stream-next-upstream-tries",
)
@pytest.mark.parametrize(
    ("keys", "always"),
    [
        ({}, True),
        ({"proxy_stream_next_upstream": "false"}, False),
        ({"proxy_stream_next_upstream_tries": "1"}, False),
        ({"proxy_stream_next_upstream_timeout": "5s"}, True),
    ],
)
def test_another_pod_is_tried(run: Run, peers: Peers, keys: dict[str, str], always: bool) -> None:
    port = free_port()
    alive = peers.tcp("alive")
    dead = {"addresses": ["127.0.0.9"], "conditions": {"ready": True}}
    pods = places("echo", "line", alive)
    pods["endpoints"].append(dead)
    headrace = run(
        plain_service("echo", ("line", 7000, "TCP")), pods, entries("tcp", {port: "default/echo:line"}),
        configmap(**keys), flags=(*MAPS, *CONFIGMAP),
    )  # fmt: skip
    headrace.until(lambda: say(port, "x") == ["alive x"])
    assert all(say(port, "x") == ["alive x"] for _ in range(8)) is always


@pytest.mark.parametrize(
    ("keys", "logged"),
    [
        pytest.param({}, "default", id="default"),
        pytest.param({"disable_stream_access_log": "true"}, "", id="off for streams"),
        pytest.param({"disable_access_log": "true"}, "", id="off"),
    ],
)
@pytest.mark.shows("configmap:disable-stream-access-log", "configmap:disable-access-log")
def test_the_access_log(run: Run, peers: Peers, tmp_path: Path, keys: dict[str, str], logged: str) -> None:
    port = free_port()
    echo = peers.tcp("echo")
    headrace = run(
        plain_service("echo", ("line", 7000, "TCP")), places("echo", "line", echo),
        entries("tcp", {port: "default/echo:line"}), configmap(**keys),
        flags=(*MAPS, *CONFIGMAP, "--access-log", str(tmp_path / "access.log")),
    )  # fmt: skip
    headrace.until(lambda: say(port, "x") == ["echo x"])
    if logged:
        headrace.until(lambda: "] TCP 200 " in access_log(headrace))
    else:
        time.sleep(0.3)
        assert not (tmp_path / "access.log").exists() or "TCP 200" not in access_log(headrace)


@pytest.mark.shows("configmap:stream-access-log-path")
def test_a_log_path_that_may_not_be_is_told(run: Run) -> None:
    headrace = run(configmap(stream_access_log_path="/etc/passwd", proxy_stream_timeout="0"), flags=CONFIGMAP)
    headrace.until(lambda: "data[stream-access-log-path]" in told(headrace))
    assert "data[proxy-stream-timeout]" in told(headrace)
