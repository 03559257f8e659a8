"""The Service that stands in while another has no pods: requests as they are, and no answer of a pod is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.error_backends import GLOBAL, MINE, PREFIX, own, refusing, services, told
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, configmap, ingress, service, slice_of


@pytest.fixture(scope="module")
def pages(backends: Backends) -> Backend:
    return backends.start("pages")


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, pages: Backend) -> Iterator[Headrace]:
    running = run(
        own("late.test", "late", default_backend="pages"),
        own("odd.test", default_backend="pages", custom_http_errors="404", disable_proxy_intercept_errors="yes"),
        own("only-backend.test", default_backend="pages"),
        own("empty.test", "empty", **MINE),
        own("instead.test", "empty", default_backend="pages"),
        own("instead-odd.test", "empty", default_backend="pages", custom_http_errors="404",
            disable_proxy_intercept_errors="true"),
        own("instead-unheld.test", "empty", default_backend="pages", hr__hold="false"),
        own("instead-rewritten.test", "empty", default_backend="pages", rewrite_target="/new"),
        own("instead-https.test", "empty", default_backend="pages", backend_protocol="HTTPS"),
        own("instead-grpc.test", "empty", default_backend="pages", backend_protocol="GRPC"),
        own("instead-fcgi.test", "empty", default_backend="pages", backend_protocol="FCGI"),
        own("streamed.test", proxy_request_buffering="off", **MINE),
        own("instead-streamed.test", "empty", default_backend="pages", proxy_request_buffering="off"),
        own("error-streamed.test", "empty", proxy_request_buffering="off", **MINE),
        own("large-error.test", proxy_body_size="8m", **MINE),
        own("large.test", "empty", default_backend="pages", proxy_body_size="8m"),
        own("instead-missing.test", "nowhere", default_backend="pages"),
        own("instead-empty.test", "empty", default_backend="empty"),
        own("instead-port.test", "app", port=81, default_backend="pages"),
        own("refusing-instead.test", "refusing", default_backend="pages"),
        ingress("half", ("half.test", "/half", PREFIX, "app"),
                annotations={"custom-http-errors": "404", "default-backend": "pages"}),
        service("late"),
        *refusing("refusing"),
        *services(backends, pages),
        configmap(hold_deadline="1s", proxy_body_size="1k"),
        flags=(*CONFIGMAP, *GLOBAL),
    )  # fmt: skip
    yield running


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
