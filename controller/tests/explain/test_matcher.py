"""The matcher says what docs/routing.md says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from controller.explain.matcher import Explanation, explain
from controller.explain.report import lines_of, plain, to_dict
from controller.model.configuration import DEFAULT_CERTIFICATE, Configuration, MainSettings
from controller.model.diagnostics import Diagnostic, Effect, Report, Severity
from controller.model.errors import UsageError
from controller.model.policy import HttpsRedirect, LocationPolicy, Rewrite
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.tests.explain.routes import INGRESS, certificate, configuration, location, server
from controller.tests.explain.table import CONFIGURATION, ROWS


def outcome(story: Explanation) -> str | int | None:
    return story.upstream.service.name if story.upstream and story.status is None else story.status


@pytest.mark.parametrize(("url", "expected"), ROWS)
def test_table(url: str, expected: str | int) -> None:
    story = explain(CONFIGURATION, url)
    assert outcome(story) == expected
    assert not story.undecided
    json.dumps(to_dict(story))
    assert plain(lines_of(story)).startswith("request       GET http")


def reasons(story: Explanation) -> dict[str, str]:
    return {f"{loser.location.match.kind} {loser.location.match.path}": loser.why for loser in story.losers}


def test_losers_on_a_normal_host() -> None:
    assert reasons(explain(CONFIGURATION, "http://shop.example.com/foo")) == {
        "prefix /foo": "matches, but an exact path wins",
        "prefix /": "matches, but an exact path wins",
    }
    assert reasons(explain(CONFIGURATION, "http://shop.example.com/foo/bar")) == {
        "prefix /foo": "matches, but a longer prefix wins",
        "prefix /": "matches, but a longer prefix wins",
        "exact /foo": "does not match: exact paths match themselves alone",
    }


def test_near_misses() -> None:
    assert reasons(explain(CONFIGURATION, "http://default.example.com/xy"))["prefix /x"] == (
        "does not match: prefixes end at a slash"
    )
    assert reasons(explain(CONFIGURATION, "http://default.example.com/X"))["prefix /x"] == (
        "does not match: the case differs"
    )


def test_losers_on_a_regex_host() -> None:
    story = explain(CONFIGURATION, "http://regex.example.com/foo/1")
    assert reasons(story) == dict.fromkeys(["regex /foo", "regex /"], "matches, but an expression before it does too")
    assert any("every path of this host is an expression" in note for note in story.notes)


def test_a_wildcard_is_no_fallback_and_it_is_said() -> None:
    assert any(note.startswith("*.foo.com is not asked") for note in explain(CONFIGURATION, "http://a.foo.com/y").notes)
    assert "*.foo.com stands for exactly one label" in explain(CONFIGURATION, "http://a.b.foo.com/").server_why


@pytest.mark.parametrize(
    ("headers", "expected"), [({"Host": "default.example.com:81"}, "x"), ({"host": "a..b"}, 400), ({"HOST": ""}, 400)]
)
def test_host_header_decides_the_route(headers: dict[str, str], expected: str | int) -> None:
    assert outcome(explain(CONFIGURATION, "http://shop.example.com/x", headers=headers)) == expected


@pytest.mark.parametrize("url", ["", "http://", "/path", "ftp://x/", "http:///x"])
def test_no_url(url: str) -> None:
    with pytest.raises(UsageError):
        explain(CONFIGURATION, url)


@pytest.mark.parametrize(("method", "status"), [("TRACE", 405), ("CONNECT", 405), ("PROPFIND", None)])
def test_methods(method: str, status: int | None) -> None:
    assert explain(CONFIGURATION, "http://shop.example.com/", method).status == status


def test_the_health_path_can_be_taken_by_an_ingress() -> None:
    assert outcome(explain(configuration(server("", "prefix /healthz own")), "http://x/healthz")) == "own"


def test_nothing_heavy_is_loaded() -> None:
    heavy = {"kubernetes", "aiohttp", "prometheus_client", "rich", "jinja2", "cryptography"}
    code = f"import sys, controller.explain.report; print(*{heavy} & {{name.split('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


# -- redirects to HTTPS


def tls_configuration(policy: LocationPolicy, **main: object) -> Configuration:
    found = location("prefix / web")
    found = type(found)(found.match, found.action, found.origin, policy, found.service, found.port)
    return configuration(server("a.b", found, fallback=found), main=MainSettings(**main))  # type: ignore[arg-type]


ALWAYS = LocationPolicy(https_redirect=HttpsRedirect.ALWAYS)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a.b/x", "https://a.b/x"),
        ("http://A.b.:81/x/", "https://a.b/x"),
        ("http://a.b/x//?q=%20", "https://a.b/x//?q=%20"),
        ("http://a.b/", "https://a.b"),
        ("https://a.b/", ""),
    ],
)
def test_redirect_to_https(url: str, target: str) -> None:
    story = explain(tls_configuration(ALWAYS), url)
    assert (story.redirect_to, story.status) == (target, 308 if target else None)


def test_redirect_keeps_the_slash_where_asked_and_names_the_public_port() -> None:
    policy = LocationPolicy(https_redirect=HttpsRedirect.ALWAYS, preserve_trailing_slash=True)
    story = explain(tls_configuration(policy, http_redirect_code=301), "http://a.b/x/", https_port=8443)
    assert (story.redirect_to, story.status) == ("https://a.b:8443/x/", 301)


@pytest.mark.parametrize(
    ("trusted", "proto", "target"),
    [
        (True, "https", ""),
        (True, "HTTP", "https://c.d/x"),
        (True, "ht tp", "https://c.d/x"),
        (False, "https", "https://a.b/x"),
    ],
)
def test_forwarded_headers(trusted: bool, proto: str, target: str) -> None:
    made = tls_configuration(ALWAYS, use_forwarded_headers=trusted)
    headers = {"X-Forwarded-Proto": proto, "X-Forwarded-Host": "c.d:99, e.f"}
    assert explain(made, "http://a.b/x", headers=headers).redirect_to == target


# -- certificates

CERTIFICATES = configuration(
    server("own.foo.com", "prefix / a", certificate="own"),
    server("none.foo.com", "prefix / b"),
    server("default.foo.com", "prefix / c", certificate=DEFAULT_CERTIFICATE),
    server("*.foo.com", "prefix / d", certificate="wild"),
    certificates=[certificate("own", "own.foo.com"), certificate("wild", "*.foo.com"), certificate("std", "*.std.com")],
    default_certificate="std",
)


@pytest.mark.parametrize(
    ("url", "id_", "covers"),
    [
        ("https://own.foo.com/", "own", True),
        ("https://OWN.foo.com.:444/", "own", True),
        ("https://none.foo.com/", "wild", True),
        ("https://any.foo.com/", "wild", True),
        ("https://default.foo.com/", "std", False),
        ("https://a.b.foo.com/", "std", False),
        ("https://x.std.com/", "std", True),
        ("https://10.0.0.1/", "std", False),
        ("https://[::1]/", "std", False),
    ],
)
def test_certificate_by_name_in_the_handshake(url: str, id_: str, covers: bool) -> None:
    choice = explain(CERTIFICATES, url).certificate
    assert choice is not None
    assert choice.certificate is not None
    assert (choice.certificate.id, choice.covers) == (id_, covers)


def test_certificate_follows_the_url_and_the_route_follows_the_header() -> None:
    story = explain(CERTIFICATES, "https://own.foo.com/", headers={"Host": "none.foo.com"})
    assert story.certificate is not None
    assert story.certificate.certificate is not None
    assert (story.certificate.certificate.id, outcome(story)) == ("own", "b")
    assert any("follows the name in the handshake" in note for note in story.notes)


def test_self_signed_and_refused_handshake() -> None:
    story = explain(CONFIGURATION, "https://nobody.example.org/")
    assert story.certificate is not None
    assert story.certificate.certificate is None
    refusing = configuration(server("a.b", "prefix / x"), main=MainSettings(ssl_reject_handshake=True))
    refused = explain(refusing, "https://nobody.example.org/")
    assert (refused.status, refused.location) == (None, None)
    assert "handshake is refused" in refused.why
    assert "answer        none" in plain(lines_of(refused))
    assert outcome(explain(refusing, "https://a.b/")) == "x"


# -- rewrites


@pytest.mark.parametrize(
    ("pattern", "target", "url", "uri"),
    [
        ("/api(/|$)(.*)", "/$2", "/api/v1/x", "/v1/x"),
        ("/api(/|$)(.*)", "/$2", "/api", "/"),
        ("/api(/|$)(.*)", "/$2", "/API/v1?a=1", "/v1?a=1"),
        ("/api", "/", "/api/v1?a=1", "/?a=1"),
        ("/api/(.*)", "/x?p=$1", "/api/v?a=1", "/x?p=v&a=1"),
        ("/api/(.*)", "/x?", "/api/v?a=1", "/x"),
        ("/(?:b|api)/(.*)", "/$1$3", "/api/v", "/v"),
        ("/a(b)?", "/x$1y", "/a", "/xy"),
    ],
)
def test_rewrite(pattern: str, target: str, url: str, uri: str) -> None:
    made = configuration(server("a.b", location(f"regex {pattern} web", rewrite=Rewrite(pattern, target))))
    story = explain(made, f"http://a.b{url}")
    assert story.rewritten is not None
    assert (story.rewritten.uri, outcome(story)) == (uri, "web")


def test_rewrite_abroad_is_a_redirect() -> None:
    rewrite = Rewrite("/go/(.*)", "https://other.example/$1")
    story = explain(configuration(server("a.b", location("regex /go/(.*) x", rewrite=rewrite))), "http://a.b/go/1?q=2")
    assert (story.status, story.redirect_to) == (302, "https://other.example/1?q=2")


# -- what cannot be decided, endpoints, findings


def test_what_only_pcre_understands_is_said() -> None:
    made = configuration(server("a.b", "regex /(?R)?x odd", "regex / rest"))
    story = explain(made, "http://a.b/x")
    assert [loser.location.service for loser in story.undecided] == ["odd"]
    assert to_dict(story)["certain"] is False
    assert "cannot be decided here" in plain(lines_of(story))


def test_endpoints() -> None:
    url = "http://shop.example.com/foo"
    some = explain(CONFIGURATION, url, endpoints=lambda upstream: [f"10.0.0.1:80 {upstream.id}"])
    assert some.endpoints == ("10.0.0.1:80 shop.only.http",)
    none = explain(CONFIGURATION, url, endpoints=lambda upstream: [])
    assert (none.status, none.why) == (503, "the Service has no ready endpoints")


def finding(owner: ObjectKey, field: str, severity: Severity, *related: ObjectKey) -> Diagnostic:
    return Diagnostic("path-taken", severity, owner, FieldPath(field), field, Effect.PATH_UNSERVED, "", related)


def test_findings_of_the_objects_involved_worst_first() -> None:
    young, other = ObjectKey(Kind.INGRESS, "shop", "young"), ObjectKey(Kind.INGRESS, "shop", "other")
    taken = finding(young, "spec.rules[0].http.paths[0].path", Severity.WARNING, INGRESS)
    ours = finding(INGRESS, "spec.rules[0].http.paths[3].path", Severity.ERROR)
    service = finding(ObjectKey(Kind.SERVICE, "shop", "only"), "spec", Severity.INFO)
    foreign = finding(other, "spec.rules[0].http.paths[0].path", Severity.ERROR)
    report = Report.of([taken, ours, service, foreign])
    story = explain(CONFIGURATION, "http://shop.example.com/foo", report=report)
    assert story.diagnostics == (ours, taken, service)
    assert "finding       error[path-taken]" in plain(lines_of(story))


def test_findings_about_rules_of_another_host_are_left_out() -> None:
    made = configuration(
        server("a.b", location("prefix / a", rule=0)),
        server("c.d", location("prefix / c", rule=1)),
    )
    unknown = finding(ObjectKey(Kind.INGRESS, "shop", "young"), "spec.rules[1].http.paths[0]", Severity.ERROR, INGRESS)
    of_a, of_c = (finding(INGRESS, f"spec.rules[{rule}].host", Severity.ERROR) for rule in (0, 1))
    report = Report.of([unknown, of_a, of_c])
    assert explain(made, "http://a.b/", report=report).diagnostics == (of_a, unknown)


def test_text_has_no_control_characters() -> None:
    text = plain(lines_of(explain(CONFIGURATION, "http://shop.example.com/%1b%0a\u202e")))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) < 12
