"""Questions and answers of docs/routing.md ("Hosts", "Paths"), for the matcher and for a real nginx alike.

A row is `method URL [Host]` and what shall come of it: a Service, or a status with the Location it sends to.
"""

from __future__ import annotations

from controller.model.configuration import Server
from controller.model.policy import Rewrite
from controller.tests.explain.routes import configuration, location, server

FALLBACK = location("prefix / fallback")


def _regex(path: str, service: str, target: str | None = None) -> object:
    rewrite = Rewrite(path, target) if target else None
    return location(f"regex {path} {service}", rewrite=rewrite)


SERVERS: tuple[Server, ...] = (
    server("", "prefix /hostless hostless"),
    server("shop.example.com", "prefix / root", "prefix /foo foo", "prefix /foo/bar deep", "exact /foo only"),
    server("exact.example.com", "exact / top", "exact /foo foo", "exact /slash/ slash", "prefix /long long"),
    server("default.example.com", "prefix /x x", fallback=FALLBACK),
    server("a.foo.com", "prefix /x own"),
    server("*.foo.com", "prefix / wild", "prefix /y wildy"),
    server("*.bar.foo.com", "prefix / wildbar"),
    server(
        "regex.example.com",
        *(
            location(f"regex {path} {service}")
            for path, service in (
                ("/things/[0-9]+", "numbers"),
                ("/exact", "exact"),
                ("/a.b", "dot"),
                ("/foo/", "slash"),
                ("/foo", "foo"),
                ("/", "all"),
            )
        ),
    ),
    server("order.example.com", "regex /aaa/bbb long", "regex /aaa/.* wide", "regex /b short"),
    server(
        "posix.example.com",
        "regex /[[:digit:]]+/x digits",
        "regex /(?<word>[a-z]+)/\\k<word>$ twice",
        "regex /\\Qa.b\\E quoted",
    ),
    server("rewrite.example.com", location("regex /api(/|$)(.*) api", rewrite=Rewrite("/api(/|$)(.*)", "/$2"))),
    server(
        "tls.example.com",
        location("prefix / secure", redirect=True),
        tls=True,
        fallback=location("prefix / secure", redirect=True),
    ),
    server(
        "part.example.com",
        location("prefix / secure", redirect=True),
        location("prefix /.well-known/acme-challenge acme"),
    ),
    server("gone.example.com", "prefix / 503"),
    server("case.example.com", "prefix /Foo upper", "prefix /foo lower"),
    server("utf8.example.com", "prefix /é accent", "exact /a%b percent", "exact /q?m question"),
)
CONFIGURATION = configuration(*SERVERS)

ROWS: tuple[tuple[str, str | int], ...] = (
    # exact name, then one-label wildcard, then catch-all; a wildcard is no fallback for an exact host
    ("http://a.foo.com/x", "own"),
    ("http://a.foo.com/y", 404),
    ("http://b.foo.com/y/1", "wildy"),
    ("http://b.foo.com/", "wild"),
    ("http://a_b-1.foo.com/", "wild"),
    ("http://a.b.foo.com/", 404),
    ("http://a!b.foo.com/", 404),
    ("http://foo.com/", 404),
    ("http://x.bar.foo.com/", "wildbar"),
    ("http://bar.foo.com/", "wild"),
    ("http://unknown.example.org/hostless/x", "hostless"),
    ("http://unknown.example.org/", 404),
    ("http://unknown.example.org/healthz", 200),
    ("http://unknown.example.org/healthz/x", 404),
    # names compare without port, trailing dot and case
    ("http://SHOP.Example.COM:8080/foo/1", "foo"),
    ("http://shop.example.com./foo/1", "foo"),
    # prefixes go by elements, the longest wins; exact beats prefix
    ("http://shop.example.com/", "root"),
    ("http://shop.example.com", "root"),
    ("http://shop.example.com?x=1", "root"),
    ("http://shop.example.com/foo", "only"),
    ("http://shop.example.com/foo/", "foo"),
    ("http://shop.example.com/foo/ba", "foo"),
    ("http://shop.example.com/foo/bar", "deep"),
    ("http://shop.example.com/foo/bar/", "deep"),
    ("http://shop.example.com/foo/barn", "foo"),
    ("http://shop.example.com/foobar", "root"),
    ("http://shop.example.com/foo?a=/foo/bar", "only"),
    ("http://shop.example.com/foo#/bar", "only"),
    ("http://shop.example.com/FOO/x", "root"),
    ("http://case.example.com/Foo/x", "upper"),
    ("http://case.example.com/foo/x", "lower"),
    ("http://case.example.com/fOO/x", 404),
    # exact
    ("http://exact.example.com/", "top"),
    ("http://exact.example.com/foo", "foo"),
    ("http://exact.example.com/foo/", 404),
    ("http://exact.example.com/foo/x", 404),
    ("http://exact.example.com/slash/", "slash"),
    ("http://exact.example.com/slash", 404),
    ("http://exact.example.com/long", "long"),
    ("http://exact.example.com/long/", "long"),
    ("http://default.example.com/nothing", "fallback"),
    ("http://default.example.com/x", "x"),
    # the path is decoded and normalised before it is matched
    ("http://shop.example.com//foo///bar", "deep"),
    ("http://shop.example.com/x/../foo/./bar", "deep"),
    ("http://shop.example.com/%66oo/bar", "deep"),
    ("http://shop.example.com/foo%2Fbar", "deep"),
    ("http://shop.example.com/x/%2e%2e/foo/y", "foo"),
    ("http://shop.example.com/foo/bar/..", "foo"),
    ("http://shop.example.com/foo%3Fx", "root"),
    ("http://shop.example.com/../foo", 400),
    ("http://shop.example.com/foo%00", 400),
    ("http://shop.example.com/foo%0", 400),
    ("http://shop.example.com/foo%zz", 400),
    ("http://shop.example.com/?%zz%00", "root"),
    ("http://utf8.example.com/%C3%A9/x", "accent"),
    ("http://utf8.example.com/é", "accent"),
    ("http://utf8.example.com/%c3", 404),
    ("http://utf8.example.com/a%25b", "percent"),
    ("http://utf8.example.com/q%3fm", "question"),
    # expressions: first in order, case ignored, anchored at the start only, query not seen
    ("http://regex.example.com/things/42", "numbers"),
    ("http://regex.example.com/THINGS/42/x", "numbers"),
    ("http://regex.example.com/things/x", "all"),
    ("http://regex.example.com/exactly", "exact"),
    ("http://regex.example.com/axb", "dot"),
    ("http://regex.example.com/foo/1", "slash"),
    ("http://regex.example.com/foobar", "foo"),
    ("http://regex.example.com/x/foo", "all"),
    ("http://regex.example.com/?/foo", "all"),
    ("http://regex.example.com/%66oo%2f", "slash"),
    ("http://order.example.com/aaa/bbb/c", "long"),
    ("http://order.example.com/aaa/b", "wide"),
    ("http://order.example.com/c", 404),
    ("http://posix.example.com/12/x", "digits"),
    ("http://posix.example.com/ab/ab", "twice"),
    ("http://posix.example.com/ab/abc", 404),
    ("http://posix.example.com/a.b/", "quoted"),
    ("http://posix.example.com/axb/", 404),
    ("http://rewrite.example.com/api/x", "api"),
    ("http://rewrite.example.com/apix", 404),
    # answers of our own
    ("http://gone.example.com/x", 503),
    ("http://tls.example.com/a/?b=1", 308),
    ("http://tls.example.com/a/", 308),
    ("http://tls.example.com/", 308),
    ("http://part.example.com/x", 308),
    ("http://part.example.com/.well-known/acme-challenge/t", "acme"),
)
