"""Error pages by a Service, and the Service that stands in for one without pods: what it is told, what clients get."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_at, slice_of
from controller.tests.ports import free_port

PREFIX = "Prefix"
GLOBAL = ("--default-backend-service", "system/global")
ABOUT = ("x-code", "x-format", "x-original-uri", "x-namespace", "x-ingress-name", "x-service-name", "x-service-port")


def own(
    host: str, backend: str = "app", namespace: str = "default", port: int | str = 80, **annotations: str
) -> Object:
    written = {key.replace("__", "/").replace("_", "-"): value for key, value in annotations.items()}
    written = {key.replace("hr/", "headrace.dev/"): value for key, value in written.items()}
    return ingress(
        host.removesuffix(".test"), (host, "/", PREFIX, backend, port), annotations=written, namespace=namespace
    )


def refusing(name: str) -> list[Object]:
    return [service(name), slice_at(name, ("127.0.0.1", free_port()))]


@pytest.fixture(scope="module")
def pages(backends: Backends) -> Backend:
    return backends.start("pages")


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, pages: Backend) -> Iterator[Headrace]:
    every = "400, 401,403,404,405,413,418,429,494,495,496,497,499,500,502,503,504,"
    mine = {"custom_http_errors": every, "default_backend": "pages"}
    late = own("late.test", "late", default_backend="pages")
    running = run(
        own("pages.test", **mine),
        own("named.test", port="http", **mine),
        own("global.test", custom_http_errors="404,503,502"),
        own("untouched.test", disable_proxy_intercept_errors="true", **mine),
        own("odd.test", default_backend="pages", custom_http_errors="404", disable_proxy_intercept_errors="yes"),
        own("none.test"),
        own("only-backend.test", default_backend="pages"),
        own("missing-backend.test", custom_http_errors="404", default_backend="nowhere"),
        own("slashed.test", custom_http_errors="404", default_backend="default/pages"),
        own("capital.test", custom_http_errors="404", default_backend="Pages"),
        own("empty-backend.test", custom_http_errors="404,500", default_backend="empty"),
        own("refusing-backend.test", custom_http_errors="404", default_backend="refusing"),
        own("low.test", custom_http_errors="304,404", default_backend="pages"),
        own("words.test", custom_http_errors="404;500", default_backend="pages"),
        own("empty.test", "empty", **mine),
        own("empty-global.test", "empty", custom_http_errors="503"),
        own("empty-untouched.test", "empty", disable_proxy_intercept_errors="true", custom_http_errors="503"),
        own("instead.test", "empty", default_backend="pages"),
        own("instead-odd.test", "empty", default_backend="pages", custom_http_errors="404",
            disable_proxy_intercept_errors="true"),
        own("instead-unheld.test", "empty", default_backend="pages", hr__hold="false"),
        own("instead-rewritten.test", "empty", default_backend="pages", rewrite_target="/new"),
        own("instead-https.test", "empty", default_backend="pages", backend_protocol="HTTPS"),
        own("instead-grpc.test", "empty", default_backend="pages", backend_protocol="GRPC"),
        own("instead-fcgi.test", "empty", default_backend="pages", backend_protocol="FCGI"),
        own("error-https.test", "empty", custom_http_errors="503", backend_protocol="HTTPS"),
        own("error-grpc.test", "empty", custom_http_errors="503", backend_protocol="GRPC"),
        own("error-unheld.test", "empty", custom_http_errors="503", backend_protocol="HTTPS", hr__hold="false"),
        own("streamed.test", proxy_request_buffering="off", **mine),
        own("instead-streamed.test", "empty", default_backend="pages", proxy_request_buffering="off"),
        own("error-streamed.test", "empty", proxy_request_buffering="off", **mine),
        own("large-error.test", proxy_body_size="8m", **mine),
        own("large.test", "empty", default_backend="pages", proxy_body_size="8m"),
        own("instead-missing.test", "nowhere", default_backend="pages"),
        own("instead-empty.test", "empty", default_backend="empty"),
        own("instead-port.test", "app", port=81, default_backend="pages"),
        own("refusing.test", "refusing", **mine),
        own("refusing-unheld.test", "refusing", hr__hold="false", **mine),
        own("refusing-instead.test", "refusing", default_backend="pages"),
        own("refusing-404.test", "refusing", custom_http_errors="404", default_backend="pages"),
        own("denied.test", allowlist_source_range="10.9.9.9", **mine),
        own("cors.test", enable_cors="true", custom_headers="headers", **mine),
        own("cors-empty.test", "empty", enable_cors="true", custom_headers="headers", **mine),
        own("denied-large.test", allowlist_source_range="10.9.9.9", proxy_body_size="8m", **mine),
        own("quiet.test", enable_access_log="false", **mine),
        own("vhost.test", upstream_vhost="inner.example", **mine),
        own("slow.test", proxy_read_timeout="1", **mine),
        own("regex.test", use_regex="true", **mine),
        own("tenant.test", namespace="team", **mine),
        own("closed.test", allowlist_source_range="nobody", **mine),
        ingress("half", ("half.test", "/half", PREFIX, "app"),
                annotations={"custom-http-errors": "404", "default-backend": "pages"}),
        own("auth401.test", auth_url="http://auth.default.svc/status/401", **mine),
        own("auth403.test", auth_url="http://auth.default.svc/status/403", **mine),
        own("auth500.test", auth_url="http://auth.default.svc/status/404", **mine),
        own("auth200.test", auth_url="http://auth.default.svc/", **mine),
        own("signin.test", auth_url="http://auth.default.svc/status/401", auth_signin="https://in.example/", **mine),
        *app("auth", backends.start("auth")),
        own("moving.test", "moving", **mine),
        own("moving-global.test", "moving", custom_http_errors="502", default_backend="empty"),
        late,
        service("late"),
        *app("app", backends.start("app")),
        *app("app", backends.start("team"), namespace="team"),
        *app("pages", pages),
        *app("pages", backends.start("team-pages"), namespace="team"),
        *app("global", backends.start("global"), namespace="system"),
        service("empty"),
        *refusing("refusing"),
        *refusing("moving"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "headers", "namespace": "default"},
         "data": {"X-Mine": "1"}},
        configmap(hold_deadline="1s", global_allowed_response_headers="X-Mine", proxy_body_size="1k"),
        flags=(*CONFIGMAP, *GLOBAL),
    )  # fmt: skip
    yield running


def told(answer: Answer) -> dict[str, str]:
    """What the error backend was told about the error."""
    return {name: value for name, value in answer.json["headers"].items() if name in ABOUT}


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


# -- which Service gives the pages


@pytest.mark.shows("custom-http-errors", "default-backend")
@pytest.mark.parametrize("host", ["global.test", "missing-backend.test", "slashed.test", "capital.test"])
def test_without_an_own_service_the_global_one_answers(headrace: Headrace, host: str) -> None:
    answer = headrace.get(f"http://{host}/status/404")
    assert (answer.status, answer.backend) == (200, "global")
    assert (told(answer)["x-code"], told(answer)["x-namespace"]) == ("404", "default")


@pytest.mark.shows("default-backend")
@pytest.mark.parametrize(
    ("host", "path", "code"),
    [
        ("empty-backend.test", "/status/404", "404"),
        ("empty-backend.test", "/status/500", "500"),
        ("refusing-backend.test", "/status/404", "404"),
    ],
)
def test_an_own_service_without_pods_is_replaced_by_the_global_one(
    headrace: Headrace, host: str, path: str, code: str
) -> None:
    answer = headrace.get(f"http://{host}{path}")
    assert (answer.status, answer.backend) == (200, "global") and told(answer)["x-code"] == code


@pytest.mark.shows("disable-proxy-intercept-errors")
@pytest.mark.parametrize("status", [400, 404, 500, 502, 503, 504])
def test_interception_can_be_switched_off(headrace: Headrace, status: int) -> None:
    answer = headrace.get(f"http://untouched.test/status/{status}")
    assert (answer.status, answer.backend) == (status, "app")


@pytest.mark.shows("disable-proxy-intercept-errors")
@pytest.mark.parametrize(
    ("host", "backend"), [("empty-untouched.test", "global"), ("untouched.test", "pages"), ("odd.test", "pages")]
)
def test_what_no_pod_says_is_still_replaced(headrace: Headrace, host: str, backend: str) -> None:
    path = {"untouched.test": "/reset", "odd.test": "/status/404"}.get(host, "/")
    assert headrace.get(f"http://{host}{path}").backend == backend


# -- while there are no pods


@pytest.mark.shows("default-backend")
@pytest.mark.parametrize(
    "host",
    [
        "instead.test",
        "instead-odd.test",
        "instead-unheld.test",
        "instead-missing.test",
        "instead-port.test",
        "instead-https.test",
        "instead-fcgi.test",
        "empty.test",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_the_default_backend_gets_requests_as_they_are(
    headrace: Headrace, pages: Backend, host: str, method: str
) -> None:
    body = b"content" if method == "POST" else None
    mark = f"{host}-{method}"
    begun = time.monotonic()
    answer = headrace.get(f"http://{host}/a%2Fb?x={mark}", method=method, body=body, headers={"Accept": "text/y"})
    assert answer.status == 200 and time.monotonic() - begun < 0.4
    seen = next(request for request in reversed(pages.requests) if mark in str(request["target"]))
    headers = seen["headers"]
    assert isinstance(headers, dict)
    assert (seen["method"], seen["target"], seen["body"]) == (method, f"/a%2Fb?x={mark}", (body or b"").decode())
    assert (headers["x-code"], headers["x-format"], headers["host"]) == ("503", "text/y", host)
    assert headers["x-ingress-name"] == host.removesuffix(".test") and headers["x-namespace"] == "default"
    assert "x-original-uri" not in headers and "x-headrace-default-backend" not in headers


@pytest.mark.shows("default-backend")
@pytest.mark.parametrize(
    ("host", "method", "backend"),
    [
        ("instead-streamed.test", "GET", "pages"),
        ("instead-streamed.test", "POST", None),
        ("instead-grpc.test", "GET", "pages"),
        ("instead-grpc.test", "POST", None),
        ("error-streamed.test", "POST", "pages"),
        ("streamed.test", "POST", "app"),
    ],
)
def test_a_body_that_is_gone_is_not_left_out(headrace: Headrace, host: str, method: str, backend: str | None) -> None:
    answer = headrace.get(f"http://{host}/", method=method, body=b"content" if method == "POST" else None)
    assert (answer.status, answer.backend) == (200 if backend else 503, backend)
    if host == "error-streamed.test":
        assert told(answer)["x-original-uri"] == "/", "that is an error page and not the request itself"


@pytest.mark.shows("default-backend")
def test_a_large_body_comes_along(headrace: Headrace) -> None:
    answer = headrace.get("http://large.test/", method="POST", body=b"x" * 3_000_000)
    assert answer.backend == "pages" and len(answer.json["body"]) == 3_000_000
    page = headrace.get("http://large-error.test/status/404", method="POST", body=b"x" * 3_000_000)
    assert told(page)["x-code"] == "404" and page.json["body"] == ""


@pytest.mark.shows("custom-http-errors")
def test_a_body_that_is_passed_on_as_it_comes_is_no_hindrance(headrace: Headrace) -> None:
    answer = headrace.get("http://streamed.test/status/404", method="POST", body=b"x" * 1000)
    assert answer.backend == "pages" and answer.json["body"] == ""


@pytest.mark.shows("default-backend")
def test_a_rewritten_request_stays_so(headrace: Headrace) -> None:
    assert headrace.get("http://instead-rewritten.test/old?x").json["target"] == "/new?x"


@pytest.mark.shows("default-backend")
@pytest.mark.parametrize("status", [200, 404, 500, 502, 503, 504])
def test_a_pods_own_answer_stays(headrace: Headrace, status: int) -> None:
    answer = headrace.get(f"http://only-backend.test/status/{status}")
    assert (answer.status, answer.backend) == (status, "app")


@pytest.mark.shows("default-backend")
@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_the_answer_of_the_default_backend_is_final(headrace: Headrace, status: int) -> None:
    answer = headrace.get(f"http://instead.test/status/{status}")
    assert (answer.status, answer.backend) == (status, "pages")


@pytest.mark.shows("default-backend")
def test_a_default_backend_without_pods_is_a_503(headrace: Headrace) -> None:
    answer = headrace.get("http://instead-empty.test/")
    assert answer.status == 503 and answer.backend is None


@pytest.mark.shows("default-backend")
def test_pods_that_refuse_are_no_empty_service(headrace: Headrace) -> None:
    answer = headrace.get("http://refusing-instead.test/")
    assert answer.status == 502 and answer.backend is None


@pytest.mark.shows("default-backend")
def test_it_is_not_for_paths_that_nobody_has(headrace: Headrace) -> None:
    answer = headrace.get("http://half.test/none")
    assert (answer.status, answer.backend, answer.json["target"]) == (200, "global", "/none") and not told(answer)


@pytest.mark.shows("default-backend")
def test_pods_that_come_and_go_need_no_reload(headrace: Headrace, backends: Backends) -> None:
    late = backends.start("late")
    assert headrace.get("http://late.test/").backend == "pages"
    reloads = headrace.metric("headrace_reloads_total")
    for _ in range(2):
        headrace.write("late.yaml", slice_of("late", late))
        headrace.until(lambda: headrace.get("http://late.test/").backend == "late")
        assert headrace.get("http://late.test/status/503").backend == "late"
        headrace.write("late.yaml")
        headrace.until(lambda: headrace.get("http://late.test/").backend == "pages")
    assert headrace.metric("headrace_reloads_total") == reloads


# -- the ConfigMap


@pytest.fixture(scope="module")
def everywhere(run: Run, backends: Backends, pages: Backend) -> Iterator[Headrace]:
    running = run(
        own("plain.test"),
        own("own.test", custom_http_errors="500", default_backend="pages"),
        own("touched.test", disable_proxy_intercept_errors="false"),
        own("backend.test", default_backend="pages"),
        own("missing.test", "nowhere"),
        *app("app", backends.start("app")),
        *app("pages", pages),
        *app("global", backends.start("global"), namespace="system"),
        configmap(custom_http_errors="302,404,503", disable_proxy_intercept_errors="true"),
        flags=(*CONFIGMAP, *GLOBAL),
    )
    yield running


@pytest.fixture(scope="module")
def intercepting(run: Run, backends: Backends, pages: Backend) -> Iterator[Headrace]:
    running = run(
        own("plain.test"),
        own("own.test", custom_http_errors="500", default_backend="pages"),
        own("backend.test", default_backend="pages"),
        own("untouched.test", disable_proxy_intercept_errors="true"),
        own("missing.test", "nowhere"),
        ingress("half", ("half.test", "/half", PREFIX, "app")),
        *app("app", backends.start("app")),
        *app("pages", pages),
        *app("global", backends.start("global"), namespace="system"),
        configmap(custom_http_errors="302,404, 499,503", enable_access_log_for_default_backend="true"),
        flags=(*CONFIGMAP, *GLOBAL),
    )
    yield running


@pytest.mark.shows("configmap:custom-http-errors")
@pytest.mark.parametrize(
    ("url", "backend", "code"),
    [
        ("http://plain.test/status/404", "global", "404"),
        ("http://plain.test/status/302", "global", "302"),
        ("http://plain.test/status/503", "global", "503"),
        ("http://plain.test/status/500", "app", None),
        ("http://own.test/status/500", "pages", "500"),
        ("http://own.test/status/404", "app", None),
        ("http://backend.test/status/404", "pages", "404"),
        ("http://untouched.test/status/404", "app", None),
        ("http://missing.test/", "global", "503"),
        ("http://half.test/half/status/404", "global", "404"),
    ],
)
def test_the_key_is_the_default_of_the_annotation(
    intercepting: Headrace, url: str, backend: str, code: str | None
) -> None:
    answer = intercepting.get(url)
    assert answer.backend == backend and told(answer).get("x-code") == code


@pytest.mark.shows("configmap:custom-http-errors")
@pytest.mark.parametrize("url", ["http://unknown.test/status/404", "http://half.test/status/404"])
def test_the_default_backend_has_error_pages_too(intercepting: Headrace, url: str) -> None:
    found = told(intercepting.get(url, headers={"Accept": "text/z"}))
    assert (found["x-code"], found["x-format"], found["x-original-uri"]) == ("404", "text/z", "/status/404")
    if "unknown" in url:
        assert not {"x-namespace", "x-ingress-name", "x-service-name", "x-service-port"} & found.keys()


@pytest.mark.shows("configmap:disable-proxy-intercept-errors")
@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("http://plain.test/status/404", "app"),
        ("http://own.test/status/500", "app"),
        ("http://touched.test/status/404", "global"),
        ("http://missing.test/", "global"),
    ],
)
def test_the_key_switches_interception_off(everywhere: Headrace, url: str, backend: str) -> None:
    assert everywhere.get(url).backend == backend


@pytest.mark.shows("configmap:custom-http-errors", "custom-http-errors")
def test_without_any_service_for_pages_answers_stay_and_it_is_told(run: Run, backends: Backends) -> None:
    running = run(
        own("plain.test"),
        own("own.test", custom_http_errors="404"),
        ingress("half", ("half.test", "/half", PREFIX, "app"), annotations={"default-backend": "pages"}),
        *app("app", backends.start("app")),
        *app("pages", backends.start("pages")),
        configmap(custom_http_errors="404,503"),
        flags=CONFIGMAP,
    )
    for url in ("http://half.test/half/status/404", "http://half.test/none"):
        answer = running.get(url)
        assert answer.backend == "pages" and told(answer)["x-code"] == "404"
    assert running.get("http://unknown.test/").status == 404
    for url in ("http://plain.test/status/404", "http://own.test/status/404"):
        answer = running.get(url)
        assert (answer.status, answer.backend) == (404, "app")
    assert running.log.read_text().count("error-backend-missing") >= 2
