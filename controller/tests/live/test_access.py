"""Who may use a location and how much of it, asked from several client addresses of the loopback network."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_at

HOME, AWAY = "127.0.0.1", "127.9.9.9"


def host(name: str, path: str = "/", *, of: str = "", tls: bool = False, **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    known = f"{of or name}.test"
    section = [{"hosts": [known]}] if tls else None
    return ingress(name, (known, path, "Prefix", "one"), annotations=written, tls=section)


def objects() -> list[Object]:
    return [
        host("open"),
        host("allow", allowlist_source_range="127.0.0.0/16"),
        host("allow-old", whitelist_source_range="127.0.0.0/16"),
        host("allow-both", allowlist_source_range="127.9.0.0/16", whitelist_source_range="127.0.0.0/16"),
        host("allow-one", allowlist_source_range="10.0.0.0/8, 127.0.0.1"),
        host("allow-host-bits", allowlist_source_range="127.0.0.9/16"),
        host("allow-six", allowlist_source_range="2001:db8::/32"),
        host("allow-all", whitelist_source_range="0.0.0.0/0,::/0"),
        host("allow-bad", allowlist_source_range="127.0.0.0/33"),
        host("allow-word", allowlist_source_range="everyone"),
        host("allow-empty", allowlist_source_range=","),
        host("allow-tls", tls=True, allowlist_source_range="10.0.0.0/8"),
        host("allow-redirect", allowlist_source_range="10.0.0.0/8", permanent_redirect="https://new.test"),
        host("allow-part", "/closed", of="allow-rest", allowlist_source_range="10.0.0.0/8"),
        host("allow-rest"),
        host("deny", denylist_source_range="127.9.0.0/16"),
        host("deny-bad", denylist_source_range="127.9.0.0/16;allow"),
        host("deny-first", denylist_source_range="127.0.0.0/8", allowlist_source_range="127.0.0.1"),
        host("rps", limit_rps="2"),
        host("rps-part", "/a", of="rps-two", limit_rps="1", limit_burst_multiplier="0"),
        host("rps-shared", limit_rps="1", limit_burst_multiplier="1"),
        host("rps-bare", limit_rps="1", limit_burst_multiplier="0"),
        host("rps-zero", limit_rps="0"),
        host("rps-minus", limit_rps="-5"),
        host("rps-bad", limit_rps="5/s"),
        host("rps-huge", limit_rps="999999", limit_burst_multiplier="999999"),
        host("rpm", limit_rpm="1", limit_burst_multiplier="3"),
        host("rpm-bad", limit_rpm="many"),
        host("both", limit_rps="100", limit_rpm="1", limit_burst_multiplier="2"),
        host("exempt", limit_rpm="1", limit_burst_multiplier="0", limit_allowlist="127.9.0.0/16"),
        host("exempt-old", limit_rpm="1", limit_burst_multiplier="0", limit_whitelist="127.9.0.0/16"),
        host("exempt-bad", limit_rpm="1", limit_allowlist="nobody"),
        host("connections", limit_connections="2"),
        host("connections-bad", limit_connections="two"),
        host("redirect-limit", limit_rpm="1", limit_burst_multiplier="0", permanent_redirect="https://new.test"),
        host("rate", limit_rate="100", proxy_buffering="on"),
        host("rate-after", limit_rate="50", limit_rate_after="300", proxy_buffering="on"),
        host("rate-bad", limit_rate="fast", limit_rate_after="later"),
    ]


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Headrace:
    shared = ingress(
        "shared", ("one.shared.test", "/", "Prefix", "one"), ("two.shared.test", "/", "Prefix", "one"),
        annotations={"nginx.ingress.kubernetes.io/limit-rpm": "1", "limit-burst-multiplier": "1"},
    )  # fmt: skip
    return run(*objects(), shared, *app("one", backends.start("one")))


def status(headrace: Headrace, name: str, source: str = HOME, path: str = "/") -> int:
    return headrace.get(f"http://{name}.test{path}", source=source).status


@pytest.mark.shows("allowlist-source-range", "whitelist-source-range", "denylist-source-range")
@pytest.mark.parametrize(
    ("name", "at_home", "away"),
    [
        ("open", 200, 200),
        ("allow", 200, 403),
        ("allow-old", 200, 403),
        ("allow-both", 403, 200),
        ("allow-one", 200, 403),
        ("allow-host-bits", 200, 403),
        ("allow-six", 403, 403),
        ("allow-all", 200, 200),
        ("allow-bad", 503, 503),
        ("allow-word", 503, 503),
        ("allow-empty", 503, 503),
        ("allow-tls", 308, 308),
        ("allow-redirect", 301, 301),
        ("deny", 200, 403),
        ("deny-bad", 503, 503),
        ("deny-first", 403, 403),
    ],
)
def test_who_may_come_in(headrace: Headrace, name: str, at_home: int, away: int) -> None:
    assert (status(headrace, name), status(headrace, name, AWAY)) == (at_home, away)


@pytest.mark.shows("allowlist-source-range")
def test_other_paths_of_the_host_stay_open(headrace: Headrace) -> None:
    assert [status(headrace, "allow-rest", path=path) for path in ("/closed", "/closed/x", "/")] == [403, 403, 200]


@pytest.mark.shows("allowlist-source-range")
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_a_header_is_no_address(headrace: Headrace, header: str) -> None:
    answer = headrace.get("http://allow.test/", source=AWAY, headers={header: HOME})
    assert answer.status == 403


@pytest.mark.shows("allowlist-source-range", "denylist-source-range")
@pytest.mark.parametrize("name", ["allow-bad", "allow-word", "deny-bad", "rps-bad", "exempt-bad", "connections-bad"])
def test_what_closes_a_route_is_told(headrace: Headrace, name: str) -> None:
    lines = [line for line in headrace.log.read_text().splitlines() if f'"name":"{name}"' in line]
    assert any("annotation-closes-route" in line and "503" in line for line in lines)


# -- limits


def burst(headrace: Headrace, name: str, number: int, source: str = HOME) -> list[int]:
    return [status(headrace, name, source) for _ in range(number)]


@pytest.mark.shows("limit-rps", "limit-rpm", "limit-burst-multiplier", "limit-allowlist", "limit-whitelist")
@pytest.mark.parametrize(
    ("name", "allowed", "number"),
    [
        ("rpm", 4, 8),  # one, and a burst of three
        ("both", 3, 6),
        ("rps-bare", 1, 2),
        ("rps-zero", 20, 20),
        ("rps-minus", 20, 20),
        ("rps-huge", 20, 20),
        ("exempt", 1, 4),
        ("exempt-old", 1, 4),
    ],
)
def test_how_many_requests_pass(headrace: Headrace, name: str, allowed: int, number: int) -> None:
    assert burst(headrace, name, number) == [200] * allowed + [503] * (number - allowed)


@pytest.mark.shows("limit-rps", "limit-burst-multiplier")
def test_the_usual_burst_is_five_times_the_rate_and_there_is_no_delay(headrace: Headrace) -> None:
    start = time.monotonic()
    found = burst(headrace, "rps", 30)
    took = time.monotonic() - start
    assert 11 <= found.count(200) <= 11 + int(took * 2) + 1
    assert took < 3, "nothing is delayed"


@pytest.mark.shows("limit-rps")
def test_more_pass_as_time_goes_by(headrace: Headrace) -> None:
    assert burst(headrace, "rps-shared", 4, AWAY)[:2] == [200, 200]
    time.sleep(1.1)
    assert status(headrace, "rps-shared", AWAY) == 200


@pytest.mark.shows("limit-allowlist", "limit-whitelist")
@pytest.mark.parametrize("name", ["exempt", "exempt-old"])
def test_some_clients_are_not_counted(headrace: Headrace, name: str) -> None:
    assert burst(headrace, name, 6, AWAY) == [200] * 6


@pytest.mark.shows("limit-rpm")
def test_each_client_is_counted_alone(headrace: Headrace) -> None:
    assert burst(headrace, "rpm", 3, "127.3.3.3") == [200] * 3


@pytest.mark.shows("limit-rpm")
def test_all_hosts_of_one_ingress_are_counted_together(headrace: Headrace) -> None:
    hosts = ["one.shared", "two.shared", "one.shared", "two.shared"]
    assert [status(headrace, name) for name in hosts] == [200, 200, 503, 503]


@pytest.mark.shows("limit-rpm", "limit-rps", "limit-allowlist", "limit-connections")
@pytest.mark.parametrize("name", ["rps-bad", "rpm-bad", "exempt-bad", "connections-bad"])
def test_a_limit_that_cannot_be_read_closes(headrace: Headrace, name: str) -> None:
    assert status(headrace, name) == 503


@pytest.mark.shows("limit-rpm")
def test_redirects_are_not_counted(headrace: Headrace) -> None:
    assert burst(headrace, "redirect-limit", 5) == [301] * 5


@pytest.mark.shows("limit-connections")
def test_how_many_connections_a_client_may_have(headrace: Headrace) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(lambda _: status(headrace, "connections", path="/slow/1"), range(6)))
        assert found == [200, 200, 503, 503, 503, 503]
        both = pool.map(lambda source: status(headrace, "connections", source, "/slow/0.5"), [HOME, AWAY, HOME, AWAY])
        assert list(both) == [200] * 4, "each client alone, and the places are free again"


@pytest.mark.shows("limit-rate", "limit-rate-after")
@pytest.mark.parametrize(
    ("name", "kilobytes", "at_least", "at_most"),
    [("rate", 300, 1.5, 6), ("rate-after", 200, 0, 1), ("rate-after", 400, 0.9, 5), ("rate-bad", 500, 0, 1.5)],
)
def test_how_fast_an_answer_comes(
    headrace: Headrace, name: str, kilobytes: int, at_least: float, at_most: float
) -> None:
    start = time.monotonic()
    assert len(headrace.get(f"http://{name}.test/?size={kilobytes * 1024}", timeout=20).body) > kilobytes * 1024
    assert at_least < time.monotonic() - start < at_most


# -- the ConfigMap


@pytest.mark.shows(
    "configmap:whitelist-source-range", "configmap:denylist-source-range", "configmap:block-cidrs",
    "configmap:limit-req-status-code", "configmap:limit-conn-status-code", "configmap:limit-rate",
    "configmap:limit-rate-after", "configmap:limit-conn-zone-variable",
)  # fmt: skip
def test_the_keys_hold_for_every_route(run: Run, backends: Backends) -> None:
    settings = configmap(
        whitelist_source_range="127.0.0.0/16,127.9.0.0/16", denylist_source_range="127.9.0.9/32",
        block_cidrs="127.0.7.0/24", limit_req_status_code="429", limit_conn_status_code="430", limit_rate="200",
        limit_rate_after="100", proxy_buffering="on", limit_conn_zone_variable="$http_x_user",
    )  # fmt: skip
    headrace = run(
        settings, host("plain"), host("own", allowlist_source_range="127.0.7.7,127.9.9.9"),
        host("open", whitelist_source_range="0.0.0.0/0,::/0"), host("forgiving", denylist_source_range="127.8.8.8"),
        host("limited", limit_rpm="1", limit_burst_multiplier="0"), host("busy", limit_connections="1"),
        *app("one", backends.start("keys")), flags=CONFIGMAP,
    )  # fmt: skip
    sources = (HOME, "127.0.7.7", AWAY, "127.9.0.9", "127.7.7.7")
    found = {n: [status(headrace, n, s) for s in sources] for n in ("plain", "own", "open", "forgiving")}
    assert found == {
        "plain": [200, 403, 200, 403, 403],
        "own": [403, 403, 200, 403, 403],
        "open": [200, 403, 200, 403, 200],
        "forgiving": [200, 403, 200, 200, 403],
    }
    users = [headrace.get("http://limited.test/", headers={"X-User": user}).status for user in ("a", "a", "b")]
    assert users == [200, 429, 200]
    with socket.create_connection(("127.0.0.1", headrace.http)) as held:
        held.sendall(b"GET /slow/2 HTTP/1.1\r\nHost: busy.test\r\nX-User: a\r\n\r\n")
        time.sleep(0.3)
        assert headrace.get("http://busy.test/", headers={"X-User": "a"}).status == 430
    start = time.monotonic()
    headrace.get(f"http://plain.test/?size={400 * 1024}")
    assert time.monotonic() - start > 1


@pytest.mark.shows("configmap:whitelist-source-range", "configmap:block-cidrs")
@pytest.mark.parametrize("key", ["whitelist_source_range", "denylist_source_range", "block_cidrs"])
def test_a_list_of_all_routes_that_cannot_be_read_closes_them(run: Run, backends: Backends, key: str) -> None:
    backend = backends.start("closed")
    headrace = run(configmap(**{key: "not-a-network"}), host("plain"), *app("one", backend), flags=CONFIGMAP)
    assert status(headrace, "plain") == 503


@pytest.mark.shows("allowlist-source-range", "denylist-source-range", "limit-rpm", "configmap:block-cidrs")
def test_lists_and_limits_know_the_client_behind_two_proxies(run: Run, backends: Backends) -> None:
    settings = configmap(
        use_proxy_protocol="true", use_forwarded_headers="true", proxy_real_ip_cidr="10.0.0.0/8,127.0.0.1/32",
        block_cidrs="203.0.113.9",
    )  # fmt: skip
    headrace = run(
        settings, host("allow", allowlist_source_range="203.0.113.0/24"),
        host("deny", denylist_source_range="203.0.113.5"),
        host("limited", limit_rpm="1", limit_burst_multiplier="0"), *app("one", backends.start("two-proxies")),
        flags=CONFIGMAP,
    )  # fmt: skip

    def ask(name: str, client: str, proxy: str = "10.1.1.1") -> int:
        line = f"PROXY TCP4 {proxy} 10.2.2.2 5000 80\r\n".encode()
        return headrace.get(f"http://{name}.test/", headers={"X-Forwarded-For": client}, first=line).status

    assert [ask("allow", "203.0.113.5"), ask("allow", "198.51.100.1"), ask("allow", "203.0.113.9")] == [200, 403, 403]
    assert ask("allow", "203.0.113.5", proxy="192.0.2.1") == 403, "nobody trusts this proxy"
    assert [ask("deny", "203.0.113.5"), ask("deny", "203.0.113.6")] == [403, 200]
    assert [ask("limited", client) for client in ("203.0.113.1", "203.0.113.1", "203.0.113.2")] == [200, 503, 200]


@pytest.mark.shows("configmap:limit-divide-by-replicas", "limit-rpm")
def test_limits_are_divided_among_the_replicas_when_asked(run: Run, backends: Backends) -> None:
    def replicas(*addresses: str) -> Object:
        return slice_at("headrace", *((address, 80) for address in addresses))

    objects = [
        configmap(limit_divide_by_replicas="true"), host("limited", limit_rpm="6", limit_burst_multiplier="1"),
        *app("one", backends.start("divided")), service("headrace"),
    ]  # fmt: skip
    headrace = run(*objects, flags=(*CONFIGMAP, "--publish-service", "default/headrace"))
    assert burst(headrace, "limited", 12).count(200) == 7
    headrace.write("replicas.yaml", replicas("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    sources = (f"127.5.5.{number}" for number in range(1, 250))
    headrace.until(lambda: burst(headrace, "limited", 6, next(sources)).count(200) == 3, seconds=5)
