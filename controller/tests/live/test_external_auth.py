"""A service that says who may pass: what it is asked, what its answers do, and that no mistake lets anyone in."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from controller.tests.live.auth_service import COOKIES, AuthService
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.grpc_peers import GrpcServer, call
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import (
    Object,
    app,
    ingress,
    key_pair,
    service,
    slice_at,
    tls_secret,
)
from controller.tests.live.test_basic_auth import credentials, secret, sha
from controller.tests.ports import free_port

pytestmark = pytest.mark.shows("auth-url")

PREFIX = "Prefix"
CHECK = "http://auth.default.svc.cluster.local/check"
SIGN_IN = "https://login.test/oauth2/start"
ANN = {"Cookie": "session=ann"}
BANNED = {"Cookie": "session=banned"}


def guarded(host: str, url: str = CHECK, path: str = "/", backend: str = "app", **annotations: str) -> Object:
    name = host.removesuffix(".test").replace("*", "any")
    written = {"auth-url": url} | {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (host, path, PREFIX, backend), annotations=written)


def headers_map(name: str, **headers: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {key.replace("_", "-"): value for key, value in headers.items()},
    }


CLOSED: dict[str, dict[str, str]] = {
    "no-scheme": {"url": "auth.default/check"},
    "ftp": {"url": "ftp://auth.default/check"},
    "no-host": {"url": "http:///check"},
    "dots": {"url": "http://a..b/check"},
    "blank": {"url": "http://auth.default/a b"},
    "quote": {"url": 'http://auth.default/"; }'},
    "semicolon-brace": {"url": "http://auth.default/#;}\n\nload_module x;"},
    "backslash": {"url": "http://auth.default/\\"},
    "user": {"url": "http://user:secret@auth.default/"},
    "port": {"url": "http://auth.default:99999/"},
    "variable-host": {"url": "http://$arg_host/check"},
    "variable-part": {"url": "http://$host.evil.example/check"},
    "unknown-variable": {"url": "http://auth.default/?x=$cookie_session"},
    "longer-variable": {"url": "http://auth.default/?x=$hostx"},
    "authorization": {"url": "http://auth.default/?x=$http_authorization"},
    "loopback": {"url": "http://127.0.0.1:PORT/check"},
    "localhost": {"url": "http://localhost:PORT/check"},
    "loopback6": {"url": "http://[::1]:PORT/check"},
    "mapped": {"url": "http://[::ffff:127.0.0.1]:PORT/check"},
    "metadata": {"url": "http://169.254.169.254/latest"},
    "link-local": {"url": "http://[fe80::1]/x"},
    "decimal": {"url": "http://2130706433:PORT/"},
    "variable-path": {"url": "https://$host$request_uri"},
    "method": {"auth_method": "get"},
    "method-more": {"auth_method": "GET;}"},
    "methods": {"auth_method": "GET POST"},
    "response-header": {"auth_response_headers": "X-User;x"},
    "response-blank": {"auth_response_headers": "X User"},
    "response-framing": {"auth_response_headers": "X-User, Content-Length"},
    "no-map": {"auth_proxy_set_headers": "nothing-there"},
    "foreign-map": {"auth_proxy_set_headers": "other/extra"},
    "bad-map-name": {"auth_proxy_set_headers": "bad-name"},
    "bad-map-value": {"auth_proxy_set_headers": "bad-value"},
    "bad-map-variable": {"auth_proxy_set_headers": "bad-variable"},
    "framing-map": {"auth_proxy_set_headers": "framing"},
    "redirect": {"auth_request_redirect": "https://x/$y"},
    "redirect-quote": {"auth_request_redirect": '/x"'},
    "always": {"auth_always_set_cookie": "yes"},
    "duration": {"auth_cache_duration": "200 5m!"},
    "duration-order": {"auth_cache_duration": "5m 200"},
    "duration-empty": {"auth_cache_duration": ","},
    "signin": {"auth_signin": "https://x.example.org/ /y"},
    "signin-brace": {"auth_signin": "https://x.example.org/;}{"},
    "signin-variable": {"auth_signin": "https://x.example.org/$nope"},
    "signin-relative": {"auth_signin": "/oauth2/start"},
    "cache-key": {"auth_cache_key": "x;return 418"},
    "cache-variable": {"auth_cache_key": "$pid"},
    "parameter": {"auth_signin": SIGN_IN, "auth_signin_redirect_param": "a b;"},
}

IGNORED: dict[str, dict[str, str]] = {
    "keepalive": {"auth_keepalive": "many"},
    "keepalive-requests": {"auth_keepalive": "2", "auth_keepalive_requests": "1s"},
    "keepalive-timeout": {"auth_keepalive": "2", "auth_keepalive_timeout": "1s"},
    "share-vars": {"auth_keepalive_share_vars": "maybe"},
}


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthService]:
    with AuthService() as running:
        yield running


@pytest.fixture(scope="module")
def peer() -> Iterator[GrpcServer]:
    with GrpcServer("peer") as running:
        yield running


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends, auth: AuthService, peer: GrpcServer) -> Iterator[Headrace]:
    one, two = "http://auth.default.svc", "http://auth.default"
    running = run(
        guarded("plain.test"),
        guarded("svc.test", f"{one}/check"),
        guarded("short.test", f"{two}:80/check"),
        guarded("root.test", two),
        guarded("query.test", f"{two}?from=query"),
        guarded("variables.test", f"{two}/a$uri?u=$escaped_request_uri&$args&h=$host&m=$request_method&n=$namespace"
                "&i=$ingress_name&s=$service_name&x=${scheme}&a=$arg_a"),
        guarded("other-namespace.test", "http://auth.other/check"),
        guarded("method.test", auth_method="POST"),
        guarded("signin.test", auth_signin=SIGN_IN),
        guarded("signin-query.test", auth_signin=f"{SIGN_IN}?rm=GET"),
        guarded("signin-has.test", auth_signin=f"{SIGN_IN}?rd=$escaped_request_uri"),
        guarded("signin-has-url.test", auth_signin=f"{SIGN_IN}?rd=https://$host$request_uri"),
        guarded("signin-param.test", auth_signin=SIGN_IN, auth_signin_redirect_param="next"),
        guarded("signin-uri.test", auth_signin=f"{SIGN_IN}?rd=$uri"),
        guarded("signin-cors.test", auth_signin=SIGN_IN, enable_cors="true"),
        guarded("copied.test", auth_response_headers="X-User, X-Groups,X-Absent,Authorization"),
        guarded("extra.test", auth_proxy_set_headers="default/extra"),
        guarded("extra-own.test", auth_proxy_set_headers="extra"),
        guarded("redirect.test", auth_request_redirect="https://$host/after?x=1"),
        guarded("always.test", auth_always_set_cookie="true"),
        guarded("large.test", f"{two}/large"),
        guarded("large-fits.test", f"{two}/large", proxy_buffer_size="16k"),
        guarded("empty-auth.test", "http://empty.default/check"),
        guarded("refusing-auth.test", "http://refusing.default/check"),
        guarded("unknown-auth.test", "http://nowhere.invalid/check"),
        guarded("reset.test", f"{two}/reset"),
        *(guarded(f"s{code}.test", f"{two}/status/{code}") for code in STATUSES),
        guarded("uncached.test", auth_cache_key="$cookie_session"),
        guarded("cached.test", f"{two}/bare", auth_cache_key="$cookie_session", auth_response_headers="X-User"),
        guarded("cached-uri.test", f"{two}/bare", auth_cache_key="$cookie_session $request_uri"),
        guarded("cached-short.test", f"{two}/bare", auth_cache_key="$cookie_session", auth_cache_duration="200 401 1s"),
        guarded("cached-some.test", f"{two}/bare", auth_cache_key="${cookie_session}", auth_cache_duration="200 1h 1m"),
        guarded("cached-argument.test", f"{two}/bare", auth_cache_key="$arg_user-$http_authorization"),
        guarded("*.cached.test", f"{two}/bare", auth_cache_key="$cookie_session"),
        guarded("constant.test", f"{two}/bare", auth_cache_key="everybody"),
        guarded("any.test", satisfy="any", allowlist_source_range="127.0.0.1"),
        guarded("any-outside.test", satisfy="any", allowlist_source_range="10.0.0.1", auth_signin=SIGN_IN),
        guarded("all-outside.test", allowlist_source_range="10.0.0.1"),
        guarded("both.test", auth_type="basic", auth_secret="users"),
        guarded("either.test", auth_type="basic", auth_secret="users", satisfy="any", auth_signin=SIGN_IN),
        guarded("errors.test", custom_http_errors="403,404,500", default_backend="errors", auth_signin=SIGN_IN),
        guarded("cors.test", enable_cors="true"),
        guarded("away.test", permanent_redirect="https://else.example"),
        guarded("rewritten.test", path="/api", rewrite_target="/"),
        guarded("kept.test", f"{two}/kept", auth_keepalive="2"),
        guarded("unkept.test", f"{two}/unkept", auth_keepalive="0"),
        guarded("once.test", f"{two}/once", auth_keepalive="2", auth_keepalive_requests="0"),
        guarded("no-time.test", f"{two}/no-time", auth_keepalive="2", auth_keepalive_timeout="0"),
        guarded("three.test", f"{two}/three", auth_keepalive="5", auth_keepalive_requests="3",
                auth_keepalive_share_vars="true"),
        guarded("body.test", f"{two}/body"),
        guarded("empty.test", backend="empty"),
        guarded("size.test", proxy_body_size="8m"),
        guarded("grpc.test", backend="peer", backend_protocol="GRPC", auth_response_headers="X-User, X-Groups-Not"),
        service("peer"), slice_at("peer", ("127.0.0.1", peer.port)),
        ingress("own", ("own.test", "/", PREFIX, "app"), tls=[{"hosts": ["own.test"], "secretName": "pair"}],
                annotations={"auth-url": "https://$host/oauth2/auth",
                             "auth-signin": "https://$host/oauth2/start?rd=$escaped_request_uri"}),
        ingress("own-proxy", ("own.test", "/oauth2", PREFIX, "auth"),
                tls=[{"hosts": ["own.test"], "secretName": "pair"}]),
        ingress("own-self", ("own-self.test", "/", PREFIX, "app"), ("own-self.test", "/oauth2", PREFIX, "auth"),
                annotations={"auth-url": "http://$http_host/oauth2/auth?q=$request_uri"}),
        ingress("own-regex", ("own-regex.test", "/a(/|$)(.*)", "ImplementationSpecific", "app"),
                ("own-regex.test", "/login(/|$)(.*)", "ImplementationSpecific", "auth"),
                annotations={"auth-url": "http://$host/login/oauth2/auth", "use-regex": "true",
                             "rewrite-target": "/$2"}),
        ingress("own-nobody", ("own-nobody.test", "/only", PREFIX, "app"),
                annotations={"auth-url": "https://$host/nowhere/auth"}),
        ingress("own-wild", ("*.wild.test", "/", PREFIX, "app"), ("*.wild.test", "/oauth2/", PREFIX, "auth"),
                annotations={"auth-url": "http://$host/oauth2/auth"}),
        ingress("paths", ("paths.test", "/guarded", PREFIX, "app"), annotations={"auth-url": CHECK}),
        ingress("paths-open", ("paths.test", "/", PREFIX, "app")),
        *(guarded(f"{name}.closed.test", settings.get("url", CHECK).replace("PORT", str(auth.port)),
                  **{key: value for key, value in settings.items() if key != "url"})
          for name, settings in CLOSED.items()),
        *(guarded(f"{name}.ignored.test", **settings) for name, settings in IGNORED.items()),
        headers_map("extra", X_Static='a "quoted"; }', X_Uri="$request_uri", Host="extra.example",
                    x_user="$http_x_name"),
        headers_map("bad-name", **{"X:Y": "1"}),
        headers_map("bad-value", X_Y="a\r\nX-Injected: 1"),
        headers_map("bad-variable", X_Y="$pid"),
        headers_map("framing", Content_Length="5"),
        secret("users", auth=f"ann:{sha('pw')}"),
        tls_secret("pair", key_pair("own.test")),
        *app("app", backends.start("app")),
        *app("errors", backends.start("errors")),
        service("auth"), slice_at("auth", ("127.0.0.1", auth.port)),
        service("auth", "other"), slice_at("auth", ("127.0.0.1", auth.port), namespace="other"),
        service("empty"),
        service("refusing"), slice_at("refusing", ("127.0.0.1", free_port())),
    )  # fmt: skip
    yield running


STATUSES = [200, 201, 202, 204, 299, 300, 302, 400, 401, 403, 404, 407, 429, 500, 502, 503, 504]


# -- who passes


@pytest.mark.parametrize(
    "host", ["plain.test", "svc.test", "short.test", "root.test", "query.test", "other-namespace.test"]
)
def test_the_service_decides(headrace: Headrace, auth: AuthService, host: str) -> None:
    assert headrace.get(f"http://{host}/").status == 401
    assert headrace.get(f"http://{host}/", headers=BANNED).status == 403
    answer = headrace.get(f"http://{host}/", headers=ANN)
    assert (answer.status, answer.backend) == (200, "app")


@pytest.mark.parametrize("status", STATUSES)
def test_what_each_status_of_the_service_means(headrace: Headrace, status: int) -> None:
    expected = 200 if status < 300 else status if status in (401, 403) else 500
    answer = headrace.get(f"http://s{status}.test/")
    assert answer.status == expected and (answer.backend == "app") == (expected == 200)


@pytest.mark.parametrize(
    "host", ["empty-auth.test", "refusing-auth.test", "unknown-auth.test", "reset.test", "large.test"]
)
def test_a_service_that_fails_lets_nobody_in(headrace: Headrace, host: str) -> None:
    begun = time.monotonic()
    for method, body in (("GET", None), ("POST", b"content")):
        assert headrace.get(f"http://{host}/", method=method, body=body, headers=ANN).status == 500
    assert time.monotonic() - begun < 3, "a question is not held"


def test_an_answer_with_large_headers_fits_in_larger_buffers(headrace: Headrace) -> None:
    assert headrace.get("http://large-fits.test/", headers=ANN).status == 200


def test_a_challenge_of_the_service_is_passed_on(headrace: Headrace) -> None:
    assert headrace.get("http://plain.test/").headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/guarded", "/guarded/x", "/x/../guarded", "//guarded", "/%67uarded", "/guarded/%2e%2e/guarded"]
)
def test_only_its_paths_are_guarded_and_no_form_goes_around(headrace: Headrace, path: str) -> None:
    assert headrace.get(f"http://paths.test{path}").status == 401
    assert headrace.get("http://paths.test/free").backend == "app"


def test_nobody_gets_to_the_internal_place(headrace: Headrace, auth: AuthService) -> None:
    text = "".join(path.read_text() for path in headrace.directory.rglob("servers/plain.test.conf"))
    place = text.partition("location = ")[2].split()[0]
    assert place.startswith("/_hr_auth_")
    assert headrace.get(f"http://plain.test{place}", headers=ANN).status == 404


# -- the question


def test_what_the_service_is_told(headrace: Headrace, auth: AuthService) -> None:
    answer = headrace.get(
        "http://plain.test/told/a%20b?x=%26&y=1",
        method="POST",
        body=b"content",
        headers={**ANN, "X-Mine": "kept", "X-Forwarded-Proto": "spoofed", "X-Forwarded-Uri": "/spoofed",
                 "X-Forwarded-Host": "spoofed", "X-Forwarded-For": "9.9.9.9", "X-Original-URL": "http://spoofed/",
                 "X-Original-Method": "SPOOFED", "Upgrade": "websocket", "Connection": "upgrade",
                 "X-Request-ID": "given"} | {"Upgrade": "x"},
    )  # fmt: skip
    (asked,) = auth.about("/told/")
    told = asked.headers
    assert (asked.method, asked.target, asked.body) == ("GET", "/check", b"")
    assert told["host"] == "auth.default.svc.cluster.local"
    assert told["x-original-url"] == "http://plain.test/told/a%20b?x=%26&y=1"
    assert told["x-original-method"] == "POST"
    assert told["x-auth-request-redirect"] == "/told/a%20b?x=%26&y=1"
    assert told["x-sent-from"] == "nginx-ingress-controller"
    assert (told["x-real-ip"], told["x-forwarded-for"]) == ("127.0.0.1", "127.0.0.1")
    assert (told["x-mine"], told["cookie"], told["x-forwarded-host"]) == ("kept", "session=ann", "plain.test")
    assert told["x-request-id"] == "given"
    assert not {"x-forwarded-proto", "x-forwarded-uri", "content-length", "transfer-encoding", "upgrade"} & told.keys()
    assert answer.status in (101, 200)


def test_a_chunked_body_is_not_part_of_the_question(headrace: Headrace, auth: AuthService) -> None:
    request = (
        "POST /chunked HTTP/1.1\r\nHost: plain.test\r\nCookie: session=ann\r\nTransfer-Encoding: chunked\r\n"
        "Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert b'"body": "hello"' in headrace.raw(request.encode())
    (asked,) = auth.about("/chunked")
    assert not {"content-length", "transfer-encoding"} & asked.headers.keys() and asked.body == b""


def test_a_body_larger_than_usual_reaches_the_pod(headrace: Headrace) -> None:
    body = b"x" * 3_000_000
    assert headrace.get("http://size.test/", method="POST", body=body).status == 401
    answer = headrace.get("http://size.test/", method="POST", body=body, headers=ANN)
    assert (answer.status, len(answer.json["body"])) == (200, len(body))


@pytest.mark.parametrize(
    ("host", "sent", "target"),
    [
        ("root.test", "/x?y=1", "/"),
        ("query.test", "/x?y=1", "/?from=query"),
        ("plain.test", "/x?y=1", "/check"),
        ("variables.test", "/v%0d%0aX:1/x?a=b%26",
         "/a/v%0d%0aX:1/x?u=%2Fv%250d%250aX%3A1%2Fx%3Fa%3Db%2526&a=b%26&h=variables.test&m=GET&n=default&i=variables"
         "&s=app&x=http&a=b%26"),
    ],
)  # fmt: skip
def test_the_url_of_the_question(headrace: Headrace, auth: AuthService, host: str, sent: str, target: str) -> None:
    mark = f"url-{hash((host, sent))}"
    assert headrace.get(f"http://{host}{sent}", headers={**ANN, "X-Mark": mark}).status == 200
    (asked,) = auth.about(mark)
    assert asked.target == target and "x" not in asked.headers


@pytest.mark.shows("auth-method")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_the_method_of_the_question(headrace: Headrace, auth: AuthService, method: str) -> None:
    assert headrace.get(f"http://method.test/method-{method}-?x=1", method=method, headers=ANN).status == 200
    (asked,) = auth.about(f"/method-{method}-")
    assert (asked.method, asked.headers["x-original-method"]) == ("POST", method)
    assert asked.headers["x-original-uri"] == f"/method-{method}-?x=1" and asked.headers["x-scheme"] == "http"


@pytest.mark.shows("auth-proxy-set-headers")
@pytest.mark.parametrize("host", ["extra.test", "extra-own.test"])
def test_further_headers_of_the_question(headrace: Headrace, auth: AuthService, host: str) -> None:
    assert headrace.get(f"http://{host}/extra-{host}?q=1", headers={**ANN, "X-Name": "n"}).status == 200
    (asked,) = auth.about(f"/extra-{host}")
    assert asked.headers["x-static"] == 'a "quoted"; }'
    assert asked.headers["x-uri"] == f"/extra-{host}?q=1"
    assert (asked.headers["host"], asked.headers["x-user"]) == ("extra.example", "n")


@pytest.mark.shows("auth-request-redirect")
@pytest.mark.parametrize(
    ("host", "told"), [("redirect.test", "https://redirect.test/after?x=1"), ("plain.test", "/redirect-told?y")]
)
def test_where_the_service_shall_send_the_client(headrace: Headrace, auth: AuthService, host: str, told: str) -> None:
    headrace.get(f"http://{host}/redirect-told?y", headers={"X-Mark": f"redirect-{host}"})
    (asked,) = auth.about(f"redirect-{host}")
    assert asked.headers["x-auth-request-redirect"] == told


# -- the answer


@pytest.mark.shows("auth-response-headers")
def test_headers_of_the_answer_replace_those_of_the_client(headrace: Headrace) -> None:
    sent = {
        **ANN,
        "X-User": "root",
        "X-Groups": "wheel",
        "X-Absent": "spoofed",
        "Authorization": "Basic x",
        "X-Kept": "1",
    }
    seen = headrace.get("http://copied.test/", headers=sent).json["headers"]
    assert (seen["x-user"], seen["x-groups"]) == ("ann", "admins, users")
    assert seen["authorization"] == "Bearer token-of-ann" and seen["x-kept"] == "1" and "x-absent" not in seen


@pytest.mark.shows("auth-response-headers")
def test_another_user_gets_other_headers(headrace: Headrace) -> None:
    seen = headrace.get("http://copied.test/", headers={"Cookie": "session=bob", "X-Groups": "wheel"}).json["headers"]
    assert seen["x-user"] == "bob" and "x-groups" not in seen
    assert "x-user" not in headrace.get("http://plain.test/", headers=ANN).json["headers"]


@pytest.mark.shows("auth-always-set-cookie")
@pytest.mark.parametrize(
    ("host", "path", "has_cookies"),
    [
        ("plain.test", "/", True),
        ("plain.test", "/status/201", True),
        ("plain.test", "/status/302", True),
        ("plain.test", "/status/404", False),
        ("plain.test", "/status/500", False),
        ("always.test", "/", True),
        ("always.test", "/status/404", True),
        ("always.test", "/status/500", True),
    ],
)
def test_cookies_of_the_answer(headrace: Headrace, host: str, path: str, has_cookies: bool) -> None:
    assert cookies_of(headrace, host, path, ANN) == (COOKIES if has_cookies else [])


def cookies_of(headrace: Headrace, host: str, path: str, headers: dict[str, str]) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", headrace.http, timeout=5)
    connection.request("GET", path, headers={"Host": host, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.headers.get_all("Set-Cookie") or []


# -- where to sign in


@pytest.mark.shows("auth-signin")
@pytest.mark.parametrize(
    ("host", "sent", "location"),
    [
        ("signin.test", "/?a=b", f"{SIGN_IN}?rd=http://signin.test%2F%3Fa%3Db"),
        ("signin.test", "/", f"{SIGN_IN}?rd=http://signin.test%2F"),
        ("signin.test", "/a%20b/c+d?x=%26&y=(1)!~*'", f"{SIGN_IN}?rd=http://signin.test%2Fa%2520b%2Fc%2Bd%3Fx%3D%2526%26y%3D%281%29%21~%2A%27"),
        ("signin-query.test", "/x", f"{SIGN_IN}?rm=GET&rd=http://signin-query.test%2Fx"),
        ("signin-has.test", "/x?a=b", f"{SIGN_IN}?rd=%2Fx%3Fa%3Db"),
        ("signin-has-url.test", "/x?a=b", f"{SIGN_IN}?rd=https://signin-has-url.test/x?a=b"),
        ("signin-uri.test", "/x%0d%0aSet-Cookie:a=b?a=b", f"{SIGN_IN}?rd=/x%0d%0aSet-Cookie:a=b"),
    ],
)  # fmt: skip
def test_who_is_unknown_is_sent_to_sign_in(headrace: Headrace, host: str, sent: str, location: str) -> None:
    answer = headrace.get(f"http://{host}{sent}")
    assert (answer.status, answer.headers["location"]) == (302, location)


@pytest.mark.shows("auth-signin")
@pytest.mark.parametrize("length", [10, 500, 3_000])
def test_a_long_url_comes_back_as_it_was(headrace: Headrace, length: int) -> None:
    sent = "/" + "?&=%25;:@,(a)/[ü]".replace("ü", "%C3%BC").replace("[", "").replace("]", "") * (length // 18 + 1)
    answer = headrace.get(f"http://signin.test{sent}")
    (wanted,) = parse_qs(urlsplit(answer.headers["location"]).query)["rd"]
    assert wanted == f"http://signin.test{sent}"


@pytest.mark.shows("auth-signin-redirect-param")
def test_the_parameter_has_another_name(headrace: Headrace) -> None:
    answer = headrace.get("http://signin-param.test/x")
    assert answer.headers["location"] == f"{SIGN_IN}?next=http://signin-param.test%2Fx"


@pytest.mark.shows("auth-signin")
def test_the_redirect_has_the_cookies_of_the_service(headrace: Headrace) -> None:
    assert cookies_of(headrace, "signin.test", "/", {}) == COOKIES


@pytest.mark.shows("auth-signin")
def test_who_is_known_and_may_not_is_not_sent_to_sign_in(headrace: Headrace) -> None:
    answer = headrace.get("http://signin.test/", headers=BANNED)
    assert answer.status == 403 and "location" not in answer.headers


@pytest.mark.shows("auth-signin")
def test_a_401_of_the_pod_is_its_own(headrace: Headrace) -> None:
    answer = headrace.get("http://signin.test/status/401", headers=ANN)
    assert (answer.status, answer.backend) == (401, "app")


@pytest.mark.shows("auth-signin")
def test_the_redirect_can_be_read_across_origins(headrace: Headrace) -> None:
    answer = headrace.get("http://signin-cors.test/", headers={"Origin": "https://a.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (302, "*")


# -- the service behind the same host


def test_a_service_on_the_same_host_is_asked_at_its_pods(headrace: Headrace, auth: AuthService) -> None:
    answer = headrace.get("https://own.test/own?x=1")
    assert answer.status == 302
    assert answer.headers["location"] == "https://own.test/oauth2/start?rd=%2Fown%3Fx%3D1"
    (asked,) = auth.about("/own?x=1")
    assert (asked.target, asked.headers["host"]) == ("/oauth2/auth", "own.test")
    assert asked.headers["x-original-url"] == "https://own.test/own?x=1"
    assert headrace.get("https://own.test/own", headers=ANN).backend == "app"
    assert headrace.get("http://own.test/own").status == 308


def test_the_page_to_sign_in_at_needs_no_session(headrace: Headrace, auth: AuthService) -> None:
    before = len(auth.questions)
    assert headrace.get("https://own.test/oauth2/status/202").status == 202
    assert [q.target for q in auth.questions[before:]] == ["/oauth2/status/202"], "and nobody is asked about it"


@pytest.mark.parametrize(
    ("host", "path", "target"),
    [
        ("own-self.test", "/self", "/oauth2/auth?q=/self"),
        ("own-regex.test", "/a/regex", "/oauth2/auth"),
        ("a.wild.test", "/wild", "/oauth2/auth"),
    ],
)
def test_other_forms_of_the_same_host(headrace: Headrace, auth: AuthService, host: str, path: str, target: str) -> None:
    assert headrace.get(f"http://{host}{path}").status == 401
    assert headrace.get(f"http://{host}{path}", headers=ANN).backend == "app"
    asked = auth.about(f"{host}{path}")
    assert [(q.target, q.headers["host"]) for q in asked] == [(target, host)] * 2


def test_a_path_that_nobody_serves_on_the_same_host_closes(headrace: Headrace) -> None:
    assert headrace.get("http://own-nobody.test/only", headers=ANN).status == 503
    told = [line for line in headrace.log.read_text().splitlines() if '"name":"own-nobody"' in line]
    assert any("/nowhere/auth" in line for line in told)


# -- remembered answers


def asked_about(headrace: Headrace, auth: AuthService, *requests: tuple[str, dict[str, str]]) -> list[int]:
    """The statuses of requests; then how many questions there were."""
    before = len(auth.questions)
    statuses = [headrace.get(url, headers=headers).status for url, headers in requests]
    return [*statuses, len(auth.questions) - before]


@pytest.mark.shows("auth-cache-key", "auth-cache-duration")
def test_an_answer_is_remembered_for_its_key(headrace: Headrace, auth: AuthService) -> None:
    carl, dora = (
        ("http://cached.test/a", {"Cookie": "session=carl"}),
        ("http://cached.test/b", {"Cookie": "session=dora"}),
    )
    stranger: tuple[str, dict[str, str]] = ("http://cached.test/c", {})
    asked = asked_about(headrace, auth, carl, carl, dora, stranger, carl, stranger, dora)
    assert asked == [200, 200, 200, 401, 200, 401, 200, 3]
    for user in ("carl", "dora"):
        assert (
            headrace.get("http://cached.test/", headers={"Cookie": f"session={user}"}).json["headers"]["x-user"] == user
        )


@pytest.mark.shows("auth-cache-key")
@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([("http://cached-uri.test/a", "x"), ("http://cached-uri.test/b", "x"), ("http://cached-uri.test/a", "x")], 2),
        ([("http://one.cached.test/", "x"), ("http://two.cached.test/", "x"), ("http://one.cached.test/", "x")], 2),
        ([("http://constant.test/", "x"), ("http://constant.test/", "y")], 1),
        ([("http://cached-argument.test/?user=a", "x"), ("http://cached-argument.test/?user=b", "x"),
          ("http://cached-argument.test/y?user=b", "x")], 2),
    ],
)  # fmt: skip
def test_what_belongs_to_the_key(
    headrace: Headrace, auth: AuthService, requests: list[tuple[str, str]], expected: int
) -> None:
    asked = asked_about(headrace, auth, *((url, {"Cookie": f"session={user}"}) for url, user in requests))
    assert asked == [200] * len(requests) + [expected]


@pytest.mark.shows("auth-cache-key")
def test_an_answer_with_cookies_is_for_one_client_alone(headrace: Headrace, auth: AuthService) -> None:
    assert asked_about(headrace, auth, *[("http://uncached.test/", ANN)] * 3) == [200, 200, 200, 3]


@pytest.mark.shows("auth-cache-duration")
def test_an_answer_is_forgotten_in_time(headrace: Headrace, auth: AuthService) -> None:
    ask = ("http://cached-short.test/", {"Cookie": "session=erin"})
    assert asked_about(headrace, auth, ask, ask) == [200, 200, 1]
    time.sleep(2.1)
    assert asked_about(headrace, auth, ask, ask) == [200, 200, 1]


@pytest.mark.shows("auth-cache-duration")
def test_only_the_listed_answers_are_remembered(headrace: Headrace, auth: AuthService) -> None:
    known = ("http://cached-some.test/", ANN)
    stranger: tuple[str, dict[str, str]] = ("http://cached-some.test/", {})
    assert asked_about(headrace, auth, known, known, stranger, stranger) == [200, 200, 401, 401, 3]


# -- together with others


@pytest.mark.shows("satisfy")
@pytest.mark.parametrize(
    ("host", "stranger", "known"),
    [("any.test", 200, 200), ("any-outside.test", 302, 200), ("all-outside.test", 403, 403)],
)
def test_lists_and_the_service_together(headrace: Headrace, host: str, stranger: int, known: int) -> None:
    assert headrace.get(f"http://{host}/").status == stranger
    assert headrace.get(f"http://{host}/", headers=ANN).status == known


@pytest.mark.shows("satisfy")
def test_password_and_service_together(headrace: Headrace) -> None:
    password = credentials("ann", "pw")
    assert headrace.get("http://both.test/", headers=ANN).status == 401
    assert headrace.get("http://both.test/", headers=password).status == 401
    assert headrace.get("http://both.test/", headers={**ANN, **password}).status == 200
    assert headrace.get("http://either.test/", headers=ANN).status == 200
    assert headrace.get("http://either.test/", headers=password).status == 200
    assert headrace.get("http://either.test/").status == 302


def test_error_pages_leave_the_answers_of_the_service_alone(headrace: Headrace, auth: AuthService) -> None:
    before = len(auth.questions)
    answer = headrace.get("http://errors.test/", headers=BANNED)
    assert (answer.backend, answer.json["headers"]["x-code"]) == ("errors", "403")
    assert headrace.get("http://errors.test/").status == 302
    assert headrace.get("http://errors.test/status/404", headers=ANN).json["headers"]["x-code"] == "404"
    assert len(auth.questions) - before == 3, "one question for each request"


def test_a_preflight_and_a_redirect_ask_nobody(headrace: Headrace, auth: AuthService) -> None:
    before = len(auth.questions)
    assert headrace.get("http://cors.test/", method="OPTIONS", headers={"Origin": "https://a.example"}).status == 204
    assert headrace.get("http://away.test/").status == 301
    assert len(auth.questions) == before


def test_a_rewritten_path_is_guarded_by_what_was_asked_for(headrace: Headrace, auth: AuthService) -> None:
    answer = headrace.get("http://rewritten.test/api", headers=ANN)
    assert (answer.status, answer.json["target"]) == (200, "/")
    assert auth.about("rewritten.test/api")[0].headers["x-auth-request-redirect"] == "/api"


def test_the_log_names_the_route_as_ever(headrace: Headrace) -> None:
    for host in ("plain.test", "own.test"):
        headrace.get(f"https://{host}/logged-{host}", headers=ANN)
        headrace.until(lambda host=host: f"logged-{host}" in headrace.log.read_text())
        (line,) = [line for line in headrace.log.read_text().splitlines() if f"GET /logged-{host}" in line]
        assert "[default-app-80]" in line


def test_a_request_is_counted_for_its_route(headrace: Headrace) -> None:
    assert headrace.get("https://own.test/counted", headers=ANN).backend == "app"

    def counted() -> bool:
        lines = headrace.ask_health("/metrics").body.decode().splitlines()
        return any('ingress="own"' in line and 'service="app"' in line and 'status="200"' in line for line in lines)

    headrace.until(counted)


# -- connections


@pytest.mark.shows("auth-keepalive", "auth-keepalive-requests", "auth-keepalive-timeout", "auth-keepalive-share-vars")
@pytest.mark.parametrize(
    ("host", "at_most", "at_least"),
    [("kept.test", 4, 1), ("plain.test", 4, 0), ("unkept.test", 20, 20), ("once.test", 20, 20),
     ("no-time.test", 20, 20), ("three.test", 14, 7)],
)  # fmt: skip
def test_connections_to_the_service(
    headrace: Headrace, auth: AuthService, host: str, at_most: int, at_least: int
) -> None:
    before = auth.connections
    for _ in range(20):
        assert headrace.get(f"http://{host}/", headers=ANN).status == 200
    assert at_least <= auth.connections - before <= at_most


def test_an_answer_with_a_body_does_no_harm(headrace: Headrace) -> None:
    for _ in range(5):
        assert headrace.get("http://body.test/").status == 401
        assert headrace.get("http://body.test/", headers=ANN).status == 200


# -- a service outside, pods of other kinds, pods that come late


def test_a_service_outside_is_asked_by_https_under_its_name(run: Run, backends: Backends, tmp_path: Path) -> None:
    chain, key = key_pair("localhost")
    (tmp_path / "pair.pem").write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with AuthService(context) as outside:
        running = run(
            guarded("out.test", f"https://localhost:{outside.port}/check?x=$escaped_request_uri"),
            *app("app", backends.start("app")),
            flags=("--allow-local-external-names",),
        )
        running.until(lambda: running.get("http://out.test/").status == 401)
        assert running.get("http://out.test/a?b", headers=ANN).backend == "app"
        asked = outside.questions[-1]
        assert (asked.target, asked.headers["host"]) == ("/check?x=%2Fa%3Fb", f"localhost:{outside.port}")
        assert set(names) == {"localhost"}


def test_a_call_of_grpc_is_guarded_too(headrace: Headrace, auth: AuthService) -> None:
    stranger = call(headrace.https, "grpc.test", "/test.Echo/Tell", "x")
    assert stranger.status == 401 and stranger.texts == []
    answer = call(
        headrace.https, "grpc.test", "/test.Echo/Tell", "x", headers={"cookie": "session=ann", "x-user": "root"}
    )
    assert (answer.status, answer.grpc) == (200, 0)
    told = json.loads(answer.texts[0])
    assert told["x-user"] == "ann" and "x-groups-not" not in told
    asked = auth.about("grpc.test/test.Echo/Tell")
    assert [(q.headers["x-original-method"], q.body) for q in asked] == [("POST", b"")] * 2


def test_a_request_that_waits_for_a_pod_is_asked_about_once(
    headrace: Headrace, auth: AuthService, backends: Backends
) -> None:
    late = guarded("late.test", backend="late", auth_response_headers="X-User", auth_signin=SIGN_IN)
    headrace.write("late.yaml", late, service("late"), slice_at("late", ("127.0.0.1", free_port())))
    headrace.until(lambda: headrace.get("http://late.test/").status == 302)
    pod = backends.start("late")
    timer = threading.Timer(0.7, lambda: headrace.write("late.yaml", late, *app("late", pod)))
    timer.start()
    answer = headrace.get("http://late.test/waits", headers=ANN)
    timer.join()
    assert (answer.status, answer.json["headers"]["x-user"]) == (200, "ann")
    assert len(auth.about("late.test/waits")) == 1


# -- what is wrong


@pytest.mark.shows(
    "auth-method", "auth-response-headers", "auth-proxy-set-headers", "auth-request-redirect",
    "auth-always-set-cookie", "auth-cache-duration", "auth-signin", "auth-signin-redirect-param", "auth-cache-key",
)  # fmt: skip
@pytest.mark.parametrize("name", CLOSED)
def test_what_cannot_be_honoured_closes_the_path_and_is_told(headrace: Headrace, name: str) -> None:
    for headers in ({}, ANN):
        assert headrace.get(f"http://{name}.closed.test/", headers=headers).status == 503
    told = [line for line in headrace.log.read_text().splitlines() if f'"name":"{name}.closed"' in line]
    assert any("annotation-closes-route" in line for line in told)


@pytest.mark.shows("auth-keepalive", "auth-keepalive-requests", "auth-keepalive-timeout", "auth-keepalive-share-vars")
@pytest.mark.parametrize("name", IGNORED)
def test_what_can_let_nobody_in_is_ignored_and_told(headrace: Headrace, name: str) -> None:
    assert headrace.get(f"http://{name}.ignored.test/").status == 401
    assert headrace.get(f"http://{name}.ignored.test/", headers=ANN).status == 200
    told = [line for line in headrace.log.read_text().splitlines() if f'"name":"{name}.ignored"' in line]
    assert any("annotation-invalid" in line for line in told)


def test_a_key_that_is_the_same_for_everybody_is_told(headrace: Headrace) -> None:
    assert any(
        '"name":"constant"' in line and "auth-cache-key" in line for line in headrace.log.read_text().splitlines()
    )
