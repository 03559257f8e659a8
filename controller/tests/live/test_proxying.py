"""Annotations about handing a request to the pods, as clients and pods feel them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from controller.tests.live.backends import Backend, Backends, Blackhole
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_at

MEGABYTE = 1 << 20


def host(name: str, service: str = "one", path: str = "/", kind: str = "Prefix", **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (f"{name}.test", path, kind, service), annotations=written)


@pytest.fixture(scope="module")
def blackhole() -> Iterator[Blackhole]:
    with Blackhole() as hole:
        yield hole


@pytest.fixture(scope="module")
def one(backends: Backends) -> Backend:
    return backends.start("one")


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, one: Backend, blackhole: Blackhole) -> Headrace:
    two = backends.start("two", host="127.0.0.2", port=one.port)
    regex = "ImplementationSpecific"
    objects = [
        host("plain"),
        host("pair", "pair"),
        host("read", proxy_read_timeout="1", proxy_next_upstream="off"),
        host("read-unit", proxy_read_timeout="1s"),
        host("read-zero", proxy_read_timeout="0"),
        host("send", proxy_send_timeout="1"),
        host("connect", "hole", proxy_connect_timeout="1", proxy_next_upstream="off"),
        host("body", proxy_body_size="2k"),
        host("body-upper", proxy_body_size="2 M"),
        host("body-any", proxy_body_size="0"),
        host("body-bad", proxy_body_size="15r"),
        host("body-buffer", client_body_buffer_size="1k"),
        host("stream-off", proxy_buffering="off"),
        host("stream-on", proxy_buffering="on", proxy_buffer_size="8k"),
        host("unbuffered", proxy_request_buffering="off"),
        host("headers", proxy_buffer_size="16k"),
        host("headers-two", proxy_buffer_size="16k", proxy_buffers_number="2"),
        host("headers-bad", proxy_buffer_size="16q"),
        host("busy", proxy_buffer_size="8k", proxy_busy_buffers_size="16k"),
        host("busy-bad", proxy_busy_buffers_size="1m"),
        host("temp", proxy_buffering="on", proxy_max_temp_file_size="0"),
        host("old", proxy_http_version="1.0"),
        host("domain", proxy_cookie_domain="pod.internal shop.test"),
        host("domain-bad", proxy_cookie_domain="pod.internal"),
        host("path", proxy_cookie_path="/ /app"),
        host("path-bad", proxy_cookie_path="/ /app /more"),
        host("location", proxy_redirect_from="http://pod.internal/", proxy_redirect_to="https://shop.test/"),
        host("location-off", proxy_redirect_from="off", proxy_redirect_to="https://shop.test/"),
        host("location-half", proxy_redirect_from="http://pod.internal/"),
        host("again", "pair", proxy_next_upstream="error timeout http_503"),
        host("again-post", "pair", proxy_next_upstream="error http_503 non_idempotent"),
        host("never", "pair", proxy_next_upstream="off"),
        host("once", "pair", proxy_next_upstream="http_503", proxy_next_upstream_tries="1"),
        host("hurry", "pair", proxy_next_upstream="timeout http_503", proxy_next_upstream_timeout="1",
             proxy_read_timeout="2"),
        host("words-bad", "pair", proxy_next_upstream="error,http_503"),
        host("vhost", upstream_vhost="inside.example"),
        host("vhost-var", upstream_vhost="$service_name.$namespace.example"),
        host("vhost-bad", upstream_vhost="$secret"),
        host("closing", connection_proxy_header="close"),
        host("keeping", connection_proxy_header="keep-alive"),
        host("connection-bad", connection_proxy_header="upgrade"),
        host("prefix", path="/shop(/|$)(.*)", kind=regex, rewrite_target="/$2", x_forwarded_prefix="/shop"),
        host("prefix-group", path="/(a|b)(/|$)(.*)", kind=regex, rewrite_target="/$3", x_forwarded_prefix="/$1"),
        host("prefix-alone", x_forwarded_prefix="/shop"),
        *app("one", one),
        *app("pair", one, two),
        service("hole"),
        slice_at("hole", (blackhole.host, blackhole.port)),
    ]  # fmt: skip
    return run(*objects)


def answering(header: str, value: str, path: str = "/") -> str:
    return f"{path}?answer={quote(f'{header}: {value}')}"


# -- times


@pytest.mark.shows("proxy-read-timeout")
@pytest.mark.parametrize(
    ("name", "wait", "status"),
    [("read", 3, 504), ("read", 0.3, 200), ("plain", 1.3, 200), ("read-unit", 1.3, 200), ("read-zero", 1.3, 200)],
)
def test_how_long_a_pod_may_be_silent(headrace: Headrace, name: str, wait: float, status: int) -> None:
    start = time.monotonic()
    assert headrace.get(f"http://{name}.test/slow/{wait}").status == status
    assert time.monotonic() - start < (wait + 1 if status == 200 else 2.5)


@pytest.mark.shows("proxy-connect-timeout")
def test_how_long_a_connection_may_take(headrace: Headrace) -> None:
    start = time.monotonic()
    assert headrace.get("http://connect.test/", timeout=20).status in (502, 504)
    assert 0.9 < time.monotonic() - start < 8


@pytest.mark.shows("proxy-send-timeout")
def test_a_request_that_the_pod_takes_is_not_hurried(headrace: Headrace) -> None:
    answer = headrace.get("http://send.test/", method="POST", body=b"x" * MEGABYTE)
    assert (answer.status, len(answer.json["body"])) == (200, MEGABYTE)


# -- sizes


def announced(headrace: Headrace, host: str, length: int) -> bytes:
    request = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    return headrace.raw(request.encode(), until=b"\r\n\r\n").split(b" ", 2)[1]


@pytest.mark.shows("proxy-body-size")
@pytest.mark.parametrize(
    ("name", "length", "refused"),
    [
        ("plain", MEGABYTE, False),
        ("plain", MEGABYTE + 1, True),
        ("body", 2048, False),
        ("body", 2049, True),
        ("body-upper", 2 * MEGABYTE, False),
        ("body-upper", 2 * MEGABYTE + 1, True),
        ("body-any", 3 * MEGABYTE, False),
        ("body-bad", MEGABYTE, False),
        ("body-bad", MEGABYTE + 1, True),
    ],
)
def test_how_large_a_body_may_be(headrace: Headrace, name: str, length: int, refused: bool) -> None:
    if refused:
        assert announced(headrace, f"{name}.test", length) == b"413"
    else:
        answer = headrace.get(f"http://{name}.test/", method="POST", body=b"x" * length)
        assert (answer.status, len(answer.json["body"])) == (200, length)


@pytest.mark.shows("client-body-buffer-size")
@pytest.mark.parametrize("length", [10, 1024, 100_000])
def test_a_body_beyond_its_buffer_arrives_whole(headrace: Headrace, length: int) -> None:
    body = bytes(65 + number % 26 for number in range(length))
    assert headrace.get("http://body-buffer.test/", method="PUT", body=body).json["body"] == body.decode()


@pytest.mark.shows("proxy-buffer-size", "proxy-buffers-number")
@pytest.mark.parametrize(
    ("name", "length", "status"),
    [
        ("plain", 2_000, 200),
        ("plain", 6_000, 502),
        ("headers", 6_000, 200),
        ("headers", 17_000, 502),
        ("headers-two", 6_000, 200),
        ("headers-bad", 2_000, 200),
        ("headers-bad", 6_000, 502),
    ],
)
def test_how_large_the_headers_of_a_pod_may_be(headrace: Headrace, name: str, length: int, status: int) -> None:
    assert headrace.get(f"http://{name}.test/?header={length}").status == status


@pytest.mark.shows("proxy-busy-buffers-size", "proxy-max-temp-file-size", "proxy-buffers-number")
@pytest.mark.parametrize("name", ["busy", "busy-bad", "temp", "headers-two", "stream-on"])
@pytest.mark.parametrize("size", [0, 10_000, 300_000])
def test_a_large_answer_arrives_whole(headrace: Headrace, name: str, size: int) -> None:
    assert len(headrace.get(f"http://{name}.test/?size={size}").body) > size


# -- buffering


@pytest.mark.shows("proxy-buffering")
@pytest.mark.parametrize(("name", "collected"), [("plain", False), ("stream-off", False), ("stream-on", True)])
def test_a_slow_client_holds_a_pod_up_or_not(headrace: Headrace, one: Backend, name: str, collected: bool) -> None:
    target = f"/slow-client/{name}?size={40 * MEGABYTE}"
    with socket.create_connection(("127.0.0.1", headrace.http)) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: {name}.test\r\n\r\n".encode())
        client.recv(1)
        time.sleep(1)
        assert (target in one.answered) is collected


@pytest.mark.shows("proxy-request-buffering")
@pytest.mark.parametrize(("name", "at_once"), [("unbuffered", True), ("plain", False)])
def test_whether_a_body_is_collected_first(headrace: Headrace, one: Backend, name: str, at_once: bool) -> None:
    """A pod hears of a request whose body is still on its way, or it does not."""
    before = one.begun
    head = f"POST / HTTP/1.1\r\nHost: {name}.test\r\nContent-Length: 10\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", headrace.http)) as client:
        client.sendall(head + b"12345")
        time.sleep(0.4)
        heard = one.begun > before
        client.sendall(b"67890")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    assert heard is at_once


# -- retries


def statuses(headrace: Headrace, url: str, method: str = "GET") -> set[int]:
    return {headrace.get(url, method=method).status for _ in range(8)}


@pytest.mark.shows("proxy-next-upstream", "proxy-next-upstream-tries")
@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("pair", "GET", {200, 503}),
        ("again", "GET", {200}),
        ("again", "PUT", {200}),
        ("again", "POST", {200, 503}),
        ("again-post", "POST", {200}),
        ("never", "GET", {200, 503}),
        ("once", "GET", {200, 503}),
        ("words-bad", "GET", {200, 503}),
    ],
)
def test_when_another_pod_is_asked(headrace: Headrace, name: str, method: str, expected: set[int]) -> None:
    assert statuses(headrace, f"http://{name}.test/only/one/503", method) == expected


@pytest.mark.shows("proxy-next-upstream-timeout")
def test_no_other_pod_is_asked_after_the_time_for_retries(headrace: Headrace) -> None:
    start = time.monotonic()
    assert headrace.get("http://hurry.test/slow/5").status == 504
    assert time.monotonic() - start < 3.5


# -- what the pod hears


@pytest.mark.shows("proxy-http-version")
def test_http_1_0_keeps_no_connection(headrace: Headrace) -> None:
    assert headrace.get("http://old.test/").json["version"] == "1.0"
    assert headrace.get("http://plain.test/").json["version"] == "1.1"


@pytest.mark.shows("upstream-vhost")
@pytest.mark.parametrize(
    ("name", "seen"),
    [("vhost", "inside.example"), ("vhost-var", "one.default.example"), ("vhost-bad", "vhost-bad.test")],
)
def test_the_host_that_the_pod_sees(headrace: Headrace, name: str, seen: str) -> None:
    headers = headrace.get(f"http://{name}.test/").json["headers"]
    assert (headers["host"], headers["x-forwarded-host"]) == (seen, f"{name}.test")


@pytest.mark.shows("connection-proxy-header")
@pytest.mark.parametrize(
    ("name", "seen"), [("closing", "close"), ("keeping", "keep-alive"), ("plain", None), ("connection-bad", None)]
)
def test_the_connection_header(headrace: Headrace, name: str, seen: str | None) -> None:
    headers = headrace.get(f"http://{name}.test/").json["headers"]
    assert headers.get("connection") == seen
    assert headers["x-real-ip"] == "127.0.0.1", "the other headers are still there"


@pytest.mark.shows("x-forwarded-prefix")
@pytest.mark.parametrize(
    ("url", "target", "prefix"),
    [
        ("prefix.test/shop/cart?a=1", "/cart?a=1", "/shop"),
        ("prefix.test/shop", "/", "/shop"),
        ("prefix-group.test/a/x", "/x", "/a"),
        ("prefix-group.test/b/y", "/y", "/b"),
        ("prefix-alone.test/x", "/x", None),
    ],
)
def test_the_prefix_that_was_cut_off(headrace: Headrace, url: str, target: str, prefix: str | None) -> None:
    seen = headrace.get(f"http://{url}").json
    assert (seen["target"], seen["headers"].get("x-forwarded-prefix")) == (target, prefix)


# -- what the client hears


@pytest.mark.shows("proxy-cookie-domain", "proxy-cookie-path")
@pytest.mark.parametrize(
    ("name", "cookie", "seen"),
    [
        ("domain", "a=1; Domain=pod.internal", "a=1; Domain=shop.test"),
        ("domain", "a=1; Domain=other.internal", "a=1; Domain=other.internal"),
        ("domain-bad", "a=1; Domain=pod.internal", "a=1; Domain=pod.internal"),
        ("path", "a=1; Path=/", "a=1; Path=/app"),
        ("path", "a=1; Path=/x; HttpOnly", "a=1; Path=/appx; HttpOnly"),
        ("path-bad", "a=1; Path=/", "a=1; Path=/"),
        ("plain", "a=1; Path=/; Domain=pod.internal", "a=1; Path=/; Domain=pod.internal"),
    ],
)
def test_cookies_are_rewritten(headrace: Headrace, name: str, cookie: str, seen: str) -> None:
    assert headrace.get(f"http://{name}.test{answering('Set-Cookie', cookie)}").headers["set-cookie"] == seen


@pytest.mark.shows("proxy-redirect-from", "proxy-redirect-to")
@pytest.mark.parametrize(
    ("name", "location", "seen"),
    [
        ("location", "http://pod.internal/a", "https://shop.test/a"),
        ("location", "http://other.internal/a", "http://other.internal/a"),
        ("location-off", "http://pod.internal/a", "http://pod.internal/a"),
        ("location-half", "http://pod.internal/a", "http://pod.internal/a"),
        ("plain", "http://pod.internal/a", "http://pod.internal/a"),
    ],
)
def test_redirects_of_the_pod_are_rewritten(headrace: Headrace, name: str, location: str, seen: str) -> None:
    answer = headrace.get(f"http://{name}.test{answering('Location', location, '/status/302')}")
    assert (answer.status, answer.headers["location"]) == (302, seen)


# -- the ConfigMap's keys of the same names


@pytest.mark.shows(
    "configmap:proxy-cookie-path", "configmap:proxy-cookie-domain", "configmap:proxy-redirect-from",
    "configmap:proxy-redirect-to", "configmap:proxy-http-version", "configmap:proxy-busy-buffers-size",
    "configmap:proxy-max-temp-file-size",
)  # fmt: skip
def test_the_keys_are_the_defaults_of_the_annotations(run: Run, backends: Backends) -> None:
    settings = configmap(
        proxy_cookie_path="/ /all", proxy_cookie_domain="pod.internal all.test", proxy_http_version="1.0",
        proxy_redirect_from="http://pod.internal/", proxy_redirect_to="https://all.test/",
        proxy_busy_buffers_size="8k", proxy_max_temp_file_size="0",
    )  # fmt: skip
    headrace = run(
        settings, host("plain"), host("own", proxy_cookie_path="/ /own", proxy_redirect_from="off"),
        host("off", proxy_cookie_path="off", proxy_http_version="1.1"), *app("one", backends.start("keys")),
        flags=CONFIGMAP,
    )  # fmt: skip
    cookie = answering("Set-Cookie", "a=1; Path=/; Domain=pod.internal")
    seen = {n: headrace.get(f"http://{n}.test{cookie}").headers["set-cookie"] for n in ("plain", "own", "off")}
    assert seen == {
        "plain": "a=1; Path=/all; Domain=all.test",
        "own": "a=1; Path=/own; Domain=all.test",
        "off": "a=1; Path=/; Domain=all.test",
    }
    location = answering("Location", "http://pod.internal/a", "/status/302")
    assert headrace.get(f"http://plain.test{location}").headers["location"] == "https://all.test/a"
    assert headrace.get(f"http://own.test{location}").headers["location"] == "http://pod.internal/a"
    assert [headrace.get(f"http://{n}.test/").json["version"] for n in ("plain", "off")] == ["1.0", "1.1"]
    assert len(headrace.get("http://plain.test/?size=500000").body) > 500_000
