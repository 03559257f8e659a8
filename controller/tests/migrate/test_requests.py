"""Which requests are made from which rules, and paths for expressions."""

from __future__ import annotations

from typing import Any

import pytest

from controller.explain.pcre import compile_pcre
from controller.k8s.codec import decode_document
from controller.k8s.ingress import Ingress
from controller.migrate.requests import Request, Wanted, requests_of
from controller.migrate.samples import sample_of
from controller.model.options import Options
from controller.model.refs import Kind
from controller.state.snapshot import Snapshot
from controller.tests.live.objects import ingress
from controller.translate.translator import translate

PREFIX = "nginx.ingress.kubernetes.io"


def made(*objects: dict[str, Any], wanted: Wanted | None = None) -> tuple[Request, ...]:
    found = {}
    for each in objects:
        decoded = decode_document(Kind.INGRESS, each)
        assert isinstance(decoded.object, Ingress), decoded.finding
        found[decoded.key] = decoded.object
    configuration = translate(Snapshot(ingresses=found), Options(manifests=True), now=0).configuration
    return requests_of(found, configuration, PREFIX, wanted or Wanted(("http",)))


def lines(requests: tuple[Request, ...]) -> set[str]:
    return {str(request) for request in requests}


def test_each_path_is_asked_from_all_sides() -> None:
    assert lines(made(ingress("web", ("web.test", "/cart", "Prefix", "web")))) == {
        "GET http://web.test/",
        "HEAD http://web.test/",
        "GET http://web.test/headrace-migrate/no-such-path",
        "GET http://web.test/cart",
        "GET http://web.test/cart?a=1&b=%20",
        "GET http://web.test/cart/headrace-migrate",
        "GET http://web.test/cart/",
        "GET http://web.test/cartx",
    }


def test_both_schemes_and_headers_of_ones_own() -> None:
    wanted = Wanted(headers=(("X-A", "b"),), include=("web.test/",))
    found = made(ingress("web", ("web.test", "/", "Prefix", "web")), wanted=wanted)
    assert {request.scheme for request in found} == {"http", "https"}
    assert all(request.headers == (("X-A", "b"),) for request in found)


def test_nothing_is_asked_twice() -> None:
    rules = [("web.test", "/", "Prefix", "web"), ("web.test", "/a", "Prefix", "web")]
    found = made(ingress("one", *rules), ingress("two", *rules))
    assert len(lines(found)) == len(found)


def test_only_get_head_and_options() -> None:
    cors = {"enable-cors": "true", "canary": "true", "canary-by-header": "X-C", "canary-by-cookie": "c"}
    found = made(ingress("web", ("web.test", "/", "Prefix", "web"), annotations=cors))
    assert {request.method for request in found} == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    ("origins", "asked"),
    [
        ("", "https://example.com"),
        ("*", "https://example.com"),
        ("https://a.test, https://b.test", "https://a.test"),
        ("https://*.a.test:8443", "https://headrace-migrate.a.test:8443"),
        ("null", "https://example.com"),
    ],
)
def test_preflights_of_an_origin_of_the_list_and_of_another(origins: str, asked: str) -> None:
    annotations = {"enable-cors": "true", "cors-allow-origin": origins}
    found = made(ingress("web", ("web.test", "/", "Prefix", "web"), annotations=annotations))
    sent = {dict(request.headers).get("Origin") for request in found if request.method == "OPTIONS"}
    assert sent == {asked, "https://stranger.invalid"}


def test_canaries_by_header_and_by_cookie() -> None:
    by = {"canary": "true", "canary-by-header": "X-Canary", "canary-by-header-value": "yes", "canary-by-cookie": "c"}
    found = made(ingress("web", ("web.test", "/", "Prefix", "web"), annotations=by))
    sent = {pair for request in found for pair in request.headers}
    assert sent == {("X-Canary", "yes"), ("X-Canary", "never"), ("Cookie", "c=always"), ("Cookie", "c=never")}


def test_names_that_could_end_a_header_are_not_sent() -> None:
    by = {"canary": "true", "canary-by-header": "X: y\r\nHost: evil", "canary-by-header-value": "a\r\nb"}
    found = made(ingress("web", ("web.test", "/", "Prefix", "web"), annotations=by))
    assert all(not request.headers for request in found)


def test_aliases_siblings_wildcards_and_no_host() -> None:
    more = {"server-alias": "b.test, ~^c", "from-to-www-redirect": "true"}
    found = made(
        ingress("a", ("a.test", "/", "Prefix", "web"), annotations=more),
        ingress("w", ("*.w.test", "/", "Prefix", "web")),
        ingress("n", ("", "/", "Prefix", "web")),
    )  # fmt: skip
    assert {request.host for request in found} == {
        "a.test", "b.test", "www.a.test", "headrace-migrate.w.test", "headrace-migrate.invalid",
    }  # fmt: skip


def test_a_path_of_any_script_is_escaped() -> None:
    found = made(ingress("web", ("web.test", "/größe", "Prefix", "web")))
    assert "GET http://web.test/gr%C3%B6%C3%9Fe" in lines(found)
    assert all(request.target.isascii() and " " not in request.target for request in found)


def test_an_expression_that_nobody_can_guess_is_left_out() -> None:
    annotations = {"use-regex": "true"}
    rule = ("web.test", "/(?<=x)y(?C1)", "ImplementationSpecific", "web")
    found = made(ingress("web", rule, annotations=annotations))
    assert {request.target for request in found} == {"/", "/headrace-migrate/no-such-path"}


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("/api(/|$)(.*)", "/api/x"),
        ("/v[0-9]+/x", "/v0/x"),
        (r"/a\.b/[^/]+$", "/a.b/x"),
        ("/(foo|bar)/(?P<n>\\d{2,4})", "/foo/11"),
        ("/(?!admin)(.*)", "/x"),
        ("/x{3}", "/xxx"),
        ("/", "/"),
    ],
)
def test_samples(expression: str, path: str) -> None:
    assert sample_of(expression) == path
    assert compile_pcre(expression).match(path.encode())


@pytest.mark.parametrize("expression", ["/(", "(a)", "/a{9999999}", "/[", "/\\Qa", "", "/(?=b)a"])
def test_no_sample_is_better_than_a_wrong_one(expression: str) -> None:
    assert sample_of(expression) is None
