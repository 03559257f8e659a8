"""TLS that goes to the pods as it is, and all other TLS on the same port, which nginx ends as ever."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from controller.tests.live.authorities import server_context
from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.handshakes import get_http2, leaf_of, shake
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import (
    CONFIGMAP,
    Object,
    app,
    configmap,
    ingress,
    key_pair,
    service,
    slice_of,
    tls_secret,
)

ON = ("--enable-ssl-passthrough",)
PASS = {"ssl-passthrough": "true"}
PODS = key_pair("pass.test", common_name="of the pods")
OURS = key_pair("web.test", common_name="of the ingress")

pytestmark = pytest.mark.shows("ssl-passthrough")


@pytest.fixture(scope="module")
def secure(backends: Backends) -> Backend:
    return backends.start("secure", tls=server_context(PODS))


def secure_app(name: str, *pods: Backend) -> list[Object]:
    return [service(name, port=443), slice_of(name, *pods)]


@pytest.fixture(scope="module")
def objects(backends: Backends, secure: Backend) -> list[Object]:
    web = backends.start("web")
    return [
        ingress("pass", ("pass.test", "/", "Prefix", "secure", 443), annotations=PASS),
        ingress("more", ("pass.test", "/web", "Prefix", "web")),
        ingress("exact", ("exact.test", "/", "Exact", "secure", 443), annotations=PASS),
        ingress("wide", ("*.wide.test", "/", "Prefix", "secure", 443), annotations=PASS),
        ingress("deep", ("deep.test", "/deep", "Prefix", "secure", 443), annotations=PASS),
        ingress("gone", ("gone.test", "/", "Prefix", "gone", 443), annotations=PASS),
        ingress("empty", ("empty.test", "/", "Prefix", "empty", 443), annotations=PASS),
        ingress("second", ("two.test", "/", "Prefix", "secure", 443)),
        ingress("second-says-so", ("two.test", "/other", "Prefix", "web"), annotations=PASS),
        ingress("false", ("false.test", "/", "Prefix", "web"), annotations={"ssl-passthrough": "false"}),
        ingress("wrong", ("wrong.test", "/", "Prefix", "web"), annotations={"ssl-passthrough": "yes"}),
        ingress(
            "listed", ("listed.test", "/", "Prefix", "secure", 443),
            annotations=PASS | {"whitelist-source-range": "127.0.0.8/32"},
        ),
        ingress(
            "denied", ("denied.test", "/", "Prefix", "secure", 443),
            annotations=PASS | {"denylist-source-range": "127.0.0.8/32"},
        ),
        ingress("web", ("web.test", "/", "Prefix", "web"), tls=[{"hosts": ["web.test"], "secretName": "web"}]),
        ingress(
            "mine", ("mine.test", "/", "Prefix", "web"), annotations={"whitelist-source-range": "127.0.0.8/32"}
        ),
        *app("web", web),
        *secure_app("secure", secure),
        *secure_app("empty"),
        tls_secret("web", OURS),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def headrace(run: Run, objects: list[Object]) -> Headrace:
    found = run(*objects, flags=ON)
    found.until(lambda: found.get("https://pass.test/").backend == "secure")
    return found


@pytest.fixture(scope="module")
def off(run: Run, objects: list[Object]) -> Headrace:
    return run(*objects)


def leaf(headrace: Headrace, name: str | None) -> bytes:
    return shake(headrace, name).leaf


def told(headrace: Headrace, name: str) -> str:
    """What was said about an Ingress and this annotation."""
    lines = headrace.log.read_text().splitlines()
    return "\n".join(line for line in lines if f'"name":"{name}"' in line and "ssl-passthrough" in line)


# -- to the pods


@pytest.mark.parametrize("name", ["pass.test", "PASS.test", "pass.test.", "two.test"])
def test_the_pods_show_their_own_certificate(headrace: Headrace, name: str) -> None:
    assert leaf(headrace, name) == leaf_of(PODS)


def test_the_pods_see_the_handshake_itself(headrace: Headrace) -> None:
    seen = headrace.get("https://pass.test/any/path?q=1").json
    assert (seen["backend"], seen["tls"]["sni"], seen["target"]) == ("secure", "pass.test", "/any/path?q=1")
    assert not [name for name in seen["headers"] if name.startswith("x-")]


def test_paths_mean_nothing_to_them(headrace: Headrace) -> None:
    assert headrace.get("https://pass.test/web").backend == "secure"


def test_the_version_of_tls_is_agreed_with_the_pods(headrace: Headrace) -> None:
    found = shake(headrace, "pass.test", version=ssl.TLSVersion.TLSv1_2)
    assert (found.version, found.leaf) == ("TLSv1.2", leaf_of(PODS))


def test_plain_http_goes_through_nginx_and_in_tls_to_the_pods(headrace: Headrace) -> None:
    seen = headrace.get("http://pass.test/path").json
    assert seen["backend"] == "secure"
    assert seen["tls"]["version"]
    assert seen["headers"]["x-forwarded-proto"] == "http"


def test_plain_http_of_another_path_goes_to_its_pods_as_ever(headrace: Headrace) -> None:
    assert headrace.get("http://pass.test/web").backend == "web"


def test_without_pods_the_connection_ends(headrace: Headrace) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        leaf(headrace, "empty.test")
    assert headrace.get("http://empty.test/").status == 503


def test_lists_of_addresses_hold_for_them_too(headrace: Headrace) -> None:
    def served(host: str, source: str) -> bool:
        try:
            return headrace.get(f"https://{host}/", source=source).backend == "secure"
        except (ssl.SSLError, ConnectionError):
            return False

    assert [served("listed.test", source) for source in ("127.0.0.8", "127.0.0.9")] == [True, False]
    assert [served("denied.test", source) for source in ("127.0.0.8", "127.0.0.9")] == [False, True]
    assert [served("pass.test", source) for source in ("127.0.0.8", "127.0.0.9")] == [True, True]


# -- ended by nginx


@pytest.mark.parametrize("name", ["web.test", "WEB.test"])
def test_other_names_are_ended_by_nginx(headrace: Headrace, name: str) -> None:
    assert leaf(headrace, name) == leaf_of(OURS)
    assert headrace.get("https://web.test/").backend == "web"


@pytest.mark.parametrize(
    "name", [None, "unknown.test", "sub.pass.test", "a.wide.test", "deep.test", "exact.test", "gone.test", "false.test"]
)
def test_nothing_else_comes_to_the_pods(headrace: Headrace, name: str | None) -> None:
    assert leaf(headrace, name) not in (leaf_of(PODS), leaf_of(OURS))


@pytest.mark.parametrize("name", ["wide", "deep", "exact", "wrong"])
def test_the_owner_is_told_what_cannot_be_passed_through(headrace: Headrace, name: str) -> None:
    assert told(headrace, name)


def test_a_service_that_does_not_exist_is_503(headrace: Headrace) -> None:
    assert headrace.get("https://gone.test/").status == 503


def test_the_client_and_the_port_are_what_they_were(headrace: Headrace) -> None:
    seen = headrace.get("https://web.test/", source="127.0.0.7").json["headers"]
    assert (seen["x-real-ip"], seen["x-forwarded-for"]) == ("127.0.0.7", "127.0.0.7")
    assert (seen["x-forwarded-port"], seen["x-forwarded-proto"]) == ("443", "https")


def test_lists_of_addresses_of_other_hosts(headrace: Headrace) -> None:
    found = [headrace.get("https://mine.test/", source=source).status for source in ("127.0.0.8", "127.0.0.9")]
    assert found == [200, 403]


def test_http_2(headrace: Headrace) -> None:
    answer = get_http2(headrace, "web.test")
    assert answer.ok
    assert b'"backend": "web"' in answer.body


def test_a_body_of_several_megabytes(headrace: Headrace) -> None:
    body = b"x" * 900_000
    assert len(headrace.get("https://web.test/", method="POST", body=body).json["body"]) == len(body)
    assert headrace.get("https://pass.test/", method="POST", body=body * 5).json["backend"] == "secure"


def test_plain_http_on_the_https_port(headrace: Headrace) -> None:
    with socket.create_connection(("127.0.0.1", headrace.https), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n")
        assert b" 400 " in connection.recv(65_536)


def test_many_connections_of_both_kinds_at_once(headrace: Headrace) -> None:
    for _ in range(20):
        assert headrace.get("https://pass.test/").backend == "secure"
        assert headrace.get("https://web.test/").backend == "web"


# -- flag and changes


def test_without_the_flag_it_has_no_effect_and_the_owner_is_told(off: Headrace) -> None:
    assert leaf(off, "pass.test") != leaf_of(PODS)
    assert "--enable-ssl-passthrough" in told(off, "pass")
    assert not told(off, "false")


def test_a_handshake_for_nobody_is_refused_where_the_operator_wants_it(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects, configmap(ssl_reject_handshake="true"), flags=(*ON, *CONFIGMAP))
    with pytest.raises(ssl.SSLError):
        leaf(headrace, "unknown.test")
    assert leaf(headrace, "web.test") == leaf_of(OURS)
    headrace.until(lambda: leaf(headrace, "pass.test") == leaf_of(PODS))


def test_networks_that_everyone_is_kept_from(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects, configmap(block_cidrs="127.0.0.8/32"), flags=(*ON, *CONFIGMAP))
    headrace.until(lambda: headrace.get("https://pass.test/").backend == "secure")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        headrace.get("https://pass.test/", source="127.0.0.8")


def test_pods_come_and_go_without_a_reload(run: Run, backends: Backends) -> None:
    old = backends.start("old", tls=server_context(PODS))
    new = backends.start("new", host="127.0.0.2", tls=server_context(PODS))
    headrace = run(
        ingress("pass", ("pass.test", "/", "Prefix", "secure", 443), annotations=PASS),
        service("secure", port=443), flags=ON,
    )  # fmt: skip
    before = headrace.metric("headrace_reloads_total")
    headrace.write("pods.yaml", slice_of("secure", old))
    headrace.until(lambda: headrace.get("https://pass.test/").backend == "old")
    headrace.write("pods.yaml", slice_of("secure", new))
    assert headrace.until(lambda: headrace.get("https://pass.test/").backend == "new") < 3
    assert headrace.metric("headrace_reloads_total") == before


def test_a_host_that_is_passed_through_and_no_longer(run: Run, backends: Backends, secure: Backend) -> None:
    rest = [*secure_app("secure", secure), *app("web", backends.start("web"))]
    rest.append(ingress("web", ("web.test", "/", "Prefix", "web")))
    headrace = run(*rest, flags=ON)
    assert leaf(headrace, "pass.test") != leaf_of(PODS)
    with socket.create_connection(("127.0.0.1", headrace.https), timeout=5) as plain:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain, server_hostname="web.test") as kept:
            rule = ("pass.test", "/", "Prefix", "secure", 443)
            headrace.write("pass.yaml", ingress("pass", rule, annotations=PASS))
            headrace.until(lambda: leaf(headrace, "pass.test") == leaf_of(PODS))
            kept.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n")
            assert b" 200 " in kept.recv(65_536)
    headrace.write("pass.yaml", ingress("pass", rule))
    headrace.until(lambda: leaf(headrace, "pass.test") != leaf_of(PODS))


def test_the_flag_is_turned_on_and_off_over_a_crash(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects)
    headrace.stop(kill=True)
    base = headrace.flags
    headrace.flags = (*base, *ON)
    headrace.start()
    headrace.until(lambda: leaf(headrace, "pass.test") == leaf_of(PODS), seconds=15)
    assert leaf(headrace, "web.test") == leaf_of(OURS)
    headrace.stop(kill=True)
    headrace.flags = base
    headrace.start()
    headrace.until(lambda: leaf(headrace, "pass.test") != leaf_of(PODS), seconds=15)
    assert headrace.get("https://web.test/").backend == "web"


def test_the_log_of_passed_connections(run: Run, objects: list[Object], tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    headrace = run(*objects, flags=(*ON, "--access-log", str(log)))
    headrace.until(lambda: headrace.get("https://pass.test/", source="127.0.0.7").backend == "secure")
    headrace.until(lambda: "[127.0.0.7] [" in log.read_text())
