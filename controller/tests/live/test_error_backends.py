"""Which Service gives the error pages, who intercepts, and the keys of the ConfigMap about both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.conftest import Run
from controller.tests.live.error_backends import GLOBAL, MINE, PREFIX, own, refusing, services, told
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, app, configmap, ingress


@pytest.fixture(scope="module")
def pages(backends: Backends) -> Backend:
    return backends.start("pages")


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, pages: Backend) -> Iterator[Headrace]:
    running = run(
        own("global.test", custom_http_errors="404,503,502"),
        own("untouched.test", disable_proxy_intercept_errors="true", **MINE),
        own("odd.test", default_backend="pages", custom_http_errors="404", disable_proxy_intercept_errors="yes"),
        own("missing-backend.test", custom_http_errors="404", default_backend="nowhere"),
        own("slashed.test", custom_http_errors="404", default_backend="default/pages"),
        own("capital.test", custom_http_errors="404", default_backend="Pages"),
        own("empty-backend.test", custom_http_errors="404,500", default_backend="empty"),
        own("refusing-backend.test", custom_http_errors="404", default_backend="refusing"),
        own("empty-untouched.test", "empty", disable_proxy_intercept_errors="true", custom_http_errors="503"),
        *refusing("refusing"),
        *services(backends, pages),
        configmap(hold_deadline="1s"),
        flags=(*CONFIGMAP, *GLOBAL),
    )  # fmt: skip
    yield running


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
