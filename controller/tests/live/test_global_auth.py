"""A service that is asked about all routes: which routes those are, which are exempt, what a broken setting closes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controller.tests.live.auth_service import COOKIES, AuthService
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_at
from controller.tests.live.test_basic_auth import credentials, secret, sha
from controller.tests.live.test_external_auth import ANN, BANNED, cookies_of

pytestmark = pytest.mark.shows("configmap:global-auth-url", "enable-global-auth")

PREFIX = "Prefix"
SIGN_IN = "https://login.test/start"


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthService]:
    with AuthService() as running:
        yield running


def place(auth: AuthService) -> list[Object]:
    return [service("auth"), slice_at("auth", ("127.0.0.1", auth.port))]


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, auth: AuthService) -> Iterator[Headrace]:
    running = run(
        configmap(
            global_auth_url="http://auth.default.svc.cluster.local/everyone",
            global_auth_method="POST",
            global_auth_signin=SIGN_IN,
            global_auth_signin_redirect_param="next",
            global_auth_response_headers="X-User,X-Groups",
            global_auth_request_redirect="https://$host/after",
            global_auth_always_set_cookie="true",
            no_auth_locations="/.well-known/acme-challenge,/public",
        ),
        ingress("all", ("all.test", "/", PREFIX, "app")),
        ingress("true", ("true.test", "/", PREFIX, "app"), annotations={"enable-global-auth": "true"}),
        ingress("odd", ("odd.test", "/", PREFIX, "app"), annotations={"enable-global-auth": "no"}),
        ingress("exempt", ("exempt.test", "/", PREFIX, "app"), annotations={"enable-global-auth": "false"}),
        ingress("own", ("own.test", "/", PREFIX, "app"), annotations={"auth-url": "http://auth.default/own"}),
        ingress("own-off", ("own-off.test", "/", PREFIX, "app"),
                annotations={"auth-url": "http://auth.default/own", "enable-global-auth": "false"}),
        ingress("own-wrong", ("own-wrong.test", "/", PREFIX, "app"), annotations={"auth-url": "auth.default"}),
        ingress("paths", ("paths.test", "/", PREFIX, "app"), ("paths.test", "/public", PREFIX, "app"),
                ("paths.test", "/.well-known/acme-challenge/x", "Exact", "app")),
        ingress("basic", ("basic.test", "/", PREFIX, "app"),
                annotations={"auth-type": "basic", "auth-secret": "users"}),
        ingress("basic-exempt", ("basic-exempt.test", "/", PREFIX, "app"),
                ("basic-exempt.test", "/public", PREFIX, "app"),
                annotations={"auth-type": "basic", "auth-secret": "users", "enable-global-auth": "false"}),
        ingress("any", ("any.test", "/", PREFIX, "app"),
                annotations={"satisfy": "any", "allowlist-source-range": "127.0.0.1"}),
        ingress("default", ("default.test", "/only", PREFIX, "app"), default="app"),
        secret("users", auth=f"ann:{sha('pw')}"),
        *app("app", backends.start("app")),
        *place(auth),
        flags=CONFIGMAP,
    )  # fmt: skip
    yield running


@pytest.mark.parametrize("host", ["all.test", "true.test", "odd.test", "paths.test", "default.test"])
def test_every_route_is_guarded(headrace: Headrace, host: str) -> None:
    assert headrace.get(f"http://{host}/").status == 302
    assert headrace.get(f"http://{host}/", headers=BANNED).status == 403
    assert headrace.get(f"http://{host}/", headers=ANN).backend == "app"


def test_an_ingress_can_be_exempt(headrace: Headrace, auth: AuthService) -> None:
    before = len(auth.questions)
    assert headrace.get("http://exempt.test/").backend == "app"
    assert len(auth.questions) == before


@pytest.mark.parametrize("host", ["own.test", "own-off.test"])
def test_a_service_of_its_own_comes_first(headrace: Headrace, auth: AuthService, host: str) -> None:
    assert headrace.get(f"http://{host}/own-first").status == 401
    assert headrace.get(f"http://{host}/own-first", headers=ANN).backend == "app"
    assert {q.target for q in auth.about(f"{host}/own-first")} == {"/own"}


def test_a_wrong_service_of_its_own_closes(headrace: Headrace) -> None:
    assert headrace.get("http://own-wrong.test/", headers=ANN).status == 503


@pytest.mark.shows("configmap:no-auth-locations")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/public", 200),
        ("/public/x", 200),
        ("/.well-known/acme-challenge/x", 200),
        ("/.well-known/acme-challenge/y", 302),
        ("/publicity", 302),
        ("/public/../x", 302),
        ("/public/%2e%2e/x", 302),
        ("//public/../x", 302),
        ("/public..;/x", 302),
        ("/x/public", 302),
    ],
)
def test_paths_that_are_exempt(headrace: Headrace, path: str, status: int) -> None:
    assert headrace.get(f"http://paths.test{path}").status == status


@pytest.mark.shows("configmap:no-auth-locations")
def test_exempt_paths_need_no_password_either(headrace: Headrace) -> None:
    assert headrace.get("http://basic-exempt.test/public").status == 200
    assert headrace.get("http://basic-exempt.test/").status == 401


@pytest.mark.shows(
    "configmap:global-auth-method", "configmap:global-auth-request-redirect", "configmap:global-auth-response-headers"
)
def test_the_question_and_its_answer(headrace: Headrace, auth: AuthService) -> None:
    seen = headrace.get("http://all.test/question?x", headers={**ANN, "X-User": "root", "X-Groups": "wheel"}).json
    assert (seen["headers"]["x-user"], seen["headers"]["x-groups"]) == ("ann", "admins, users")
    (asked,) = auth.about("/question?x")
    assert (asked.method, asked.target) == ("POST", "/everyone")
    assert asked.headers["x-auth-request-redirect"] == "https://all.test/after"
    assert asked.headers["x-original-uri"] == "/question?x"


@pytest.mark.shows("configmap:global-auth-signin", "configmap:global-auth-signin-redirect-param")
def test_where_to_sign_in(headrace: Headrace) -> None:
    answer = headrace.get("http://all.test/x?a=b")
    assert answer.headers["location"] == f"{SIGN_IN}?next=http://all.test%2Fx%3Fa%3Db"


@pytest.mark.shows("configmap:global-auth-always-set-cookie")
@pytest.mark.parametrize("path", ["/", "/status/404", "/status/500"])
def test_cookies_of_the_service(headrace: Headrace, path: str) -> None:
    assert cookies_of(headrace, "all.test", path, ANN) == COOKIES


def test_password_and_service_together(headrace: Headrace) -> None:
    password = credentials("ann", "pw")
    assert headrace.get("http://basic.test/", headers=ANN).status == 302
    assert headrace.get("http://basic.test/", headers=password).status == 302
    assert headrace.get("http://basic.test/", headers={**ANN, **password}).status == 200


@pytest.mark.shows("satisfy")
def test_an_address_can_be_enough(headrace: Headrace) -> None:
    assert headrace.get("http://any.test/").status == 200


BROKEN = {
    "no-url": {"global_auth_url": "auth.default.svc/x"},
    "variable": {"global_auth_url": "http://$arg_x/"},
    "loopback": {"global_auth_url": "http://127.0.0.1/"},
    "method": {"global_auth_url": "http://auth.default/x", "global_auth_method": "get"},
    "headers": {"global_auth_url": "http://auth.default/x", "global_auth_response_headers": "X User"},
    "own-host": {"global_auth_url": "http://$host/oauth2/auth"},
}


@pytest.mark.shows("configmap:global-auth-method", "configmap:global-auth-response-headers")
@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_honoured_closes_all_but_the_exempt(
    run: Run, backends: Backends, auth: AuthService, name: str
) -> None:
    running = run(
        configmap(**BROKEN[name]),
        ingress("all", ("all.test", "/only", PREFIX, "app")),
        ingress("exempt", ("exempt.test", "/", PREFIX, "app"), annotations={"enable-global-auth": "false"}),
        ingress("own", ("own.test", "/", PREFIX, "app"), annotations={"auth-url": "http://auth.default/own"}),
        *app("app", backends.start("app")),
        *place(auth),
        flags=CONFIGMAP,
    )
    assert running.get("http://all.test/only", headers=ANN).status == 503
    assert running.get("http://exempt.test/").backend == "app"
    assert running.get("http://own.test/").status == 401
    assert running.get("http://own.test/", headers=ANN).backend == "app"
    told = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    assert any("error" in str(line.get("severity", line.get("level"))).lower() and "503" in str(line) for line in told)
    running.stop()


@pytest.mark.shows(
    "configmap:global-auth-cache-key", "configmap:global-auth-cache-duration", "configmap:global-auth-signin"
)
def test_answers_are_remembered_and_what_can_let_nobody_in_is_ignored(
    run: Run, backends: Backends, auth: AuthService
) -> None:
    settings = {
        "global_auth_url": "http://$host/login/bare",
        "global_auth_signin": "https://x/ y",
        "global_auth_cache_key": "$cookie_session",
        "global_auth_cache_duration": "200 1h",
    }
    objects = (
        ingress("all", ("all.test", "/", PREFIX, "app")),
        ingress("login", ("all.test", "/login", PREFIX, "auth"), annotations={"enable-global-auth": "false"}),
        *app("app", backends.start("app")),
        *place(auth),
    )
    running = run(configmap(**settings), *objects, flags=CONFIGMAP)
    before = len(auth.questions)
    assert [running.get("http://all.test/", headers=ANN).status for _ in range(3)] == [200] * 3
    assert [running.get("http://all.test/").status for _ in range(2)] == [401] * 2
    assert len(auth.questions) - before == 3
    assert running.get("http://all.test/login/status/200").status == 200
    running.write("objects.yaml", configmap(global_auth_cache_duration="soon"), *objects)
    running.until(lambda: running.get("http://all.test/").backend == "app")
