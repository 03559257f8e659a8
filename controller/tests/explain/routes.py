"""Configurations for tests, written the way one thinks of them: hosts with lines of `kind path service`."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.configuration import (
    CATCH_ALL,
    Certificate,
    Configuration,
    Location,
    MainSettings,
    MatchKind,
    PathMatch,
    ProxyPass,
    Return,
    Server,
    Upstream,
)
from controller.model.policy import HttpsRedirect, LocationPolicy, Rewrite
from controller.model.refs import Kind, ObjectKey, RuleRef
from controller.model.secretbytes import SecretBytes

INGRESS = ObjectKey(Kind.INGRESS, "shop", "web")
EVERYTHING = PathMatch(MatchKind.PREFIX, "/")
BUILT_IN_404 = Location(EVERYTHING, Return(404), None)


def location(text: str, *, redirect: bool = False, rewrite: Rewrite | None = None, rule: int = 0) -> Location:
    """`prefix /cart cart`: the Service is the last word; a number instead of it is an answer with that code."""
    kind, path, service = text.split(" ")
    policy = LocationPolicy(https_redirect=HttpsRedirect.ALWAYS if redirect else HttpsRedirect.NEVER, rewrite=rewrite)
    match, origin = PathMatch(MatchKind(kind), path), RuleRef(INGRESS, rule, 0)
    if service.isdigit():
        return Location(match, Return(int(service)), origin, policy, "gone", "80")
    return Location(match, ProxyPass(f"shop.{service}.http"), origin, policy, service, "http")


def server(host: str, *lines: str | Location, fallback: Location = BUILT_IN_404, **options: bool | str) -> Server:
    locations = tuple(location(line) if isinstance(line, str) else line for line in lines)
    regex = any(loc.match.kind is MatchKind.REGEX for loc in locations)
    return Server(host, locations, fallback, regex=regex, origins=(INGRESS,), **options)  # type: ignore[arg-type]


def configuration(
    *servers: Server,
    main: MainSettings | None = None,
    certificates: Iterable[Certificate] = (),
    default_certificate: str | None = None,
) -> Configuration:
    hosts = {CATCH_ALL: server(CATCH_ALL)} | {found.host: found for found in servers}
    actions = [loc.action for found in hosts.values() for loc in (*found.locations, found.fallback)]
    names = {action.upstream.split(".")[1] for action in actions if isinstance(action, ProxyPass)}
    upstreams = [Upstream(f"shop.{name}.http", ObjectKey(Kind.SERVICE, "shop", name), "http") for name in sorted(names)]
    return Configuration(
        main or MainSettings(),
        hosts,
        {upstream.id: upstream for upstream in upstreams},
        {certificate.id: certificate for certificate in certificates},
        default_certificate,
    )


def certificate(id_: str, *names: str) -> Certificate:
    return Certificate(id_, ObjectKey(Kind.SECRET, "shop", id_), names, 1_900_000_000, "d", SecretBytes(b""))
