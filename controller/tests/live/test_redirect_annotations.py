"""Annotations that send the client elsewhere, and further names of a host."""

from __future__ import annotations

import pytest

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import Object, app, ingress, key_pair, tls_secret

OLD, YOUNG = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


def host(
    name: str, path: str = "/", *, tls: str = "", created: str | None = None, of: str = "", **annotations: str
) -> Object:
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    name_of_host = f"{of or name}.test"
    section = [{"hosts": [name_of_host], "secretName": tls}] if tls else None
    return ingress(name, (name_of_host, path, "Prefix", "one"), annotations=written, tls=section, created=created)


def objects() -> list[Object]:
    return [
        host("perm", permanent_redirect="https://new.test/x?a=b"),
        host("perm-path", permanent_redirect="/new-location"),
        host("perm-relative", permanent_redirect="/new-location", relative_redirects="true"),
        host("perm-port", permanent_redirect="/new-location", use_port_in_redirects="true"),
        host("perm-308", permanent_redirect="https://new.test", permanent_redirect_code="308"),
        host("perm-309", permanent_redirect="https://new.test", permanent_redirect_code="309"),
        host("perm-word", permanent_redirect="https://new.test", permanent_redirect_code="many"),
        host("perm-bad", permanent_redirect="https://new.test/$host"),
        host("perm-part", "/old", permanent_redirect="https://new.test"),
        host("perm-rest", "/", of="perm-part"),
        host("perm-missing", permanent_redirect="https://new.test"),
        host("perm-tls", tls="none", permanent_redirect="https://new.test"),
        host("temp", temporal_redirect="https://other.test/y"),
        host("temp-307", temporal_redirect="https://other.test", temporal_redirect_code="307"),
        host("temp-308", temporal_redirect="https://other.test", temporal_redirect_code="308"),
        host("temp-both", temporal_redirect="https://other.test", permanent_redirect="https://new.test"),
        host("temp-path", temporal_redirect="/here"),
        host("root", app_root="/app"),
        host("root-part", "/part", app_root="/app1"),
        host("root-query", app_root="/app?x"),
        host("root-args", app_root="/app$is_args$args"),
        host("root-url", app_root="https://evil.test/"),
        host("root-slashes", app_root="//evil.test/"),
        host("root-tls", tls="none", app_root="/app"),
        host("root-old", "/a", created=OLD, app_root="/old", of="root-two"),
        host("root-young", "/b", created=YOUNG, app_root="/young", of="root-two"),
        host("bare", from_to_www_redirect="true"),
        host("www.full", from_to_www_redirect="true"),
        host("www.own", from_to_www_redirect="true"),
        host("own"),
        host("no-www", from_to_www_redirect="no"),
        ingress("wild-www", ("*.wild.test", "/", "Prefix", "one"), annotations={"from-to-www-redirect": "true"}),
        host("secure", tls="secure", from_to_www_redirect="true"),
        host("named", server_alias="second.test, Third.test ,*.many.test"),
        host("named-later", server_alias="second.test", created=YOUNG),
        host("taken", server_alias="named.test,free.test"),
        host("regex-alias", server_alias="~^.*$"),
        host("alias-old", "/a", created=OLD, of="two", server_alias="old-alias.test"),
        host("alias-young", "/b", created=YOUNG, of="two", server_alias="young-alias.test"),
        host("alias-tls", tls="secure", server_alias="covered.test,uncovered.test"),
        tls_secret("secure", key_pair("secure.test", "alias-tls.test", "covered.test", "www.secure.test")),
    ]


@pytest.fixture(scope="module")
def headrace(run: Run, backends: Backends) -> Headrace:
    return run(*objects(), *app("one", backends.start("one")))


@pytest.mark.shows(
    "permanent-redirect", "permanent-redirect-code", "temporal-redirect", "temporal-redirect-code",
    "relative-redirects", "use-port-in-redirects",
)  # fmt: skip
@pytest.mark.parametrize(
    ("url", "status", "location"),
    [
        ("http://perm.test/", 301, "https://new.test/x?a=b"),
        ("http://perm.test/deep/path?q=1", 301, "https://new.test/x?a=b"),
        ("http://perm-path.test/a", 301, "http://perm-path.test/new-location"),
        ("http://perm-relative.test/a", 301, "/new-location"),
        ("http://perm-port.test/a", 301, "http://perm-port.test:PORT/new-location"),
        ("http://perm-308.test/", 308, "https://new.test"),
        ("http://perm-309.test/", 301, "https://new.test"),
        ("http://perm-word.test/", 301, "https://new.test"),
        ("http://perm-bad.test/", 200, None),
        ("http://perm-part.test/old/x", 301, "https://new.test"),
        ("http://perm-part.test/else", 200, None),
        ("http://perm-tls.test/", 301, "https://new.test"),
        ("https://perm-tls.test/", 301, "https://new.test"),
        ("http://temp.test/a?b", 302, "https://other.test/y"),
        ("http://temp-307.test/", 307, "https://other.test"),
        ("http://temp-308.test/", 302, "https://other.test"),
        ("http://temp-both.test/", 302, "https://other.test"),
        ("http://temp-path.test/", 200, None),
    ],
)
def test_redirects(headrace: Headrace, url: str, status: int, location: str | None) -> None:
    answer = headrace.get(url)
    expected = location and location.replace("PORT", str(headrace.http))
    assert (answer.status, answer.headers.get("location")) == (status, expected)


@pytest.mark.shows("permanent-redirect")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_method_is_redirected(headrace: Headrace, method: str) -> None:
    assert headrace.get("http://perm.test/", method=method).status == 301


@pytest.mark.shows("app-root")
@pytest.mark.parametrize(
    ("url", "status", "location"),
    [
        ("http://root.test/", 302, "http://root.test/app"),
        ("https://root.test/", 302, "https://root.test/app"),
        ("http://root.test/?a=b", 302, "http://root.test/app"),
        ("http://root.test/app", 200, None),
        ("http://root-part.test/", 302, "http://root-part.test/app1"),
        ("http://root-part.test/part", 200, None),
        ("http://root-query.test/", 200, None),
        ("http://root-args.test/?a=b", 302, "http://root-args.test/app?a=b"),
        ("http://root-args.test/", 302, "http://root-args.test/app"),
        ("http://root-url.test/", 200, None),
        ("http://root-slashes.test/", 200, None),
        ("http://root-tls.test/", 302, "http://root-tls.test/app"),
        ("http://root-two.test/", 302, "http://root-two.test/old"),
    ],
)
def test_the_root_of_a_host(headrace: Headrace, url: str, status: int, location: str | None) -> None:
    answer = headrace.get(url)
    assert (answer.status, answer.headers.get("location")) == (status, location)


def test_the_rest_of_a_host_with_app_root_goes_to_https(headrace: Headrace) -> None:
    answer = headrace.get("http://root-tls.test/x")
    assert (answer.status, answer.headers["location"]) == (308, f"https://root-tls.test:{headrace.https}/x")


@pytest.mark.shows("from-to-www-redirect")
@pytest.mark.parametrize(
    ("url", "status", "location"),
    [
        ("http://www.bare.test/a/?b=1", 308, "http://bare.test:HTTP/a/?b=1"),
        ("http://www.bare.test/a/", 308, "http://bare.test:HTTP/a"),
        ("http://bare.test/a", 200, None),
        ("http://full.test/", 308, "http://www.full.test:HTTP"),
        ("http://www.full.test/", 200, None),
        ("http://own.test/", 200, None),
        ("http://www.own.test/", 200, None),
        ("http://www.no-www.test/", 404, None),
        ("https://www.secure.test/x", 308, "https://secure.test:443/x"),
        ("http://www.secure.test/x", 308, "http://secure.test:HTTP/x"),
    ],
)
def test_the_sibling_with_or_without_www(headrace: Headrace, url: str, status: int, location: str | None) -> None:
    answer = headrace.get(url)
    expected = location and location.replace("HTTP", str(headrace.http))
    assert (answer.status, answer.headers.get("location")) == (status, expected)


@pytest.mark.shows("from-to-www-redirect")
def test_the_sibling_has_the_certificate_that_covers_it(headrace: Headrace) -> None:
    assert headrace.certificate("www.secure.test") == headrace.certificate("secure.test")


@pytest.mark.shows("server-alias")
@pytest.mark.parametrize(
    ("name", "path", "owner"),
    [
        ("named.test", "/", "named"),
        ("second.test", "/", "named"),
        ("SECOND.test", "/", "named"),
        ("third.test", "/", "named"),
        ("a.many.test", "/", "named"),
        ("a.b.many.test", "/", None),
        ("free.test", "/", "taken"),
        ("taken.test", "/", "taken"),
        ("anything.test", "/", None),
        ("old-alias.test", "/b", "alias-young"),
        ("young-alias.test", "/b", None),
    ],
)
def test_further_names_of_a_host(headrace: Headrace, name: str, path: str, owner: str | None) -> None:
    answer = headrace.get(f"http://{name}{path}")
    assert answer.status == (200 if owner else 404)


@pytest.mark.shows("server-alias")
def test_an_alias_shows_the_certificate_of_its_host_only_if_that_covers_it(headrace: Headrace) -> None:
    own, default = headrace.certificate("alias-tls.test"), headrace.certificate("unknown.test")
    assert own != default
    assert headrace.certificate("covered.test") == own
    assert headrace.certificate("uncovered.test") == default


@pytest.mark.shows("server-alias")
@pytest.mark.parametrize("name", ["covered.test", "uncovered.test"])
def test_an_alias_of_a_host_with_tls_goes_to_https(headrace: Headrace, name: str) -> None:
    answer = headrace.get(f"http://{name}/x")
    assert (answer.status, answer.headers["location"]) == (308, f"https://{name}:{headrace.https}/x")


@pytest.mark.shows("server-alias")
def test_what_is_not_taken_as_an_alias_is_told(headrace: Headrace) -> None:
    log = headrace.log.read_text()
    assert "named.test is a name of named.test, so it is not one of taken.test too" in log
    assert "An older Ingress of two.test has named its aliases already" in log
    assert "second.test is a name of named.test" in log or "second.test is a name of named-later.test" in log
