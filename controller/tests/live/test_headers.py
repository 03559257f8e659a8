"""What a pod learns about a request, to the last header; what a client may forge; what comes back."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress

TRUSTED, UNTRUSTED = "127.0.0.2", "127.0.0.1"
FORGED = {
    "X-Real-IP": "192.0.2.1",
    "X-Forwarded-For": "192.0.2.2",
    "X-Forwarded-Host": "forged.test",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Scheme": "ftp",
    "X-Scheme": "ftp",
    "X-Original-Forwarded-For": "192.0.2.3",
    "X-Original-Forwarded-Host": "forged.test",
    "Proxy": "http://192.0.2.4",
    "SSL-Client-Verify": "SUCCESS",
    "ssl-client-subject-dn": "CN=admin",
    "ssl-client-issuer-dn": "CN=root",
    "ssl-client-cert": "-----BEGIN",
    "ssl_client_verify": "SUCCESS",
    "X_Forwarded_For": "192.0.2.5",
}


def objects() -> list[Object]:
    return [ingress("app", ("app.test", "/", "Prefix", "one"), ("*.wild.test", "/", "Prefix", "one"))]


@pytest.fixture(scope="module")
def pod(backends: Backends) -> Backend:
    return backends.start("one")


@pytest.fixture(scope="module")
def one(pod: Backend) -> list[Object]:
    return app("one", pod)


@pytest.fixture(scope="module")
def plain(run: Run, one: list[Object]) -> Iterator[Headrace]:
    """No ConfigMap at all."""
    yield run(*objects(), *one)


@pytest.fixture(scope="module")
def trusting(run: Run, one: list[Object]) -> Iterator[Headrace]:
    yield run(*objects(), *one, configmap(use_forwarded_headers="true", proxy_real_ip_cidr=TRUSTED), flags=CONFIGMAP)


@pytest.fixture(scope="module")
def changed(run: Run, one: list[Object]) -> Iterator[Headrace]:
    settings = configmap(
        generate_request_id="false",
        proxy_add_original_uri_header="true",
        enable_underscores_in_headers="true",
        upstream_keepalive_connections="0",
        server_tokens="true",
    )
    yield run(*objects(), *one, settings, flags=CONFIGMAP)


def usual(scheme: str, port: int, host: str = "app.test") -> dict[str, str]:
    return {
        "host": host,
        "x-real-ip": "127.0.0.1",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": host,
        "x-forwarded-port": str(port),
        "x-forwarded-proto": scheme,
        "x-forwarded-scheme": scheme,
        "x-scheme": scheme,
    }


def received(headrace: Headrace, url: str, **options: object) -> dict[str, str]:
    """Headers as the pod got them; each of them came once."""
    answer = headrace.get(url, **options)  # type: ignore[arg-type]
    names = [name.lower() for name in answer.json["header_names"]]
    assert len(names) == len(set(names)), names
    headers: dict[str, str] = answer.json["headers"]
    return headers


def without_id(headers: dict[str, str]) -> dict[str, str]:
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    return {name: value for name, value in headers.items() if name != "x-request-id"}


def test_a_plain_request_arrives_with_exactly_these_headers(plain: Headrace) -> None:
    assert without_id(received(plain, "http://app.test/")) == usual("http", plain.http)


def test_over_tls_the_port_reads_443_whatever_the_listener_has(plain: Headrace) -> None:
    assert without_id(received(plain, "https://app.test/")) == usual("https", 443)


def test_the_host_keeps_its_port_and_spelling(plain: Headrace) -> None:
    seen = without_id(received(plain, "http://app.test/", host="App.test:8080"))
    assert seen == usual("http", plain.http, "App.test:8080")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_forged_headers_change_nothing_but_the_two_that_quote_them(plain: Headrace, scheme: str) -> None:
    seen = without_id(received(plain, f"{scheme}://app.test/", headers=FORGED))
    assert seen == {
        **usual(scheme, plain.http if scheme == "http" else 443),
        "x-original-forwarded-for": "192.0.2.2",
        "x-original-forwarded-host": "forged.test",
    }


def test_other_headers_of_the_client_arrive_unchanged(plain: Headrace) -> None:
    sent = {
        "User-Agent": 'caf\u00e9 "x" \\ $host ${uri}',
        "Cookie": "a=1; b=2",
        "Authorization": "Basic eA==",
        "X-Own": "v",
    }
    seen = received(plain, "http://app.test/", headers=sent)
    assert {name: seen.get(name.lower()) for name in sent} == sent


def test_a_request_id_of_the_client_is_kept_and_others_differ(plain: Headrace) -> None:
    assert received(plain, "http://app.test/", headers={"X-Request-ID": "mine-1"})["x-request-id"] == "mine-1"
    assert len({received(plain, "http://app.test/")["x-request-id"] for _ in range(3)}) == 3


@pytest.mark.shows("configmap:upstream-keepalive-connections")
def test_connections_to_pods_are_kept_unless_the_operator_does_not_want_it(
    plain: Headrace, changed: Headrace, pod: Backend
) -> None:
    request = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
    for headrace, opened, closing in ((plain, 1, 0), (changed, 20, 20)):
        before = pod.connections
        answers = headrace.raw(request * 19 + last)
        assert answers.count(b'"connection": "close"') == closing
        assert answers.count(b"HTTP/1.1 200") == 20
        assert pod.connections - before <= opened
        assert (pod.connections - before == 20) == (headrace is changed)


def test_an_upgrade_reaches_the_pod_and_bytes_flow_both_ways(plain: Headrace) -> None:
    with socket.create_connection(("127.0.0.1", plain.http), timeout=5) as connection:
        connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"\x00ping\xff")
        assert connection.recv(4096) == b"\x00ping\xff"


@pytest.mark.shows("configmap:use-forwarded-headers")
def test_a_trusted_proxy_names_client_host_port_and_scheme(trusting: Headrace) -> None:
    sent = {
        "X-Forwarded-For": "198.51.100.7, 203.0.113.9, 127.0.0.2",
        "X-Forwarded-Host": "public.test, inner.test",
        "X-Forwarded-Port": "8443",
        "X-Forwarded-Proto": "https",
    }
    assert without_id(received(trusting, "http://app.test/", headers=sent, source=TRUSTED)) == {
        **usual("https", 8443, "public.test"),
        "x-real-ip": "203.0.113.9",
        "x-forwarded-for": "203.0.113.9",
        "x-original-forwarded-for": sent["X-Forwarded-For"],
        "x-original-forwarded-host": sent["X-Forwarded-Host"],
    }


def test_a_chain_of_schemes_is_passed_on_as_it_came(trusting: Headrace) -> None:
    seen = received(trusting, "http://app.test/", headers={"X-Forwarded-Proto": "https,http"}, source=TRUSTED)
    assert (seen["x-forwarded-proto"], seen["x-scheme"]) == ("https,http", "https,http")


def test_a_trusted_proxy_that_says_nothing_leaves_what_is_so(trusting: Headrace) -> None:
    expected = {**usual("http", trusting.http), "x-real-ip": TRUSTED, "x-forwarded-for": TRUSTED}
    assert without_id(received(trusting, "http://app.test/", source=TRUSTED)) == expected


@pytest.mark.shows("configmap:proxy-real-ip-cidr")
def test_who_is_not_in_the_list_of_trust_cannot_forge(trusting: Headrace) -> None:
    seen = without_id(received(trusting, "http://app.test/", headers=FORGED, source=UNTRUSTED))
    assert seen == {
        **usual("http", trusting.http),
        "x-original-forwarded-for": "192.0.2.2",
        "x-original-forwarded-host": "forged.test",
    }


def test_the_forwarded_host_does_not_choose_the_route(trusting: Headrace) -> None:
    asked = {"X-Forwarded-Host": "app.test"}
    assert trusting.get("http://unknown.test/", headers=asked, source=TRUSTED).status == 404


@pytest.mark.shows(
    "configmap:generate-request-id",
    "configmap:proxy-add-original-uri-header",
    "configmap:enable-underscores-in-headers",
)
def test_switches_for_request_id_original_uri_and_underscores(changed: Headrace) -> None:
    seen = received(changed, "http://app.test/a%20b/../c?d=/e", headers={"X_Own": "v", "X-Original-URI": "/forged"})
    assert "x-request-id" not in seen
    assert seen["x-original-uri"] == "/a%20b/../c?d=/e"
    assert seen["x_own"] == "v"
    assert received(changed, "http://app.test/", headers={"X-Request-ID": "mine"})["x-request-id"] == "mine"


@pytest.mark.parametrize(
    "url", ["http://app.test/", "https://app.test/", "http://unknown.test/", "http://app.test/%zz"]
)
def test_the_server_is_not_named(plain: Headrace, url: str) -> None:
    assert "server" not in plain.get(url).headers


@pytest.mark.shows("configmap:server-tokens")
def test_the_server_is_named_on_request(changed: Headrace) -> None:
    assert re.fullmatch(r"nginx/[0-9.]+", changed.get("http://app.test/").headers["server"])


def test_a_pod_cannot_send_a_request_elsewhere(plain: Headrace) -> None:
    answer = plain.get("http://app.test/")
    assert (answer.status, answer.backend) == (200, "one")
    assert answer.headers["x-backend"] == "yes"
    assert not [name for name in answer.headers if name.startswith("x-accel")]
