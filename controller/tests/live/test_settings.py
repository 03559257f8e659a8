"""Keys of the ConfigMap as clients feel them: sizes, times, retries, compression; and what a wrong key costs."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def objects(backends: Backends) -> list[Object]:
    one = backends.start("one")
    two = backends.start("two", host="127.0.0.2", port=one.port)
    return [
        ingress("app", ("app.test", "/", "Prefix", "one"), ("pair.test", "/", "Prefix", "pair")),
        *app("one", one),
        *app("pair", one, two),
    ]


@pytest.fixture(scope="module")
def plain(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    yield run(*objects, flags=CONFIGMAP)


@pytest.fixture(scope="module")
def tuned(run: Run, objects: list[Object]) -> Iterator[Headrace]:
    settings = configmap(
        proxy_body_size="1k", large_client_header_buffers="4 32k", client_header_timeout="1",
        client_body_timeout="1s", proxy_read_timeout="1", keep_alive_requests="2", use_gzip="true",
        gzip_level="9", gzip_min_length="200", proxy_request_buffering="off", proxy_buffering="on",
        proxy_buffer_size="8k", proxy_buffers_number="8", worker_processes="3", max_worker_connections="512",
        ignore_invalid_headers="false", upstream_keepalive_requests="1",
    )  # fmt: skip
    yield run(*objects, settings, flags=CONFIGMAP)


def test_a_body_may_have_a_megabyte_and_not_a_byte_more(plain: Headrace) -> None:
    assert plain.get("http://app.test/", method="POST", body=b"x" * MEGABYTE).status == 200
    assert announced(plain, MEGABYTE + 1) == b"413"


def announced(headrace: Headrace, length: int) -> bytes:
    """The status for a body that is only announced: a refusal must not wait for it."""
    request = f"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    return headrace.raw(request.encode(), until=b"\r\n\r\n").split(b" ", 2)[1]


@pytest.mark.shows("configmap:proxy-body-size")
def test_the_key_sets_the_size_of_bodies(tuned: Headrace) -> None:
    assert tuned.get("http://app.test/", method="POST", body=b"x" * 1024).status == 200
    assert announced(tuned, 1025) == b"413"
    chunk = b"801\r\n" + b"x" * 0x801 + b"\r\n0\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert b" 413 " in tuned.raw(head + chunk, until=b"\r\n\r\n").split(b"\r\n")[0]


@pytest.mark.parametrize(("size", "usual", "raised"), [(7_000, 200, 200), (9_000, 400, 200), (33_000, 400, 400)])
@pytest.mark.shows("configmap:large-client-header-buffers")
def test_large_headers(plain: Headrace, tuned: Headrace, size: int, usual: int, raised: int) -> None:
    headers = {"Cookie": "c" * size}
    found = [headrace.get("http://app.test/", headers=headers).status for headrace in (plain, tuned)]
    assert found == [usual, raised]


def test_a_long_url(plain: Headrace, tuned: Headrace) -> None:
    assert plain.get("http://app.test/" + "u" * 9_000).status == 414
    assert tuned.get("http://app.test/" + "u" * 9_000).status == 200


@pytest.mark.shows("configmap:proxy-read-timeout")
def test_a_pod_that_is_too_slow_is_a_504(plain: Headrace, tuned: Headrace) -> None:
    start = time.monotonic()
    assert tuned.get("http://app.test/slow/3").status == 504
    assert 0.9 < time.monotonic() - start < 2.5
    assert plain.get("http://app.test/slow/1.2").status == 200


@pytest.mark.shows("configmap:client-header-timeout", "configmap:client-body-timeout")
def test_a_client_that_is_too_slow_is_let_go(tuned: Headrace) -> None:
    start = time.monotonic()
    assert tuned.raw(b"GET / HTTP/1.1\r\nHost: ap") == b""
    head = b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nabc"
    assert b" 200 " not in tuned.raw(head).partition(b"\r\n")[0]
    assert 1.8 < time.monotonic() - start < 4


@pytest.mark.shows("configmap:keep-alive-requests")
def test_requests_on_one_connection(plain: Headrace, tuned: Headrace) -> None:
    request = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
    assert tuned.raw(request * 3).count(b"HTTP/1.1 200") == 2
    closing = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert plain.raw(request * 2 + closing).count(b"HTTP/1.1 200") == 3


@pytest.mark.shows("configmap:use-gzip", "configmap:gzip-level", "configmap:gzip-min-length")
def test_compression(plain: Headrace, tuned: Headrace) -> None:
    wanted = {"Accept-Encoding": "gzip"}
    packed = tuned.get("http://app.test/", headers=wanted)
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert json.loads(gzip.decompress(packed.body))["backend"] == "one"
    assert "content-encoding" not in tuned.get("http://app.test/").headers
    assert "content-encoding" not in plain.get("http://app.test/", headers=wanted).headers


@pytest.mark.shows("configmap:proxy-request-buffering")
def test_a_chunked_body_is_gathered_first_unless_buffering_is_off(plain: Headrace, tuned: Headrace) -> None:
    head = b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    for headrace, header in ((plain, b'"content-length": "5"'), (tuned, b'"transfer-encoding": "chunked"')):
        answer = headrace.raw(head + b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
        assert b'"body": "abcde"' in answer
        assert header in answer


def test_an_answer_is_passed_on_as_it_comes(plain: Headrace) -> None:
    with socket.create_connection(("127.0.0.1", plain.http), timeout=5) as connection:
        connection.sendall(b"GET /stream/4 HTTP/1.1\r\nHost: app.test\r\n\r\n")
        received, first_line_after = b"", 0.0
        start = time.monotonic()
        while b"line 3" not in received:
            received += connection.recv(4096)
            first_line_after = first_line_after or (b"line 0" in received and time.monotonic() - start) or 0.0
    assert first_line_after < 0.2 < time.monotonic() - start


@pytest.mark.shows("configmap:worker-processes")
def test_the_number_of_workers(tuned: Headrace) -> None:
    pid = (tuned.directory / "state" / "nginx.pid").read_text().strip()
    assert len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) == 3


def statuses(headrace: Headrace, method: str) -> set[int]:
    """Answers for a path that one pod of two answers with 503."""
    return {headrace.get("http://pair.test/only/two/503", method=method).status for _ in range(8)}


@pytest.mark.shows(
    "configmap:proxy-next-upstream", "configmap:proxy-next-upstream-tries", "configmap:retry-non-idempotent"
)
def test_retries_as_the_operator_wants_them_and_a_change_needs_no_restart(run: Run, objects: list[Object]) -> None:
    headrace = run(*objects, flags=CONFIGMAP)
    assert statuses(headrace, "GET") == {200, 503}
    steps = (
        ({"proxy_next_upstream": "error timeout http_503"}, {200}, {200, 503}),
        ({"proxy_next_upstream": "error http_503", "retry_non_idempotent": "true"}, {200}, {200}),
        ({"proxy_next_upstream": "http_503", "proxy_next_upstream_tries": "1"}, {200, 503}, {200, 503}),
    )
    for number, (keys, reading, writing) in enumerate(steps):
        headrace.write("settings.yaml", configmap(proxy_body_size="0", hsts_max_age=str(number), **keys))
        headrace.until(lambda number=number: hsts_age(headrace) == number)
        assert statuses(headrace, "GET") == reading, keys
        assert statuses(headrace, "POST") == writing, keys
    assert headrace.get("http://app.test/", method="POST", body=b"x" * (2 * MEGABYTE)).status == 200
    (headrace.manifests / "settings.yaml").unlink()
    headrace.until(lambda: hsts_age(headrace) == 31_536_000, message="the defaults did not come back")


def hsts_age(headrace: Headrace) -> int:
    header = headrace.get("https://app.test/").headers["strict-transport-security"]
    return int(header.partition(";")[0].removeprefix("max-age="))


def test_a_wrong_value_costs_its_own_key_and_nothing_else(run: Run, objects: list[Object]) -> None:
    wrong = {
        "proxy_body_size": "1m; }",
        "ssl_ciphers": "A;B",
        "proxy_next_upstream": "error sometimes",
        "proxy_real_ip_cidr": "10.0.0.0/33",
        "gzip_level": "99",
        "use_http2": "yes",
        "large_client_header_buffers": "many",
        "forwarded_for_header": "X-Bad Name",
        "access_log_path": "/etc/passwd",
        "ssl_protocols": "SSLv2",
    }
    headrace = run(*objects, configmap(hsts_max_age="7", proxy_body_sise="1k", **wrong), flags=CONFIGMAP)
    assert hsts_age(headrace) == 7
    assert announced(headrace, MEGABYTE + 1) == b"413"
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    told = [finding for finding in report if finding["object"]["kind"] == "ConfigMap"]
    named = {key for key in wrong if any(key.replace("_", "-") in finding["field"] for finding in told)}
    assert named == set(wrong)
    (typo,) = [finding for finding in told if finding["code"] == "configmap-key-unknown"]
    assert "proxy-body-size" in typo["hint"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_unknown_hosts_answer_the_health_path(plain: Headrace, scheme: str) -> None:
    answer = plain.get(f"{scheme}://unknown.test/healthz")
    assert answer.status == 200
    assert plain.get(f"{scheme}://unknown.test/healthzz").status == 404
    assert plain.get(f"{scheme}://app.test/healthz").backend == "one"


def test_the_health_path_can_be_moved_and_a_route_of_that_name_wins(run: Run, objects: list[Object]) -> None:
    hostless = ingress("hostless", ("", "/healthz", "Prefix", "one"))
    headrace = run(*objects, hostless, flags=("--health-check-path", "/up"))
    assert headrace.get("http://unknown.test/up").status == 200
    assert headrace.get("http://unknown.test/healthz").backend == "one"
    assert headrace.get("http://app.test/up").backend == "one"
