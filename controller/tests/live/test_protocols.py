"""What is spoken with pods: HTTP, HTTPS or the client's own scheme; and what is the same for every protocol."""

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
from controller.tests.live.headrace import Headrace, trusting_context
from controller.tests.live.objects import Object, ingress, service, slice_at, slice_of
from controller.tests.live.protocols import AT_ONCE, Rude, app_at, findings, host, timed, waits
from controller.tests.ports import free_port


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


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def peers(backends: Backends) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        plain = backends.start("plain")
        tls = backends.start("tls", tls=server_context(Authority("pods").issue("pod.test")))
        both, rude = BothSchemes(plain, tls), Rude()
        stack.callback(both.close)
        stack.callback(rude.close)
        yield {"plain": plain, "tls": tls, "both": both, "rude": rude}


@pytest.fixture(scope="module")
def headrace(run: Run, peers: dict[str, Any]) -> Headrace:
    objects: list[Object] = [
        *(document for name, peer in peers.items() for document in app_at(name, peer)),
        *(document for name in ("late-0", "late-1", "empty") for document in (service(name), slice_of(name))),
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
        host("https-rude", "rude", backend_protocol="HTTPS", **{"headrace.dev/hold": "false"}),
        ingress(
            "own-default",
            ("own-default.test", "/app", "Prefix", "tls"),
            default="tls",
            annotations={"backend-protocol": "HTTPS"},
        ),
        ingress(
            "usual-default", ("usual-default.test", "/app", "Prefix", "tls"), annotations={"backend-protocol": "HTTPS"}
        ),
    ]  # fmt: skip
    return run(*objects, flags=("--default-backend-service", "default/plain"))


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
@pytest.mark.parametrize("name", ["https-empty"])
def test_a_service_without_pods_is_a_503_at_once(headrace: Headrace, name: str) -> None:
    took, answer = timed(headrace, f"http://{name}.test/", method="POST", body=b"x")
    assert answer.status == 503 and took < AT_ONCE


@pytest.mark.shows("backend-protocol")
def test_a_service_that_is_missing_is_a_503(headrace: Headrace) -> None:
    assert headrace.get("http://https-missing.test/").status == 503


@pytest.mark.shows("backend-protocol")
@pytest.mark.parametrize("name", ["https-rude"])
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
    ("number", "sent"),
    [
        (0, {"url": "http://late-0.test/a%2Fb?x=%20"}),
        (1, {"url": "https://late-1.test/large", "method": "PUT", "body": b"b" * 200_000}),
    ],
)
def test_a_request_that_no_pod_receivedwaits_for_one(
    headrace: Headrace, peers: dict[str, Any], number: int, sent: dict[str, Any]
) -> None:
    file, name = f"late-{number}.yaml", f"late-{number}"
    headrace.write(file, slice_at(name, ("127.0.0.1", free_port()), suffix="2"))
    headrace.until(lambda: waits(headrace, f"http://{name}.test/"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(headrace.get, **sent)
        time.sleep(0.4)
        assert not waiting.done()
        headrace.write(file, slice_at(name, ("127.0.0.1", peers["tls"].port), suffix="2"))
        answer = waiting.result()
    assert answer.status == 200 and answer.backend == "tls"
    assert len(answer.json["body"]) == len(sent.get("body", b""))
    assert answer.json["target"] == sent["url"].partition(".test")[2]


@pytest.mark.shows("secure-backends", "grpc-backend", "secure-verify-ca-secret")
def test_old_names_have_no_effect_and_the_new_ones_are_told(headrace: Headrace) -> None:
    assert headrace.get("http://old.test/").backend == "plain"
    told = json.dumps(findings(headrace, "old"))
    for old in ("secure-backends", "grpc-backend", "secure-verify-ca-secret"):
        assert old in told
    for new in ("backend-protocol: HTTPS", "backend-protocol: GRPC", "proxy-ssl-secret"):
        assert new in told
