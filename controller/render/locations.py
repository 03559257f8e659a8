"""Locations of the model as the lines of `_location.j2`: an exact and a prefix location for one Prefix path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from controller.model.configuration import (
    CATCH_ALL,
    Location,
    MatchKind,
    PathMatch,
    ProxyPass,
    Return,
    Server,
    Upstream,
)
from controller.model.policy import HttpsRedirect
from controller.render.quoting import NginxText, quoted, template, word


@dataclass(frozen=True, slots=True)
class LocationText:
    """What the template writes for one `location`. Texts that users chose are quoted already, or quoted by it."""

    match: NginxText
    route: str
    upstream_name: str
    path: str
    redirect: NginxText | None
    log: NginxText | None
    return_code: int
    proxy_pass: NginxText | None
    external: bool
    without_hold: bool
    again: NginxText | None = None
    rewrite_pattern: NginxText | None = None
    rewrite_target: NginxText | None = None


@dataclass(frozen=True, slots=True)
class LocationStyle:
    """What the global settings decide for every location."""

    upstreams: dict[str, Upstream]
    https_port: int
    silent_log: NginxText
    log_default_backend: bool
    hold: bool


def location_texts(server: Server, style: LocationStyle, *, server_redirects: bool) -> tuple[LocationText, ...]:
    """The locations in the order in which they are written; the fallback comes last."""
    return tuple(_text(match, location, server, style, server_redirects) for match, location in _expanded(server))


@dataclass(frozen=True, slots=True)
class AgainText:
    """A named location that sends a held request to an address, with the settings that its own location has."""

    name: NginxText
    log: NginxText | None
    external: bool


def with_places_for_held(locations: Sequence[LocationText]) -> tuple[tuple[LocationText, ...], tuple[AgainText, ...]]:
    """The locations, each knowing its place for another try, and those places: one for each set of settings."""
    places: dict[tuple[NginxText | None, bool], AgainText] = {(None, False): AgainText(word("@hr_again"), None, False)}
    known = []
    for location in locations:
        settings = (location.log, location.external)
        if location.proxy_pass is None or location.without_hold or settings == (None, False):
            known.append(location)
            continue
        place = places.setdefault(settings, AgainText(word(f"@hr_again_{len(places)}"), *settings))
        known.append(replace(location, again=place.name))
    return tuple(known), tuple(places.values())


def redirect_target(location: Location, https_port: int) -> NginxText | None:
    """`https://` and the request's own host and URI; None where the location does not redirect."""
    if location.policy.https_redirect is HttpsRedirect.NEVER:
        return None
    port = "" if https_port == 443 else f":{https_port}"
    uri = "$request_uri" if location.policy.preserve_trailing_slash else "$hr_trimmed_uri"
    return template(f"https://$hr_redirect_host{port}{uri}")


def _expanded(server: Server) -> Iterator[tuple[NginxText, Location]]:
    exact = {loc.match.path for loc in server.locations if loc.match.kind is MatchKind.EXACT}
    takes_all = False
    for location in server.locations:
        kind, path = location.match
        takes_all |= location.match == PathMatch(MatchKind.PREFIX, "/")
        if kind is MatchKind.REGEX:
            yield NginxText(f"~* {quoted('^' + path)}"), location
        elif kind is MatchKind.EXACT:
            yield _exact(path), location
        elif path == "/":
            yield quoted("/"), location
        else:
            if path not in exact:
                yield NginxText(f"= {quoted(path)}"), location
            yield quoted(path + "/"), location
    if not takes_all:
        yield quoted("/"), server.fallback


def _exact(path: str) -> NginxText:
    """nginx answers `/foo` with a redirect where a proxied location is named `/foo/`, so that one is a regex."""
    if path.endswith("/") and path != "/":
        regex = "^" + re.escape(path) + r"\z"
        return NginxText(f"~ {quoted(regex)}")
    return NginxText(f"= {quoted(path)}")


def _text(
    match: NginxText, location: Location, server: Server, style: LocationStyle, server_redirects: bool
) -> LocationText:
    action, policy = location.action, location.policy
    built_in = location.origin is None and server.host == CATCH_ALL
    logged = policy.access_log and (style.log_default_backend or not built_in)
    rewrite = policy.rewrite if isinstance(action, ProxyPass) else None
    route = _route(location, style.upstreams)
    return LocationText(
        match=match,
        route=route,
        upstream_name=_upstream_name(location, route),
        path=location.match.path,
        redirect=None if server_redirects else redirect_target(location, style.https_port),
        log=None if logged else style.silent_log,
        return_code=action.code if isinstance(action, Return) else 0,
        proxy_pass=NginxText(f"http://{word(action.upstream)}") if isinstance(action, ProxyPass) else None,
        external=isinstance(action, ProxyPass) and action.external,
        without_hold=style.hold and not policy.hold,
        rewrite_pattern=quoted(f"(?i){rewrite.pattern}") if rewrite else None,
        rewrite_target=template(rewrite.target or "/") if rewrite else None,
    )


def _route(location: Location, upstreams: dict[str, Upstream]) -> str:
    """`namespace/ingress/service/port/dns-port`: what logs, metrics and the hold know a location by.

    The namespace is that of the Service; where it is not the Ingress's own, the default backend answers for it.
    """
    upstream = upstreams[location.action.upstream] if isinstance(location.action, ProxyPass) else None
    dns_port = upstream.dns_port if upstream else ""
    owner = location.origin.ingress if location.origin else None
    if owner and (upstream is None or upstream.service.namespace == owner.namespace):
        return f"{owner.namespace}/{owner.name}/{location.service}/{location.port}/{dns_port}"
    namespace = upstream.service.namespace if upstream else ""
    return f"{namespace}//{location.service}/{location.port}/{dns_port}"


def _upstream_name(location: Location, route: str) -> str:
    namespace, ingress, *_ = route.split("/")
    if not ingress or not location.service:
        return "upstream-default-backend"
    return f"{namespace}-{location.service}-{location.port}"


def hosts_redirect(locations: Iterable[Location]) -> bool:
    """Whether all of them redirect in the same way, so that one line for the server does.

    What the server answers is logged, so a location without an access log redirects for itself.
    """
    policies = [location.policy for location in locations]
    return len({policy.preserve_trailing_slash for policy in policies}) == 1 and all(
        policy.https_redirect is HttpsRedirect.ALWAYS and policy.access_log for policy in policies
    )
