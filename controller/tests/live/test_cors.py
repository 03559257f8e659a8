"""Cross-origin requests as browsers make them: who is let in, what a preflight meets, and where the headers stand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_at
from controller.tests.ports import free_port

PREFIX = "Prefix"
ALLOWED = "https://app.example"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-mine"}
METHODS = "GET, PUT, POST, DELETE, PATCH, OPTIONS"
HEADERS = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"

LISTED = (
    "https://app.example, https://*.wild.example:8443,http://plain.example:3000,null,"
    "capacitor://localhost, bare.example,,https://UPPER.example"
)


def cors(host: str, service: str = "one", namespace: str = "default", **annotations: str) -> Object:
    written = {"enable-cors": "true"} | {key.replace("_", "-"): value for key, value in annotations.items()}
    written = {"headrace.dev/hold" if key == "hold" else key: value for key, value in written.items()}
    name = host.replace("*", "any").removesuffix(".test")
    return ingress(name, (host, "/", PREFIX, service), annotations=written, namespace=namespace)


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    closed = cors("closed.test", cors_allow_origin=ALLOWED, allowlist_source_range="nobody")
    redirected = cors("tls.test", cors_allow_origin=ALLOWED)
    redirected["spec"]["tls"] = [{"hosts": ["tls.test"]}]
    running = run(
        cors("open.test"),
        cors("listed.test", cors_allow_origin=LISTED),
        cors("off.test", enable_cors="false", cors_allow_origin=ALLOWED),
        cors("yes.test", enable_cors="yes"),
        cors("capital.test", enable_cors="True"),
        cors("star.test", cors_allow_origin="https://app.example, *"),
        cors("commas.test", cors_allow_origin=" , ,"),
        cors("bare.test", cors_allow_origin="app.example"),
        cors("broken.test", cors_allow_origin='https://app.example", "evil'),
        cors("variable.test", cors_allow_origin="https://$host"),
        cors("star-inside.test", cors_allow_origin="https://app.*.example"),
        cors("own.test", cors_allow_origin=ALLOWED, cors_allow_methods="GET, PROPFIND", cors_allow_headers="X-A, x_b",
             cors_expose_headers="X-C, *", cors_allow_credentials="false", cors_max_age="600"),
        cors("odd.test", cors_allow_methods="GET;", cors_allow_headers="*", cors_expose_headers="a:b",
             cors_allow_credentials="maybe", cors_max_age="1h"),
        cors("negative.test", cors_max_age="-1"),
        cors("denied.test", cors_allow_origin=ALLOWED, allowlist_source_range="10.9.9.9"),
        cors("missing.test", "nowhere", cors_allow_origin=ALLOWED),
        cors("empty.test", "empty", cors_allow_origin=ALLOWED),
        cors("refusing.test", "refusing", cors_allow_origin=ALLOWED),
        cors("unheld.test", "refusing", cors_allow_origin=ALLOWED, backend_protocol="HTTPS", hold="false"),
        cors("away.test", permanent_redirect="https://else.example"),
        cors("rewritten.test", cors_allow_origin=ALLOWED, rewrite_target="/new"),
        closed,
        redirected,
        ingress("shared-a", ("shared.test", "/a", PREFIX, "one"), annotations={"enable-cors": "true"}),
        ingress("shared-b", ("shared.test", "/b", PREFIX, "one")),
        *app("one", backends.start("one")),
        service("empty"),
        service("refusing"),
        slice_at("refusing", ("127.0.0.1", free_port())),
        configmap(hold_deadline="1s"),
        flags=CONFIGMAP,
    )  # fmt: skip
    yield running


def ask(headrace: Headrace, host: str, origin: str | None = ALLOWED, path: str = "/", method: str = "GET") -> Answer:
    more = PREFLIGHT if method == "OPTIONS" else {}
    sent = {**({} if origin is None else {"Origin": origin}), **more}
    return headrace.get(f"http://{host}{path}", method=method, headers=sent)


def cors_of(answer: Answer) -> dict[str, str]:
    """The headers of cross-origin requests, without the beginning that all have."""
    beginning = "access-control-"
    return {k.removeprefix(beginning): v for k, v in answer.headers.items() if k.startswith(beginning)}


# -- who is let in


@pytest.mark.shows("enable-cors", "cors-allow-origin")
@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "HTTPS://APP.example",
        "https://a.wild.example:8443",
        "https://x-1.WILD.example:8443",
        "http://plain.example:3000",
        "null",
        "capacitor://localhost",
        "https://upper.example",
    ],
)
def test_a_listed_origin_is_echoed_as_it_was_sent(headrace: Headrace, origin: str) -> None:
    answer = ask(headrace, "listed.test", origin)
    assert answer.backend == "one"
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["vary"] == "Origin"
    preflight = ask(headrace, "listed.test", origin, method="OPTIONS")
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, origin)


@pytest.mark.shows("enable-cors", "cors-allow-origin")
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "http://app.example",
        "https://app.example:443",
        "https://app.example.evil.example",
        "https://evil-app.example",
        "https://evil.example/https://app.example",
        "https://appxexample",
        "https://wild.example:8443",
        "https://a.b.wild.example:8443",
        "https://.wild.example:8443",
        "https://evil.example.wild.example:8443",
        "https://a_b.wild.example:8443",
        "https://a.wild.example",
        "https://a.wild.example:84433",
        "http://plain.example",
        "https://x.null",
        "nullnull",
        "https://bare.example",
        "bare.example",
        "capacitor://localhost.evil.example",
        "*",
        "https://a.wild.example:8443 https://evil.example",
    ],
)
def test_another_origin_gets_no_header_and_its_request_is_served(headrace: Headrace, origin: str | None) -> None:
    answer = ask(headrace, "listed.test", origin)
    assert answer.backend == "one" and not cors_of(answer)
    assert answer.headers["vary"] == "Origin", "a cache must not give this answer to those who are let in"
    passed_on = ask(headrace, "listed.test", origin, method="OPTIONS")
    assert (passed_on.status, passed_on.json["method"]) == (200, "OPTIONS")


@pytest.mark.shows("enable-cors", "cors-allow-origin")
@pytest.mark.parametrize("host", ["open.test", "star.test", "commas.test", "capital.test"])
@pytest.mark.parametrize("origin", [None, "https://whoever.example", "null"])
def test_without_a_list_or_with_a_star_everyone_is_let_in(headrace: Headrace, host: str, origin: str | None) -> None:
    answer = ask(headrace, host, origin)
    assert answer.headers["access-control-allow-origin"] == "*" and "vary" not in answer.headers
    assert ask(headrace, host, origin, method="OPTIONS").status == 204


@pytest.mark.shows("enable-cors", "cors-allow-origin")
@pytest.mark.parametrize(
    "host", ["off.test", "yes.test", "bare.test", "broken.test", "variable.test", "star-inside.test"]
)
@pytest.mark.parametrize("origin", [ALLOWED, "https://$host", "app.example"])
def test_switched_off_or_wrong_means_no_headers_and_the_route_is_served(
    headrace: Headrace, host: str, origin: str
) -> None:
    answer = ask(headrace, host, origin)
    assert answer.backend == "one" and not cors_of(answer)
    assert ask(headrace, host, origin, method="OPTIONS").json["method"] == "OPTIONS"


def test_the_paths_of_another_ingress_have_none(headrace: Headrace) -> None:
    assert cors_of(ask(headrace, "shared.test", path="/a")) and not cors_of(ask(headrace, "shared.test", path="/b"))


# -- what the headers say


@pytest.mark.shows("cors-allow-methods", "cors-allow-headers", "cors-allow-credentials", "cors-max-age")
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(("host", "origin"), [("open.test", "*"), ("listed.test", ALLOWED)])
def test_what_is_said_where_nothing_is_chosen(headrace: Headrace, host: str, origin: str, method: str) -> None:
    assert cors_of(ask(headrace, host, method=method)) == {
        "allow-origin": origin,
        "allow-credentials": "true",
        "allow-methods": METHODS,
        "allow-headers": HEADERS,
        "max-age": "1728000",
    }


@pytest.mark.shows(
    "cors-allow-methods", "cors-allow-headers", "cors-expose-headers", "cors-allow-credentials", "cors-max-age"
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_what_is_chosen_is_said_as_it_is(headrace: Headrace, method: str) -> None:
    assert cors_of(ask(headrace, "own.test", method=method)) == {
        "allow-origin": ALLOWED,
        "allow-methods": "GET, PROPFIND",
        "allow-headers": "X-A, x_b",
        "expose-headers": "X-C, *",
        "max-age": "600",
    }


@pytest.mark.shows(
    "cors-allow-methods", "cors-allow-headers", "cors-expose-headers", "cors-allow-credentials", "cors-max-age"
)
@pytest.mark.parametrize(
    ("header", "usual"),
    [
        ("allow-methods", METHODS),
        ("allow-headers", HEADERS),
        ("expose-headers", None),
        ("allow-credentials", "true"),
        ("max-age", "1728000"),
    ],
)
def test_a_wrong_value_leaves_the_usual_one(headrace: Headrace, header: str, usual: str | None) -> None:
    assert cors_of(ask(headrace, "odd.test")).get(header) == usual


@pytest.mark.shows("cors-max-age")
def test_a_negative_age_is_passed_on(headrace: Headrace) -> None:
    assert ask(headrace, "negative.test").headers["access-control-max-age"] == "-1"


# -- the preflight comes before everything else


@pytest.mark.shows("enable-cors")
def test_a_preflight_has_no_body_and_no_length(headrace: Headrace) -> None:
    request = f"OPTIONS / HTTP/1.1\r\nHost: listed.test\r\nOrigin: {ALLOWED}\r\nConnection: close\r\n\r\n"
    head, _, body = headrace.raw(request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 ") and body == b""
    assert b"content-length" not in head.lower() and b"transfer-encoding" not in head.lower()


@pytest.mark.shows("enable-cors")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("denied.test", 403),
        ("tls.test", 308),
        ("missing.test", 503),
        ("empty.test", 503),
        ("rewritten.test", 200),
    ],
)
def test_a_preflight_is_answered_whatever_the_request_would_meet(headrace: Headrace, host: str, status: int) -> None:
    preflight = ask(headrace, host, method="OPTIONS")
    assert preflight.status == 204 and cors_of(preflight)["allow-origin"] == ALLOWED
    refused = ask(headrace, host, "https://evil.example", method="OPTIONS")
    assert refused.status == status and not cors_of(refused)


@pytest.mark.shows("enable-cors")
def test_a_redirect_comes_before_the_preflight(headrace: Headrace) -> None:
    answer = ask(headrace, "away.test", method="OPTIONS")
    assert (answer.status, answer.headers["location"]) == (301, "https://else.example")


@pytest.mark.shows("enable-cors")
def test_a_route_that_is_closed_answers_no_preflight(headrace: Headrace) -> None:
    answer = ask(headrace, "closed.test", method="OPTIONS")
    assert answer.status == 503 and not cors_of(answer)


# -- errors, and what the pod says itself


@pytest.mark.shows("enable-cors")
@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("listed.test", "/status/401", 401),
        ("listed.test", "/status/404", 404),
        ("listed.test", "/status/500", 500),
        ("listed.test", "/reset", 502),
        ("denied.test", "/", 403),
        ("tls.test", "/", 308),
        ("missing.test", "/", 503),
        ("empty.test", "/", 503),
        ("refusing.test", "/", 502),
        ("unheld.test", "/", 502),
    ],
)
def test_errors_carry_the_headers_too(headrace: Headrace, host: str, path: str, status: int) -> None:
    answer = ask(headrace, host, path=path)
    assert answer.status == status
    assert (answer.headers["access-control-allow-origin"], answer.headers["vary"]) == (ALLOWED, "Origin")
    assert not cors_of(ask(headrace, host, "https://evil.example", path=path))


@pytest.mark.shows("enable-cors")
@pytest.mark.parametrize("origin", [ALLOWED, "https://evil.example"])
def test_what_a_pod_says_about_origins_is_replaced(headrace: Headrace, origin: str) -> None:
    says = "/?" + "&".join(
        f"answer={header}:%20{value}"
        for header, value in (
            ("Access-Control-Allow-Origin", "https://evil.example"),
            ("access-control-allow-credentials", "true"),
            ("Access-Control-Max-Age", "5"),
            ("Access-Control-Expose-Headers", "X-Secret"),
            ("Vary", "Accept"),
        )
    )
    request = f"GET {says} HTTP/1.1\r\nHost: own.test\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
    lines = headrace.raw(request.encode()).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    about = sorted(line for line in lines if line.startswith(b"access-control-"))
    assert b"vary: accept" in lines and b"vary: origin" in lines
    if origin == ALLOWED:
        assert len(about) == 5 and b"access-control-allow-origin: https://app.example" in about
        assert b"access-control-max-age: 600" in about
    else:
        assert about == []


def test_the_rest_of_a_pods_headers_stays(headrace: Headrace) -> None:
    answer = ask(headrace, "listed.test")
    assert answer.headers["x-backend"] == "yes" and "strict-transport-security" not in answer.headers
    assert headrace.get("https://listed.test/").headers["strict-transport-security"].startswith("max-age=31536000")
