"""What is spoken with pods: HTTPS, gRPC and FastCGI pods get what they understand, and clients what they answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from controller.tests.live.authorities import Authority, server_context
from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.fastcgi import FastCgiServer
from controller.tests.live.grpc_peers import GrpcCall, GrpcServer, call
from controller.tests.live.headrace import Answer, Headrace, trusting_context
from controller.tests.live.objects import Object, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

AT_ONCE = 0.6
EMPTY = ("late-0", "late-1", "late-2", "late-3", "empty")


def host(name: str, service: str, path: str = "/", **annotations: str) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (f"{name}.test", path, "Prefix", service), annotations=written)


def params(name: str, namespace: str = "default", **data: str) -> Object:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


class BothSchemes:
    """One port for TLS and plain connections, as some applications have it: each goes to the backend that fits."""

    host = "127.0.0.1"

    def __init__(self, plain: Backend, tls: Backend) -> None:
        self._ports = {False: plain.port, True: tls.port}
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                opened, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(opened,), daemon=True).start()

    def _relay(self, opened: socket.socket) -> None:
        with suppress(OSError):
            is_tls = opened.recv(1, socket.MSG_PEEK) == b"\x16"
            backend = socket.create_connection((self.host, self._ports[is_tls]))
            threading.Thread(target=_pump, args=(backend, opened), daemon=True).start()
            _pump(opened, backend)


class Rude:
    """Answers whatever comes as a server of plain HTTP does that is spoken to in TLS."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                opened, _ = self._listener.accept()
                with opened:
                    opened.recv(4096)
                    opened.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("pods")


@pytest.fixture(scope="module")
def peers(backends: Backends, authority: Authority) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        pair = authority.issue("pod.test")
        plain, tls = backends.start("plain"), backends.start("tls", tls=server_context(pair))
        both = BothSchemes(plain, tls)
        stack.callback(both.close)
        rude = Rude()
        stack.callback(rude.close)
        yield {
            "rude": rude,
            "plain": plain,
            "tls": tls,
            "both": both,
            "grpc": stack.enter_context(GrpcServer("grpc")),
            "grpcs": stack.enter_context(GrpcServer("grpcs", server_context(pair))),
            "fcgi": stack.enter_context(FastCgiServer("fcgi")),
        }


@pytest.fixture(scope="module")
def headrace(run: Run, peers: dict[str, Any]) -> Headrace:
    at = {name: (peer.host, peer.port) for name, peer in peers.items()}
    refused = ("127.0.0.1", free_port())
    objects: list[Object] = [
        *(document for name in at for document in (service(name), slice_at(name, at[name]))),
        *(document for name in EMPTY for document in (service(name), slice_of(name))),
        service("half-grpc"),
        slice_at("half-grpc", at["grpc"]),
        slice_at("half-grpc", refused, suffix="2"),
        service("gone-grpc"),
        slice_at("gone-grpc", refused),
        host("https", "tls", backend_protocol="HTTPS"),
        host("lower", "tls", backend_protocol="https"),
        host("mixed", "tls", backend_protocol="Https"),
        host("wrong", "plain", backend_protocol="AJP"),
        host("injected", "plain", backend_protocol="HTTP; return 418"),
        host("http", "plain", backend_protocol="http"),
        host("auto", "both", backend_protocol="AUTO_HTTP"),
        host("auto-lower", "both", backend_protocol="auto_http"),
        host("old", "plain", secure_backends="true", grpc_backend="true", secure_verify_ca_secret="ca"),
        host("rewritten", "tls", "/old", backend_protocol="HTTPS", rewrite_target="/new"),
        host("https-vhost", "tls", backend_protocol="HTTPS", upstream_vhost="inner.test"),
        host("https-slow", "tls", backend_protocol="HTTPS", proxy_read_timeout="1"),
        host("https-empty", "empty", backend_protocol="HTTPS"),
        host("https-missing", "nowhere", backend_protocol="HTTPS"),
        host("late-0", "late-0", backend_protocol="HTTPS"),
        host("late-1", "late-1", backend_protocol="HTTPS"),
        host("late-2", "late-2", backend_protocol="FCGI"),
        host("late-3", "late-3", backend_protocol="FCGI"),
        host("https-rude", "rude", backend_protocol="HTTPS", **{"headrace.dev/hold": "false"}),
        host("fcgi-rude", "rude", backend_protocol="FCGI", **{"headrace.dev/hold": "false"}),
        host("grpcs-rude", "rude", backend_protocol="GRPCS"),
        host("grpc", "grpc", backend_protocol="GRPC"),
        host("grpc-lower", "grpc", backend_protocol="grpc"),
        host("grpcs", "grpcs", backend_protocol="GRPCS"),
        host("grpcs-lower", "grpcs", backend_protocol="grpcs"),
        host("grpc-vhost", "grpc", backend_protocol="GRPC", upstream_vhost="inner.test"),
        host("grpc-slow", "grpc", backend_protocol="GRPC", proxy_read_timeout="1"),
        host("grpc-large", "grpc", backend_protocol="GRPC", proxy_body_size="0"),
        host("grpc-half", "half-grpc", backend_protocol="GRPC"),
        host("grpc-gone", "gone-grpc", backend_protocol="GRPC"),
        host("grpc-empty", "empty", backend_protocol="GRPC"),
        host("grpcs-empty", "empty", backend_protocol="GRPCS"),
        host("fcgi", "fcgi", backend_protocol="FCGI"),
        host("fcgi-lower", "fcgi", backend_protocol="fcgi"),
        host("fcgi-index", "fcgi", backend_protocol="FCGI", fastcgi_index="index.php"),
        host("fcgi-bad-index", "fcgi", backend_protocol="FCGI", fastcgi_index="i.php;return 418"),
        host("fcgi-params", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="php"),
        host("fcgi-own", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="default/php"),
        host("fcgi-foreign", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="other/php"),
        host("fcgi-missing", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="nowhere"),
        host("fcgi-bad-key", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="bad-key"),
        host("fcgi-bad-value", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="bad-value"),
        host("fcgi-variable", "fcgi", backend_protocol="FCGI", fastcgi_params_configmap="bad-variable"),
        host("fcgi-empty", "empty", backend_protocol="FCGI"),
        host("not-fcgi", "plain", fastcgi_index="index.php", fastcgi_params_configmap="nowhere"),
        ingress(
            "own-default",
            ("own-default.test", "/app", "Prefix", "tls"),
            default="tls",
            annotations={"backend-protocol": "HTTPS"},
        ),
        ingress(
            "usual-default", ("usual-default.test", "/app", "Prefix", "tls"), annotations={"backend-protocol": "HTTPS"}
        ),
        params("php", SCRIPT_FILENAME="/srv/www$fastcgi_script_name", APP_ENV="prod", HTTP_X_FROM="map-${host}"),
        params("php", namespace="other", APP_ENV="stolen"),
        params("bad-key", **{"A B": "1"}),
        params("bad-value", SCRIPT_FILENAME="/x;return 418"),
        params("bad-variable", SCRIPT_FILENAME="$hr_address"),
    ]  # fmt: skip
    return run(*objects, flags=("--default-backend-service", "default/plain"))


def findings(headrace: Headrace, name: str) -> list[dict[str, Any]]:
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    return [finding for finding in report if finding["object"]["name"] == name]


def timed(headrace: Headrace, url: str, **sent: Any) -> tuple[float, Answer]:
    begun = time.monotonic()
    answer = headrace.get(url, **sent)
    return time.monotonic() - begun, answer


# -- HTTP, HTTPS and the client's own scheme


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["https", "lower", "mixed"])
def test_https_in_any_case(headrace: Headrace, name: str) -> None:
    answer = headrace.get(f"http://{name}.test/path?a=%2F")
    assert (answer.status, answer.backend) == (200, "tls")
    assert answer.json["target"] == "/path?a=%2F"
    assert answer.json["headers"]["host"] == f"{name}.test"
    assert answer.json["headers"]["x-forwarded-proto"] == "http"


@pytest.mark.shows("backend-protocol")
def test_the_pod_is_not_verified_and_hears_no_name_unless_asked_for(headrace: Headrace) -> None:
    tls = headrace.get("https://https.test/").json["tls"]
    assert (tls["sni"], tls["client"], tls["version"]) == (None, None, "TLSv1.3")


@pytest.mark.shows("backend-protocol")
def test_connections_to_pods_are_kept(headrace: Headrace, peers: dict[str, Any]) -> None:
    headrace.get("http://https.test/")
    before = peers["tls"].connections
    for _ in range(10):
        headrace.get("http://https.test/", method="POST", body=b"x")
    assert peers["tls"].connections - before <= 2


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["wrong", "injected"])
def test_an_unknown_protocol_is_http_and_told(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://{name}.test/").backend == "plain"
    (finding,) = findings(headrace, name)
    assert finding["code"] == "annotation-invalid" and finding["severity"] == "warning"


@pytest.mark.shows("backend-protocol")
def test_plain_http_by_name(headrace: Headrace) -> None:
    assert headrace.get("http://http.test/").backend == "plain"
    assert not findings(headrace, "http")


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["auto", "auto-lower"])
def test_the_scheme_of_the_client(headrace: Headrace, name: str) -> None:
    """In turn, so that a connection kept for one scheme would be met by a request of the other."""
    for _ in range(4):
        assert headrace.get(f"http://{name}.test/").backend == "plain"
        assert headrace.get(f"https://{name}.test/").backend == "tls"


@pytest.mark.shows("backend-protocol")
def test_websockets_over_https(headrace: Headrace) -> None:
    with socket.create_connection(("127.0.0.1", headrace.https), timeout=5) as plain:
        client = trusting_context().wrap_socket(plain, server_hostname="https.test")
        client.sendall(
            b"GET /chat HTTP/1.1\r\nHost: https.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(4096)
        assert received.startswith(b"HTTP/1.1 101 ")
        for text in (b"one", b"\0\xff" * 5_000):
            client.sendall(text)
            echoed = b""
            while len(echoed) < len(text):
                echoed += client.recv(65_536)
            assert echoed == text


@pytest.mark.shows("backend-protocol")
def test_other_annotations_hold_for_https_too(headrace: Headrace) -> None:
    assert headrace.get("http://rewritten.test/old").json["target"] == "/new"
    assert headrace.get("http://https-vhost.test/").json["headers"]["host"] == "inner.test"
    took, answer = timed(headrace, "http://https-slow.test/slow/3")
    assert answer.status == 504 and took < 2


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["https-empty", "fcgi-empty"])
def test_a_service_without_pods_is_a_503_at_once(headrace: Headrace, name: str) -> None:
    took, answer = timed(headrace, f"http://{name}.test/", method="POST", body=b"x")
    assert answer.status == 503 and took < AT_ONCE


@pytest.mark.shows("backend-protocol")
def test_a_service_that_is_missing_is_a_503(headrace: Headrace) -> None:
    assert headrace.get("http://https-missing.test/").status == 503


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["https-rude", "fcgi-rude", "grpcs-rude"])
def test_a_pod_that_speaks_something_else_is_a_502(headrace: Headrace, name: str) -> None:
    took, answer = timed(headrace, f"http://{name}.test/")
    assert answer.status == 502 and took < AT_ONCE


@pytest.mark.shows("backend-protocol")
def test_the_default_backend_is_asked_in_plain_http(headrace: Headrace) -> None:
    assert headrace.get("http://usual-default.test/app").backend == "tls"
    assert headrace.get("http://usual-default.test/else").backend == "plain"
    assert headrace.get("http://unknown.test/").backend == "plain"


@pytest.mark.shows("backend-protocol")
def test_the_default_backend_of_an_ingress_is_asked_as_its_other_pods(headrace: Headrace) -> None:
    assert headrace.get("http://own-default.test/else").backend == "tls"


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize(
    ("number", "kept", "sent"),
    [
        (0, "tls", {"url": "http://late-0.test/a%2Fb?x=%20"}),
        (1, "tls", {"url": "https://late-1.test/large", "method": "PUT", "body": b"b" * 200_000}),
        (2, "fcgi", {"url": "http://late-2.test/a%2Fb?x=%20"}),
        (3, "fcgi", {"url": "http://late-3.test/large", "method": "PUT", "body": b"b" * 200_000}),
    ],
)
def test_a_request_that_no_pod_received_waits_for_one(
    headrace: Headrace, peers: dict[str, Any], number: int, kept: str, sent: dict[str, Any]
) -> None:
    file, name = f"late-{number}.yaml", f"late-{number}"
    headrace.write(file, slice_at(name, ("127.0.0.1", free_port()), suffix="2"))
    headrace.until(lambda: _waits(headrace, f"http://{name}.test/"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(headrace.get, **sent)
        time.sleep(0.4)
        assert not waiting.done()
        headrace.write(file, slice_at(name, ("127.0.0.1", peers[kept].port), suffix="2"))
        answer = waiting.result()
    assert answer.status == 200 and answer.backend == kept
    assert len(answer.json["body"]) == len(sent.get("body", b""))
    target = answer.json["params"]["REQUEST_URI"] if kept == "fcgi" else answer.json["target"]
    assert target == sent["url"].partition(".test")[2]


def _waits(headrace: Headrace, url: str) -> bool:
    """Whether nginx has heard of an address: as long as its list is empty the answer is a 503 at once."""
    try:
        return headrace.get(url, timeout=0.25).status != 503
    except TimeoutError:
        return True


@pytest.mark.shows("secure-backends", "grpc-backend", "secure-verify-ca-secret")
def test_old_names_have_no_effect_and_the_new_ones_are_told(headrace: Headrace) -> None:
    assert headrace.get("http://old.test/").backend == "plain"
    told = json.dumps(findings(headrace, "old"))
    for old in ("secure-backends", "grpc-backend", "secure-verify-ca-secret"):
        assert old in told
    for new in ("backend-protocol: HTTPS", "backend-protocol: GRPC", "proxy-ssl-secret"):
        assert new in told


# -- gRPC


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpc-lower", "grpcs", "grpcs-lower"])
def test_a_call(headrace: Headrace, name: str) -> None:
    answer = call(headrace.https, f"{name}.test", "/test.Echo/Say", "hello")
    assert (answer.status, answer.grpc, answer.texts) == (200, 0, [f"{name.removesuffix('-lower')}: hello"])
    assert answer.headers["content-type"] == "application/grpc"


@pytest.mark.shows("backend-protocol")
def test_a_call_without_tls(headrace: Headrace) -> None:
    answer = call(headrace.http, "grpc.test", "/test.Echo/Say", "hello", tls=False)
    assert (answer.status, answer.grpc, answer.texts) == (200, 0, ["grpc: hello"])


@pytest.mark.shows("backend-protocol")
def test_the_status_of_a_call_that_fails(headrace: Headrace) -> None:
    answer = call(headrace.https, "grpc.test", "/test.Echo/Fail", "x")
    assert (answer.status, answer.grpc, answer.trailers["grpc-message"]) == (200, 5, "not here")
    assert call(headrace.https, "grpc.test", "/test.Echo/NoSuchMethod", "x").grpc == 12


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpcs"])
def test_messages_of_the_server_come_as_they_are_sent(headrace: Headrace, name: str) -> None:
    with GrpcCall(headrace.https, f"{name}.test", "/test.Echo/Count") as going:
        going.send("10", end=True)
        assert going.read(1) == ["0"]
        first = time.monotonic()
        assert going.finish().texts == [str(number) for number in range(10)]
        assert time.monotonic() - first > 0.3
    assert going.answer.grpc == 0


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpcs"])
def test_messages_of_the_client_one_by_one(headrace: Headrace, name: str) -> None:
    with GrpcCall(headrace.https, f"{name}.test", "/test.Echo/Join") as going:
        for text in "abc":
            going.send(text)
            time.sleep(0.05)
        going.send("d", end=True)
        assert going.finish().texts == ["a+b+c+d"]


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc", "grpcs"])
def test_a_conversation(headrace: Headrace, name: str) -> None:
    with GrpcCall(headrace.https, f"{name}.test", "/test.Echo/Chat") as going:
        for number, text in enumerate(("one", "two", "x" * 30_000)):
            going.send(text)
            assert going.read(number + 1)[-1] == f"{name}: {text}"
        going.send(end=True)
        assert going.finish().grpc == 0


@pytest.mark.shows("backend-protocol")
def test_what_a_grpc_pod_is_told(headrace: Headrace) -> None:
    forged = {"x-forwarded-for": "1.2.3.4", "ssl-client-verify": "SUCCESS", "x-real-ip": "1.2.3.4", "my-data": "kept"}
    answer = call(headrace.https, "grpc.test", "/test.Echo/Tell", headers=forged)
    seen = json.loads(answer.texts[0])
    assert seen.get(":authority", seen.get("host")) == "grpc.test"
    assert (seen["te"], seen["my-data"], seen["content-type"]) == ("trailers", "kept", "application/grpc")
    assert (seen["x-forwarded-for"], seen["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "grpc.test")
    assert "ssl-client-verify" not in seen and "connection" not in seen and "upgrade" not in seen
    assert len(seen["x-request-id"]) == 32


@pytest.mark.shows("backend-protocol")
def test_a_grpcs_pod_hears_no_name_unless_asked_for(headrace: Headrace) -> None:
    answer = call(headrace.https, "grpcs.test", "/test.Echo/Tell")
    assert json.loads(answer.texts[0])["tls"]["sni"] is None


@pytest.mark.shows("backend-protocol", "upstream-vhost")
def test_the_host_that_a_grpc_pod_sees(headrace: Headrace) -> None:
    seen = json.loads(call(headrace.https, "grpc-vhost.test", "/test.Echo/Tell").texts[0])
    assert (seen.get(":authority", seen.get("host")), seen["x-forwarded-host"]) == ("inner.test", "grpc-vhost.test")


@pytest.mark.shows("backend-protocol", "proxy-read-timeout")
def test_a_grpc_pod_that_is_too_slow(headrace: Headrace) -> None:
    begun = time.monotonic()
    answer = call(headrace.https, "grpc-slow.test", "/test.Echo/Hang", "x")
    assert answer.status == 504 and 0.9 < time.monotonic() - begun < 2


@pytest.mark.shows("backend-protocol", "proxy-body-size")
def test_how_much_a_call_may_send(headrace: Headrace) -> None:
    large = ["y" * 400_000] * 4
    assert len(call(headrace.https, "grpc-large.test", "/test.Echo/Join", *large).texts[0]) == 1_600_003


@pytest.mark.shows("backend-protocol")
def test_connections_to_grpc_pods_are_shared(headrace: Headrace, peers: dict[str, Any]) -> None:
    before = peers["grpc"].connections
    for _ in range(10):
        assert call(headrace.https, "grpc.test", "/test.Echo/Say", "x").grpc == 0
    assert peers["grpc"].connections - before <= 3


@pytest.mark.shows("backend-protocol")
def test_a_grpc_pod_that_is_gone_is_passed_over(headrace: Headrace) -> None:
    answers = [call(headrace.https, "grpc-half.test", "/test.Echo/Say", "x") for _ in range(8)]
    assert {(answer.status, answer.grpc) for answer in answers} == {(200, 0)}


@pytest.mark.shows("backend-protocol")
def test_a_call_that_no_pod_can_take_fails_at_once(headrace: Headrace) -> None:
    """A client of gRPC takes it for UNAVAILABLE and may try again; we cannot, for we do not keep its messages."""
    begun = time.monotonic()
    answer = call(headrace.https, "grpc-gone.test", "/test.Echo/Join", "a", "b")
    assert answer.status == 502 and time.monotonic() - begun < AT_ONCE


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["grpc-empty", "grpcs-empty"])
def test_a_call_to_a_service_without_pods(headrace: Headrace, name: str) -> None:
    begun = time.monotonic()
    assert call(headrace.https, f"{name}.test", "/test.Echo/Say", "x").status == 503
    assert time.monotonic() - begun < AT_ONCE


@pytest.mark.shows("backend-protocol")
def test_a_client_of_http_1_reaches_a_grpc_pod(headrace: Headrace) -> None:
    answer = headrace.get("http://grpc.test/test.Echo/Say", method="POST", body=b"\0\0\0\0\x02hi",
                          headers={"Content-Type": "application/grpc", "TE": "trailers"})  # fmt: skip
    assert answer.status == 200 and b"grpc: hi" in answer.body


@pytest.mark.shows("backend-protocol")
def test_headers_of_the_connection_do_not_reach_a_grpc_pod(headrace: Headrace) -> None:
    sent = {"Upgrade": "websocket", "Connection": "Upgrade", "Keep-Alive": "5", "TE": "trailers"}
    answer = headrace.get("http://grpc.test/test.Echo/Tell", method="POST", headers=sent)
    seen = json.loads(answer.body[5:])
    assert not {"upgrade", "connection", "keep-alive", "transfer-encoding"} & seen.keys()


# -- FastCGI


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["fcgi", "fcgi-lower"])
def test_a_request_over_fastcgi(headrace: Headrace, name: str) -> None:
    answer = headrace.get(f"https://{name}.test/a%20b/x.php?q=%2F&r", method="POST", body=b"data",
                          headers={"Content-Type": "text/x", "X-Mine": "kept"})  # fmt: skip
    assert (answer.status, answer.headers["content-type"], answer.json["body"]) == (200, "application/json", "data")
    seen = answer.json["params"]
    expected = {
        "REQUEST_METHOD": "POST", "REQUEST_URI": "/a%20b/x.php?q=%2F&r", "QUERY_STRING": "q=%2F&r",
        "SCRIPT_NAME": "/a b/x.php", "DOCUMENT_URI": "/a b/x.php", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "4",
        "SERVER_NAME": f"{name}.test", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_SCHEME": "https", "HTTPS": "on", "REMOTE_ADDR": "127.0.0.1", "REDIRECT_STATUS": "200",
        "HTTP_HOST": f"{name}.test", "HTTP_X_MINE": "kept", "HTTP_X_FORWARDED_PROTO": "https",
    }  # fmt: skip
    assert {key: seen.get(key) for key in expected} == expected


@pytest.mark.shows("backend-protocol")
def test_forged_headers_do_not_reach_a_fastcgi_application(headrace: Headrace) -> None:
    forged = {"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4", "Proxy": "http://evil.test",
              "X-Forwarded-Port": "1", "ssl-client-verify": "SUCCESS", "ssl-client-subject-dn": "CN=admin"}  # fmt: skip
    seen = headrace.get("http://fcgi.test/", headers=forged).json["params"]
    assert seen["HTTP_X_FORWARDED_FOR"] == seen["HTTP_X_REAL_IP"] == "127.0.0.1"
    assert seen["HTTP_X_FORWARDED_PORT"] == str(headrace.http)
    assert not {"HTTP_PROXY", "HTTP_SSL_CLIENT_VERIFY", "HTTP_SSL_CLIENT_SUBJECT_DN", "HTTPS"} & seen.keys()
    assert seen["HTTP_X_ORIGINAL_FORWARDED_FOR"] == "1.2.3.4"


@pytest.mark.shows("backend-protocol")
def test_answers_of_a_fastcgi_application(headrace: Headrace) -> None:
    assert headrace.get("http://fcgi.test/status/404").status == 404
    answer = headrace.get("http://fcgi.test/accel")
    assert answer.backend == "fcgi" and "x-accel-redirect" not in answer.headers
    assert "max-age" in headrace.get("https://fcgi.test/").headers["strict-transport-security"]


@pytest.mark.shows("backend-protocol")
def test_a_large_body_over_fastcgi(headrace: Headrace) -> None:
    answer = headrace.get("http://fcgi.test/", method="PUT", body=b"z" * 900_000)
    assert len(answer.json["body"]) == 900_000
    assert headrace.get("http://fcgi.test/", method="PUT", body=b"z" * 1_100_000).status == 413


@pytest.mark.shows("fastcgi-index")
def test_the_index_of_a_directory(headrace: Headrace) -> None:
    assert headrace.get("http://fcgi-index.test/dir/").json["params"]["SCRIPT_NAME"] == "/dir/index.php"
    assert headrace.get("http://fcgi-index.test/").json["params"]["SCRIPT_NAME"] == "/index.php"
    assert headrace.get("http://fcgi-index.test/a.php").json["params"]["SCRIPT_NAME"] == "/a.php"
    assert headrace.get("http://fcgi.test/dir/").json["params"]["SCRIPT_NAME"] == "/dir/"


@pytest.mark.shows("fastcgi-index")
def test_an_index_that_is_no_file_name_is_left_out(headrace: Headrace) -> None:
    assert headrace.get("http://fcgi-bad-index.test/dir/").json["params"]["SCRIPT_NAME"] == "/dir/"
    (finding,) = findings(headrace, "fcgi-bad-index")
    assert finding["code"] == "annotation-invalid"


@pytest.mark.shows("fastcgi-index", "fastcgi-params-configmap")
def test_settings_of_fastcgi_mean_nothing_to_other_protocols(headrace: Headrace) -> None:
    assert headrace.get("http://not-fcgi.test/").backend == "plain"


@pytest.mark.shows("fastcgi-params-configmap")
@pytest.mark.parametrize("name", ["fcgi-params", "fcgi-own"])
def test_more_parameters(headrace: Headrace, name: str) -> None:
    seen = headrace.get(f"http://{name}.test/x.php?a=1").json["params"]
    assert (seen["SCRIPT_FILENAME"], seen["APP_ENV"]) == ("/srv/www/x.php", "prod")
    assert seen["HTTP_X_FROM"] == f"map-{name}.test"
    assert (seen["QUERY_STRING"], seen["HTTP_X_REAL_IP"]) == ("a=1", "127.0.0.1"), "the usual ones are there as well"


@pytest.mark.shows("fastcgi-params-configmap")
@pytest.mark.parametrize("name", ["fcgi-foreign", "fcgi-missing", "fcgi-bad-key", "fcgi-bad-value", "fcgi-variable"])
def test_parameters_that_cannot_be_had_close_the_paths(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://{name}.test/").status == 503
    (finding,) = findings(headrace, name)
    assert "fastcgi-params-configmap" in finding["field"] and finding["severity"] == "error"


@pytest.mark.shows("fastcgi-params-configmap")
def test_parameters_follow_their_configmap(headrace: Headrace) -> None:
    headrace.write("nowhere.yaml", params("nowhere", APP_ENV="late"))
    headrace.until(lambda: headrace.get("http://fcgi-missing.test/").status == 200)
    assert headrace.get("http://fcgi-missing.test/").json["params"]["APP_ENV"] == "late"
    headrace.write("nowhere.yaml", params("nowhere", APP_ENV="later"))
    headrace.until(lambda: headrace.get("http://fcgi-missing.test/").json["params"]["APP_ENV"] == "later")
    (headrace.manifests / "nowhere.yaml").unlink()
    headrace.until(lambda: headrace.get("http://fcgi-missing.test/").status == 503)
