"""Copies of requests: what the mirror receives, what clients never notice, and which targets get nothing."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress, key_pair, service, slice_at
from controller.tests.ports import free_port

pytestmark = pytest.mark.shows("mirror-target")

PREFIX = "Prefix"
COPIED_WITHIN = 5.0


def mirrored(host: str, target: str, backend: str = "app", **annotations: str) -> Object:
    written = {"mirror-target": target} | {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(host.removesuffix(".test"), (host, "/", PREFIX, backend), annotations=written)


@pytest.fixture(scope="module")
def copies(backends: Backends) -> Backend:
    return backends.start("copies")


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, copies: Backend) -> Iterator[Headrace]:
    running = run(
        mirrored("uri.test", "http://copies.default$request_uri"),
        mirrored("bare.test", "http://copies.default.svc"),
        mirrored("fixed.test", "http://copies.default.svc.cluster.local:80/fixed"),
        mirrored("query.test", "http://copies.default/fixed?from=mirror"),
        mirrored("variables.test", "http://copies.default/m$uri?$args&h=$host&m=$request_method&s=$scheme"),
        mirrored("host.test", "http://copies.default$request_uri", mirror_host="mirror.example:81"),
        mirrored("host-variable.test", "http://copies.default$request_uri", mirror_host="$host"),
        mirrored("odd-host.test", "http://copies.default$request_uri", mirror_host="a b;"),
        mirrored("port.test", "http://copies.default:80$request_uri"),
        mirrored("body-off.test", "http://copies.default$request_uri", mirror_request_body="off"),
        mirrored("body-odd.test", "http://copies.default$request_uri", mirror_request_body="OFF"),
        mirrored("cors.test", "http://copies.default$request_uri", enable_cors="true"),
        mirrored("denied.test", "http://copies.default$request_uri", allowlist_source_range="10.9.9.9"),
        mirrored("away.test", "http://copies.default$request_uri", permanent_redirect="https://else.example"),
        mirrored("empty-mirror.test", "http://empty.default$request_uri"),
        mirrored("refusing-mirror.test", "http://refusing.default$request_uri"),
        mirrored("nowhere.test", "http://nowhere.invalid$request_uri"),
        mirrored("other-namespace.test", "http://copies.other$request_uri"),
        ingress("one-path", ("paths.test", "/copied", PREFIX, "app"),
                annotations={"mirror-target": "http://copies.default$request_uri"}),
        ingress("no-path", ("paths.test", "/", PREFIX, "app")),
        *(mirrored(f"wrong{number}.test", target.replace("PORT", str(copies.port)))
          for number, target in enumerate(WRONG)),
        *app("app", backends.start("app")),
        *app("copies", copies),
        *app("copies", copies, namespace="other"),
        service("empty"),
        service("refusing"),
        slice_at("refusing", ("127.0.0.1", free_port())),
    )  # fmt: skip
    yield running


WRONG = [
    "http://127.0.0.1:PORT$request_uri",
    "http://localhost:PORT$request_uri",
    "http://[::1]:PORT$request_uri",
    "http://[::ffff:127.0.0.1]:PORT$request_uri",
    "http://0.0.0.0:PORT$request_uri",
    "http://169.254.169.254/latest$request_uri",
    "http://[fe80::1]/x",
    "http://[fd00:ec2::254]/x",
    "http://2130706433:PORT/",
    "http://copies.default:99999/",
    "ftp://copies.default/x",
    "copies.default$request_uri",
    "http://$host$request_uri",
    "http://copies.default$host/x",
    "http://copies.default/$pid",
    "http://copies.default/$http_authorization",
    "http://copies.default/$request_urix",
    "http://copies.default/x; return 200",
    'http://copies.default/x"; }',
    "http://copies.default/{x}",
    "http://user:secret@copies.default/",
    "https://",
    "true",
]


def copy_of(copies: Backend, mark: str, within: float = COPIED_WITHIN) -> dict[str, Any]:
    """The copy of the request that carries the mark."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        for seen in copies.requests:
            if mark in str(seen["target"]) or mark in str(seen["headers"]):
                return seen
        time.sleep(0.02)
    raise AssertionError(f"no copy of {mark}: {[seen['target'] for seen in copies.requests[-5:]]}")


def is_not_copied(headrace: Headrace, copies: Backend, url: str, mark: str) -> bool:
    """Whether none has come by the time at which that of a later request has."""
    later = f"after-{mark}"
    headrace.get(f"http://uri.test/{later}")
    copy_of(copies, later)
    return not any(mark in str(seen["target"]) and later not in str(seen["target"]) for seen in copies.requests)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_copy_is_like_the_request(headrace: Headrace, copies: Backend, method: str) -> None:
    body = b"content" if method in ("POST", "PUT", "PATCH") else None
    sent = f"/like-{method}/a%2Fb?x=1&y=%20z"
    answer = headrace.get(
        f"http://uri.test{sent}", method=method, body=body, headers={"X-Mine": "kept", "Authorization": "Basic eDp5"}
    )
    copy = copy_of(copies, f"like-{method}")
    assert answer.status == 200 and (method == "HEAD" or answer.backend == "app")
    assert (copy["method"], copy["target"], copy["body"]) == (method, sent, (body or b"").decode())
    assert (copy["headers"]["x-mine"], copy["headers"]["authorization"]) == ("kept", "Basic eDp5")
    assert copy["headers"]["host"] == "copies.default"
    assert copy["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert copy["headers"]["x-forwarded-host"] == "uri.test"


def test_there_is_one_copy_of_each(headrace: Headrace, copies: Backend) -> None:
    for number in range(20):
        headrace.get(f"http://uri.test/number-{number}-")
    for number in range(20):
        copy_of(copies, f"number-{number}-")
    assert sum("/number-" in str(seen["target"]) for seen in copies.requests) == 20


@pytest.mark.parametrize(
    ("host", "sent", "target"),
    [
        ("bare.test", "/bare/x?q=1", "/bare/x?q=1"),
        ("fixed.test", "/fixed-one", "/fixed"),
        ("fixed.test", "/fixed-two?q=two", "/fixed?q=two"),
        ("query.test", "/query?ignored=1", "/fixed?from=mirror"),
        ("variables.test", "/v%0d%0aX-Injected:1/x?a=b", "/m/v%0d%0aX-Injected:1/x?a=b&h=variables.test&m=GET&s=http"),
        ("port.test", "/port", "/port"),
        ("other-namespace.test", "/other-namespace", "/other-namespace"),
        ("paths.test", "/copied/x", "/copied/x"),
    ],
)
def test_where_the_copy_goes(headrace: Headrace, copies: Backend, host: str, sent: str, target: str) -> None:
    mark = f"mark-{hash((host, sent)) & 0xFFFFFF}"
    assert headrace.get(f"http://{host}{sent}", headers={"X-Mark": mark}).backend == "app"
    copy = copy_of(copies, mark)
    assert copy["target"] == target and "x-injected" not in copy["headers"]


@pytest.mark.shows("mirror-host")
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("uri.test", "copies.default"),
        ("port.test", "copies.default:80"),
        ("fixed.test", "copies.default.svc.cluster.local:80"),
        ("host.test", "mirror.example:81"),
        ("host-variable.test", "host-variable.test"),
        ("odd-host.test", "copies.default"),
    ],
)
def test_the_host_of_the_copy(headrace: Headrace, copies: Backend, host: str, expected: str) -> None:
    answer = headrace.get(f"http://{host}/", headers={"X-Mark": f"host-of-{host}-"})
    assert answer.json["headers"]["host"] == host, "the pod's own stays"
    assert copy_of(copies, f"host-of-{host}-")["headers"]["host"] == expected


@pytest.mark.shows("mirror-request-body")
@pytest.mark.parametrize(("host", "copied"), [("uri.test", True), ("body-off.test", False), ("body-odd.test", True)])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_of_the_copy(headrace: Headrace, copies: Backend, host: str, copied: bool, chunked: bool) -> None:
    mark = f"body-{host}-{chunked}-"
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 5"
    body = "5\r\nhello\r\n0\r\n\r\n" if chunked else "hello"
    request = f"POST /{mark} HTTP/1.1\r\nHost: {host}\r\n{framing}\r\nConnection: close\r\n\r\n{body}"
    assert b'"body": "hello"' in headrace.raw(request.encode())
    copy = copy_of(copies, mark)
    assert copy["body"] == ("hello" if copied else "")
    assert copied or not {"content-length", "transfer-encoding"} & copy["headers"].keys()


@pytest.mark.shows("mirror-request-body")
def test_a_large_body_is_copied_whole(headrace: Headrace, copies: Backend) -> None:
    body = b"x" * 300_000
    assert headrace.get("http://uri.test/large-body", method="POST", body=body).status == 200
    assert len(copy_of(copies, "large-body")["body"]) == len(body)


@pytest.mark.parametrize("path", ["/status/404", "/status/500", "/reset"])
def test_the_answer_of_the_mirror_is_thrown_away(headrace: Headrace, copies: Backend, path: str) -> None:
    only = path.replace("/status/", "/only/copies/") if "status" in path else "/thrown-away"
    answer = headrace.get(f"http://uri.test{only}?answer=X-Copy:%20yes")
    assert (answer.status, answer.backend) == (200, "app") and answer.json["target"].startswith(only)
    copy_of(copies, only)


@pytest.mark.parametrize("host", ["empty-mirror.test", "refusing-mirror.test", "nowhere.test"])
def test_a_mirror_that_is_not_there_is_not_felt(headrace: Headrace, host: str) -> None:
    begun, held = time.monotonic(), headrace.metric("headrace_hold_requests_total")
    for method, body in (("GET", None), ("POST", b"x" * 10_000)):
        answer = headrace.get(f"http://{host}/", method=method, body=body)
        assert (answer.status, answer.backend) == (200, "app")
    assert time.monotonic() - begun < 2
    time.sleep(0.1)
    assert headrace.metric("headrace_hold_requests_total") == held, "a copy is not held"


@pytest.mark.parametrize(
    ("url", "status"), [("http://denied.test/", 403), ("http://away.test/", 301), ("http://paths.test/", 200)]
)
def test_what_does_not_reach_a_pod_is_not_copied(headrace: Headrace, copies: Backend, url: str, status: int) -> None:
    mark = f"uncopied-{status}"
    assert headrace.get(f"{url}{mark}").status == status
    assert is_not_copied(headrace, copies, url, mark)


def test_a_preflight_is_not_copied(headrace: Headrace, copies: Backend) -> None:
    assert headrace.get("http://cors.test/uncopied-preflight", method="OPTIONS").status == 204
    assert is_not_copied(headrace, copies, "http://cors.test/", "uncopied-preflight")


@pytest.mark.parametrize("number", range(len(WRONG)), ids=WRONG)
def test_a_wrong_target_gets_nothing_and_the_route_is_served(headrace: Headrace, copies: Backend, number: int) -> None:
    answer = headrace.get(f"http://wrong{number}.test/wrong-{number}-")
    assert (answer.status, answer.backend) == (200, "app")


def test_no_wrong_target_was_copied_and_each_was_told(headrace: Headrace, copies: Backend) -> None:
    assert is_not_copied(headrace, copies, "http://uri.test/", "wrong-")
    log = headrace.log.read_text()
    for number in range(len(WRONG)):
        told = [line for line in log.splitlines() if f'"name":"wrong{number}"' in line and "mirror-target" in line]
        assert told, WRONG[number]


def test_the_request_is_logged_once_and_as_its_own(headrace: Headrace, copies: Backend) -> None:
    assert headrace.get("http://uri.test/logged?once").status == 200
    copy_of(copies, "/logged?once")
    headrace.until(lambda: "/logged?once" in headrace.log.read_text())
    lines = [line for line in headrace.log.read_text().splitlines() if "/logged?once" in line]
    assert len(lines) == 1 and "[default-app-80]" in lines[0]


def test_nobody_gets_to_the_internal_place(headrace: Headrace) -> None:
    text = "".join(path.read_text() for path in headrace.directory.rglob("servers/uri.test.conf"))
    place = text.partition("location = /_hr_mirror_")[2].split()[0]
    assert headrace.get(f"http://uri.test/_hr_mirror_{place}").status == 404


class _Secure(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str, str | None]]] = []
    names: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, self.headers["Host"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[int]:
    chain, key = key_pair("localhost")
    (tmp_path / "pair.pem").write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    context.sni_callback = lambda _socket, name, _context: _Secure.names.append(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Secure)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_host_outside_is_resolved_and_spoken_to_by_https(run: Run, backends: Backends, secure: int) -> None:
    running = run(
        mirrored("out.test", f"https://localhost:{secure}$request_uri"),
        *app("app", backends.start("app")),
        flags=("--allow-local-external-names",),
    )

    def copied() -> bool:
        running.get("http://out.test/outside?x=1")
        return ("GET", "/outside?x=1", f"localhost:{secure}") in _Secure.seen

    running.until(copied)
    assert "localhost" in _Secure.names
