"""Error pages by a Service: what it is told, what clients get, and which errors are replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.error_backends import GLOBAL, MINE, own, refusing, services, told
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, app, configmap, service, slice_at, slice_of
from controller.tests.ports import free_port


@pytest.fixture(scope="module")
def pages(backends: Backends) -> Backend:
    return backends.start("pages")


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, pages: Backend) -> Iterator[Headrace]:
    running = run(
        own("pages.test", **MINE),
        own("named.test", port="http", **MINE),
        own("global.test", custom_http_errors="404,503,502"),
        own("untouched.test", disable_proxy_intercept_errors="true", **MINE),
        own("none.test"),
        own("low.test", custom_http_errors="304,404", default_backend="pages"),
        own("words.test", custom_http_errors="404;500", default_backend="pages"),
        own("empty.test", "empty", **MINE),
        own("empty-global.test", "empty", custom_http_errors="503"),
        own("error-https.test", "empty", custom_http_errors="503", backend_protocol="HTTPS"),
        own("error-grpc.test", "empty", custom_http_errors="503", backend_protocol="GRPC"),
        own("error-unheld.test", "empty", custom_http_errors="503", backend_protocol="HTTPS", hr__hold="false"),
        own("large.test", "empty", default_backend="pages", proxy_body_size="8m"),
        own("refusing.test", "refusing", **MINE),
        own("refusing-unheld.test", "refusing", hr__hold="false", **MINE),
        own("refusing-404.test", "refusing", custom_http_errors="404", default_backend="pages"),
        own("denied.test", allowlist_source_range="10.9.9.9", **MINE),
        own("cors.test", enable_cors="true", custom_headers="headers", **MINE),
        own("cors-empty.test", "empty", enable_cors="true", custom_headers="headers", **MINE),
        own("denied-large.test", allowlist_source_range="10.9.9.9", proxy_body_size="8m", **MINE),
        own("quiet.test", enable_access_log="false", **MINE),
        own("vhost.test", upstream_vhost="inner.example", **MINE),
        own("slow.test", proxy_read_timeout="1", **MINE),
        own("regex.test", use_regex="true", **MINE),
        own("tenant.test", namespace="team", **MINE),
        own("closed.test", allowlist_source_range="nobody", **MINE),
        own("auth401.test", auth_url="http://auth.default.svc/status/401", **MINE),
        own("auth403.test", auth_url="http://auth.default.svc/status/403", **MINE),
        own("auth500.test", auth_url="http://auth.default.svc/status/404", **MINE),
        own("auth200.test", auth_url="http://auth.default.svc/", **MINE),
        own("signin.test", auth_url="http://auth.default.svc/status/401", auth_signin="https://in.example/", **MINE),
        own("moving.test", "moving", **MINE),
        own("moving-global.test", "moving", custom_http_errors="502", default_backend="empty"),
        *app("app", backends.start("team"), namespace="team"),
        *app("pages", backends.start("team-pages"), namespace="team"),
        *app("auth", backends.start("auth")),
        *refusing("refusing"),
        *refusing("moving"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "headers", "namespace": "default"},
         "data": {"X-Mine": "1"}},
        *services(backends, pages),
        configmap(hold_deadline="1s", global_allowed_response_headers="X-Mine", proxy_body_size="1k"),
        flags=(*CONFIGMAP, *GLOBAL),
    )  # fmt: skip
    yield running


# -- what the error backend is told


@pytest.mark.shows("custom-http-errors", "default-backend")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 418, 429, 500, 502, 503, 504])
def test_the_error_backend_is_told_everything(headrace: Headrace, status: int) -> None:
    answer = headrace.get(f"http://pages.test/status/{status}?a=b%20c", headers={"Accept": "text/x", "Cookie": "c=d"})
    assert (answer.status, answer.backend) == (200, "pages"), "the client gets the status of the error backend"
    assert told(answer) == {
        "x-code": str(status),
        "x-format": "text/x",
        "x-original-uri": f"/status/{status}?a=b%20c",
        "x-namespace": "default",
        "x-ingress-name": "pages",
        "x-service-name": "app",
        "x-service-port": "80",
    }
    headers = answer.json["headers"]
    assert len(headers["x-request-id"]) == 32
    assert (headers["x-forwarded-for"], headers["host"], headers["cookie"]) == ("127.0.0.1", "pages.test", "c=d")
    assert answer.json["target"] == "/?a=b%20c"


@pytest.mark.shows("custom-http-errors")
def test_the_request_has_one_id_for_both(headrace: Headrace) -> None:
    answer = headrace.get("http://pages.test/status/404", headers={"X-Request-ID": "mine"})
    assert answer.json["headers"]["x-request-id"] == "mine"


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize(("host", "port"), [("named.test", "http"), ("pages.test", "80")])
def test_the_port_is_as_the_ingress_has_it(headrace: Headrace, host: str, port: str) -> None:
    assert told(headrace.get(f"http://{host}/status/404"))["x-service-port"] == port


@pytest.mark.shows("custom-http-errors", "default-backend")
def test_the_service_is_that_of_the_own_namespace(headrace: Headrace) -> None:
    answer = headrace.get("http://tenant.test/status/404")
    assert answer.backend == "team-pages" and told(answer)["x-namespace"] == "team"


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_the_method_is_kept_and_the_body_is_not(headrace: Headrace, pages: Backend, method: str) -> None:
    body = b"content" if method in ("POST", "PUT") else None
    answer = headrace.get(f"http://pages.test/status/404?m={method}", method=method, body=body)
    seen = next(request for request in reversed(pages.requests) if request["target"] == f"/?m={method}")
    assert answer.status == 200 and (seen["method"], seen["body"]) == (method, "")
    headers = seen["headers"]
    assert isinstance(headers, dict) and not {"content-length", "transfer-encoding"} & headers.keys()


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("status", [200, 302, 404, 500, 503, 504])
def test_the_answer_of_the_error_backend_is_final(headrace: Headrace, status: int) -> None:
    answer = headrace.get(f"http://pages.test/status/404?x=/only/pages/{status}")
    assert (answer.status, answer.backend) == (status, "pages")
    assert told(answer)["x-code"] == "404" and answer.headers["x-backend"] == "yes"


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("status", [200, 201, 301, 402, 410, 499, 501])
def test_other_statuses_stay(headrace: Headrace, status: int) -> None:
    answer = headrace.get(f"http://pages.test/status/{status}")
    assert (answer.status, answer.backend) == (status, "app")


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("host", ["none.test", "words.test", "low.test"])
def test_without_a_list_or_with_a_wrong_one_answers_stay(headrace: Headrace, host: str) -> None:
    answer = headrace.get(f"http://{host}/status/404")
    assert (answer.status, answer.backend) == (404, "app")


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("url", ["http://regex.test/status/404", "https://pages.test/status/404"])
def test_it_is_the_same_with_expressions_and_with_tls(headrace: Headrace, url: str) -> None:
    answer = headrace.get(url)
    assert answer.backend == "pages" and told(answer)["x-code"] == "404"


@pytest.mark.shows("custom-http-errors")
def test_the_backend_that_is_told_of_another_host_sees_the_own_one(headrace: Headrace) -> None:
    assert headrace.get("http://vhost.test/").json["headers"]["host"] == "inner.example"
    assert headrace.get("http://vhost.test/status/404").json["headers"]["host"] == "vhost.test"


# -- errors that nginx makes


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize(
    ("host", "path", "code"),
    [
        ("pages.test", "/reset", "502"),
        ("refusing.test", "/", "502"),
        ("refusing-unheld.test", "/", "502"),
        ("slow.test", "/slow/3", "504"),
        ("denied.test", "/", "403"),
        ("untouched.test", "/reset", "502"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_nginx_itself_says_is_replaced(headrace: Headrace, host: str, path: str, code: str, method: str) -> None:
    answer = headrace.get(f"http://{host}{path}?q", method=method, body=b"body" if method == "POST" else None)
    assert (answer.status, answer.backend) == (200, "pages")
    found = told(answer)
    assert (found["x-code"], found["x-original-uri"]) == (code, f"{path}?q")
    assert answer.json["method"] == method


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("error-https.test", "503"),
        ("error-grpc.test", "503"),
        ("error-unheld.test", "503"),
    ],
)
def test_other_protocols_have_error_pages_too(headrace: Headrace, host: str, code: str) -> None:
    answer = headrace.get(f"http://{host}/")
    assert answer.backend == "global" and told(answer)["x-code"] == code


@pytest.mark.shows("custom-http-errors")
def test_an_empty_service_without_a_default_backend_has_an_error_page(headrace: Headrace) -> None:
    answer = headrace.get("http://empty-global.test/x")
    assert (answer.status, answer.backend, answer.json["target"]) == (200, "global", "/")
    assert told(answer)["x-code"] == "503" and told(answer)["x-original-uri"] == "/x"


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("host", ["moving.test", "moving-global.test"])
def test_a_request_that_was_tried_everywhere_has_its_error_page(headrace: Headrace, host: str) -> None:
    """The redirections inside nginx are counted, and a page must not take the one that is too many."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(headrace.get, f"http://{host}/", method="POST", body=b"x")
        while not waiting.done():
            headrace.write("0-moving.yaml", *refusing("moving"))
            time.sleep(0.1)
    assert waiting.result().backend == {"moving.test": "pages", "moving-global.test": "global"}[host]
    assert told(waiting.result())["x-code"] == "502"


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("framing", ["Content-Length: 4000", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large(headrace: Headrace, framing: str) -> None:
    body = "x" * 4000 if "Length" in framing else "fa0\r\n" + "x" * 4000 + "\r\n0\r\n\r\n"
    request = f"POST /large HTTP/1.1\r\nHost: pages.test\r\n{framing}\r\nConnection: close\r\n\r\n{body}"
    answer = headrace.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"x-code": "413"' in answer and b'"body": ""' in answer


@pytest.mark.shows("custom-http-errors")
def test_a_body_that_nobody_has_read_yet_is_no_hindrance(headrace: Headrace) -> None:
    body = "fa0\r\n" + "x" * 4000 + "\r\n0\r\n\r\n"
    head = "POST / HTTP/1.1\r\nHost: denied-large.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = headrace.raw((head + body).encode())
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"x-code": "403"' in answer


@pytest.mark.shows("custom-http-errors")
def test_a_held_request_that_finds_a_pod_has_no_error(headrace: Headrace, backends: Backends) -> None:
    port = free_port()
    headrace.write("fresh.yaml", own("fresh.test", "fresh", custom_http_errors="502,503,404", default_backend="pages"),
                   service("fresh"), slice_at("fresh", ("127.0.0.1", port)))  # fmt: skip
    headrace.until(lambda: headrace.get("http://fresh.test/").backend == "pages")
    fresh = backends.start("fresh")
    headrace.write("fresh-slices.yaml", slice_of("fresh", fresh, suffix="2"))
    headrace.until(lambda: headrace.get("http://fresh.test/").backend == "fresh")
    for _ in range(20):
        answer = headrace.get("http://fresh.test/x")
        assert (answer.status, answer.backend) == (200, "fresh"), "one of the two places refuses all connections"
        assert headrace.get("http://fresh.test/status/404").backend == "pages"


@pytest.mark.shows("custom-http-errors")
def test_a_pods_own_502_is_not_held(headrace: Headrace) -> None:
    begun = time.monotonic()
    for host in ("pages.test", "global.test"):
        assert told(headrace.get(f"http://{host}/status/502"))["x-code"] == "502"
    assert time.monotonic() - begun < 0.4


@pytest.mark.shows("custom-http-errors")
def test_what_is_not_listed_keeps_its_page(headrace: Headrace) -> None:
    answer = headrace.get("http://refusing-404.test/")
    assert answer.status == 502 and b"502 Bad Gateway" in answer.body


@pytest.mark.shows("custom-http-errors", "default-backend")
def test_a_route_that_is_closed_has_no_error_page(headrace: Headrace) -> None:
    answer = headrace.get("http://closed.test/")
    assert answer.status == 503 and answer.backend is None


@pytest.mark.shows("custom-http-errors")
def test_nobody_logs_what_shall_not_be_logged(headrace: Headrace) -> None:
    assert headrace.get("http://quiet.test/status/404?quiet").backend == "pages"
    assert headrace.get("http://pages.test/status/404?loud").backend == "pages"
    headrace.until(lambda: "?loud" in headrace.log.read_text())
    assert "?quiet" not in headrace.log.read_text()


@pytest.mark.shows("custom-http-errors")
@pytest.mark.parametrize("host", ["cors.test", "cors-empty.test"])
def test_error_pages_have_the_headers_that_answers_have(headrace: Headrace, host: str) -> None:
    path = "/status/404?answer=X-Mine:%202&answer=Access-Control-Allow-Origin:%20x"
    answer = headrace.get(f"http://{host}{path}", headers={"Origin": "https://app.example"})
    assert answer.backend == "pages"
    assert (answer.headers["access-control-allow-origin"], answer.headers["x-mine"]) == ("*", "1")
    secure = headrace.get(f"https://{host}{path}")
    assert secure.headers["strict-transport-security"].startswith("max-age=31536000")


def test_a_client_cannot_ask_for_the_internal_places(headrace: Headrace) -> None:
    answer = headrace.get("http://none.test/empty", headers={"X-Headrace-Default-Backend": "1", "X-Code": "404"})
    assert (answer.status, answer.backend) == (200, "app")
    mine = headrace.get("http://none.test/", headers={"X-Code": "404", "X-Format": "mine"}).json["headers"]
    assert (mine["x-code"], mine["x-format"]) == ("404", "mine"), "the pods of all others see what the client sent"
    forged = headrace.get("http://pages.test/status/404", headers={"X-Code": "999", "X-Namespace": "kube-system"})
    assert told(forged)["x-code"] == "404" and told(forged)["x-namespace"] == "default"


@pytest.mark.shows("custom-http-errors", "auth-url")
@pytest.mark.parametrize(
    ("host", "path", "code"),
    [
        ("auth401.test", "/", "401"),
        ("auth403.test", "/", "403"),
        ("auth500.test", "/", "500"),
        ("auth200.test", "/status/404", "404"),
    ],
)
def test_what_an_authentication_service_says_is_judged_before_it_is_replaced(
    headrace: Headrace, pages: Backend, host: str, path: str, code: str
) -> None:
    before = len(pages.requests)
    answer = headrace.get(f"http://{host}{path}")
    assert answer.backend == "pages" and told(answer)["x-code"] == code
    assert len(pages.requests) == before + 1, "the question itself has no error page"


@pytest.mark.shows("custom-http-errors", "auth-signin")
def test_who_shall_sign_in_gets_no_error_page(headrace: Headrace) -> None:
    answer = headrace.get("http://signin.test/")
    assert answer.status == 302 and answer.headers["location"].startswith("https://in.example/")
