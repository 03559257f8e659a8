"""Headers of a ConfigMap on every answer of an Ingress, whoever made the answer; and what closes the paths instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.model.configuration import Location, MainSettings, MatchKind, PathMatch, Return, Server
from controller.model.features.response_headers import ResponseHeader, ResponseHeaders
from controller.model.layout import Layout, NginxBinary
from controller.render.families import response_headers
from controller.render.part import Context
from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import CONFIGMAP, Object, app, configmap, ingress, service, slice_at
from controller.tests.ports import free_port

pytestmark = pytest.mark.shows("custom-headers", "configmap:global-allowed-response-headers")

PREFIX = "Prefix"
ALLOWED = (
    "X-One, X-Two,X-Dollar, X_Under, Server, Date, Content-Type, Cache-Control, Set-Cookie, X-Backend, bad name,,"
    "Strict-Transport-Security, Content-Length, X-Text, Access-Control-Allow-Origin, Location, X-Long"
)
LITERAL = "$host ${request_uri} $1 100% \\n \\ \"quoted\" 'single' {};#"


def headers(name: str, namespace: str = "default", **data: str) -> Object:
    """A ConfigMap; write `X_One` for the header `X-One`, and `X__Under` for `X_Under`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key.replace("__", "\0").replace("_", "-").replace("\0", "_"): text for key, text in data.items()},
    }


def ours(host: str, reference: str, backend: str = "one", **annotations: str) -> Object:
    written = {"custom-headers": reference} | {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(host.removesuffix(".test"), (host, "/", PREFIX, backend), annotations=written)


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Iterator[Headrace]:
    redirected = ours("tls.test", "plain")
    redirected["spec"]["tls"] = [{"hosts": ["tls.test"]}]
    running = run(
        ours("plain.test", "default/plain"),
        ours("bare.test", "plain"),
        ours("literal.test", "literal"),
        ours("special.test", "special"),
        ours("hsts.test", "hsts"),
        ours("cross.test", "cross", enable_cors="true", cors_allow_origin="https://app.example"),
        ours("empty-map.test", "none"),
        ours("missing-map.test", "default/nowhere"),
        ours("foreign.test", "other/plain"),
        ours("not-allowed.test", "not-allowed"),
        ours("wrong-case.test", "wrong-case"),
        ours("framing.test", "framing"),
        ours("lines.test", "lines"),
        ours("letters.test", "letters"),
        ours("blank.test", "blank"),
        ours("long.test", "long"),
        ours("reference.test", "a/b/c"),
        ours("odd-reference.test", "Default/Plain"),
        ours("empty.test", "plain", "empty"),
        ours("missing.test", "plain", "nowhere"),
        ours("refusing.test", "plain", "refusing"),
        ours("denied.test", "plain", allowlist_source_range="10.9.9.9"),
        ours("away.test", "plain", permanent_redirect="https://else.example/x"),
        redirected,
        ingress("beside", ("plain.test", "/beside", PREFIX, "one")),
        headers("plain", X_One="1", X_Two="two words", X_Backend="replaced", X__Under="u"),
        headers("plain", "other", X_One="1"),
        headers("literal", X_Text=LITERAL, X_Dollar="$"),
        headers("special", Server="mine", Date="Thu, 01 Jan 1970 00:00:00 GMT", Content_Type="text/mine; charset=utf-8",
                Cache_Control="no-store", Set_Cookie="a=b; Path=/", Location="https://mine.example/"),
        headers("hsts", Strict_Transport_Security="max-age=7"),
        headers("cross", Access_Control_Allow_Origin="https://other.example", X_One="1"),
        headers("none"),
        headers("not-allowed", X_One="1", X_Secret="2"),
        headers("wrong-case", x_one="1"),
        headers("framing", Content_Length="5"),
        headers("lines", X_One="1\r\nX-Injected: 1"),
        headers("letters", X_One="caf\u00e9"),
        headers("blank", X_One=""),
        headers("long", X_Long="x" * 5000),
        *app("one", backends.start("one")),
        service("empty"),
        service("refusing"),
        slice_at("refusing", ("127.0.0.1", free_port())),
        configmap(global_allowed_response_headers=ALLOWED, hold_deadline="1s"),
        flags=CONFIGMAP,
    )  # fmt: skip
    yield running


def lines_of(headrace: Headrace, host: str, path: str = "/", tls: str | None = None) -> list[tuple[str, str]]:
    """The headers of an answer line by line, so that one that stands there twice is seen."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nOrigin: https://app.example\r\n\r\n"
    head = headrace.raw(request.encode(), tls=tls).partition(b"\r\n\r\n")[0].decode("latin-1")
    pairs = (line.partition(": ") for line in head.split("\r\n")[1:])
    return [(name.lower(), value) for name, _, value in pairs]


def values_of(headrace: Headrace, host: str, header: str, path: str = "/", tls: str | None = None) -> list[str]:
    return [value for name, value in lines_of(headrace, host, path, tls) if name == header]


@pytest.mark.parametrize("host", ["plain.test", "bare.test"])
@pytest.mark.parametrize(
    ("header", "value"), [("x-one", "1"), ("x-two", "two words"), ("x-backend", "replaced"), ("x_under", "u")]
)
def test_every_entry_is_a_header(headrace: Headrace, host: str, header: str, value: str) -> None:
    assert headrace.get(f"http://{host}/").backend == "one"
    assert values_of(headrace, host, header) == [value]


@pytest.mark.parametrize("says", ["X-One", "x-one", "X-TWO"])
def test_what_the_pod_says_is_replaced(headrace: Headrace, says: str) -> None:
    found = values_of(headrace, "plain.test", says.lower(), f"/?answer={says}:%20pod&answer={says}:%20again")
    assert found == [{"x-one": "1", "x-two": "two words"}[says.lower()]]


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("plain.test", "/status/201", 201),
        ("plain.test", "/status/304", 304),
        ("plain.test", "/status/401", 401),
        ("plain.test", "/status/404", 404),
        ("plain.test", "/status/500", 500),
        ("plain.test", "/reset", 502),
        ("empty.test", "/", 503),
        ("missing.test", "/", 503),
        ("refusing.test", "/", 502),
        ("denied.test", "/", 403),
        ("tls.test", "/", 308),
        ("away.test", "/", 301),
    ],
)
def test_every_status_has_them(headrace: Headrace, host: str, path: str, status: int) -> None:
    assert headrace.get(f"http://{host}{path}").status == status
    assert values_of(headrace, host, "x-one", path) == ["1"]


def test_a_refused_body_has_them(headrace: Headrace) -> None:
    request = b"POST / HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n"
    head = headrace.raw(request, until=b"\r\n\r\n").partition(b"\r\n\r\n")[0]
    assert b" 413 " in head and b"X-One: 1" in head


def test_a_value_is_taken_to_the_letter(headrace: Headrace) -> None:
    assert values_of(headrace, "literal.test", "x-text") == [LITERAL]
    assert values_of(headrace, "literal.test", "x-dollar") == ["$"]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("server", "mine"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("content-type", "text/mine; charset=utf-8"),
        ("cache-control", "no-store"),
        ("set-cookie", "a=b; Path=/"),
        ("location", "https://mine.example/"),
    ],
)
def test_special_headers_are_replaced_too(headrace: Headrace, header: str, value: str) -> None:
    """`Server` and `Date` need the module headers-more, which the nginx of the tests has."""
    says = "/?answer=Cache-Control:%20public&answer=Set-Cookie:%20pod=1&answer=Location:%20/pod"
    assert values_of(headrace, "special.test", header, says) == [value]


@pytest.mark.parametrize(("features", "replaced"), [((), False), (("headers-more",), True)])
def test_without_headers_more_nginx_keeps_what_it_writes_itself(features: tuple[str, ...], replaced: bool) -> None:
    layout = Layout("/s", "/s/run", NginxBinary("nginx", (1, 31, 3), frozenset(features)))
    server = Server("a.test", (), Location(PathMatch(MatchKind.PREFIX, "/"), Return(404), None))
    wanted = ResponseHeaders(
        (ResponseHeader("Date", "never"), ResponseHeader("Server", "mine"), ResponseHeader("X", "1"))
    )
    part = response_headers.render(wanted, Context(MainSettings(), layout, server, {}))
    assert ('more_set_headers "Server: mine";' in part.response) is replaced
    assert 'add_header X "1" always;' in part.response and len(part.response) == (3 if replaced else 1)


def test_nginx_own_pages_keep_their_type(headrace: Headrace) -> None:
    assert values_of(headrace, "special.test", "content-type", "/reset") == ["text/html"]


def test_hsts_is_said_once(headrace: Headrace) -> None:
    assert values_of(headrace, "hsts.test", "strict-transport-security", tls="hsts.test") == ["max-age=7"]
    usual = values_of(headrace, "plain.test", "strict-transport-security", tls="plain.test")
    assert usual == ["max-age=31536000; includeSubDomains"]


def test_cors_keeps_its_own_headers(headrace: Headrace) -> None:
    assert values_of(headrace, "cross.test", "access-control-allow-origin") == ["https://app.example"]
    assert values_of(headrace, "cross.test", "x-one") == ["1"]


def test_other_ingresses_of_the_host_have_none(headrace: Headrace) -> None:
    assert headrace.get("http://plain.test/beside").headers["x-backend"] == "yes"
    assert values_of(headrace, "plain.test", "x-one", "/beside") == []


@pytest.mark.parametrize(
    "host",
    [
        "missing-map.test",
        "foreign.test",
        "not-allowed.test",
        "wrong-case.test",
        "framing.test",
        "lines.test",
        "letters.test",
        "blank.test",
        "long.test",
    ],
)
def test_what_is_not_as_it_should_be_closes_the_paths(headrace: Headrace, host: str) -> None:
    answer = headrace.get(f"http://{host}/")
    assert answer.status == 503 and answer.backend is None
    assert not {"x-one", "x-secret", "x-injected"} & answer.headers.keys()


@pytest.mark.parametrize("host", ["reference.test", "odd-reference.test", "empty-map.test"])
def test_what_names_no_configmap_or_one_without_entries_is_ignored(headrace: Headrace, host: str) -> None:
    answer = headrace.get(f"http://{host}/")
    assert answer.backend == "one" and answer.headers["x-backend"] == "yes"


def test_a_configmap_that_appears_changes_and_goes_takes_effect(headrace: Headrace) -> None:
    def seen() -> str | None:
        return headrace.get("http://missing-map.test/").headers.get("x-one")

    headrace.write("late.yaml", headers("nowhere", X_One="late"))
    headrace.until(lambda: seen() == "late")
    headrace.write("late.yaml", headers("nowhere", X_One="later"))
    headrace.until(lambda: seen() == "later")
    headrace.write("late.yaml")
    headrace.until(lambda: headrace.get("http://missing-map.test/").status == 503)


def test_nothing_is_allowed_by_default(run: Run, backends: Backends) -> None:
    running = run(
        ours("plain.test", "plain"), headers("plain", X_One="1"), *app("one", backends.start("two")), flags=CONFIGMAP
    )
    assert running.get("http://plain.test/").status == 503
