"""Locations of the model as the lines of `_location.j2`: an exact and a prefix location for one Prefix path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from controller.model.configuration import (
    CATCH_ALL,
    Action,
    Location,
    MainSettings,
    MatchKind,
    PathMatch,
    ProxyPass,
    RedirectHost,
    Return,
    Server,
    Upstream,
)
from controller.model.features.backend_tls import FastCgi
from controller.model.layout import Layout
from controller.model.policy import HttpsRedirect, Protocol
from controller.render.families import render_features
from controller.render.hidden_headers import hide_lines
from controller.render.part import Context, Lines, Part, merged
from controller.render.protocols import (
    ADDRESS,
    DEAF_TO_THE_SENTINEL,
    UNHELD,
    WITH_TLS,
    header_list,
    module_of,
    passing,
    spoken,
)
from controller.render.quoting import NginxText, literal, quoted, regex, template, word

_PROXY = module_of(Protocol.HTTP)
_PASSING = passing(Protocol.HTTP, ADDRESS)


@dataclass(frozen=True, slots=True)
class LocationText:
    """What the template writes for one `location`. Texts that users chose are quoted already, or quoted by it.

    `early` comes before the redirect to HTTPS, `gate` after it. `handover` and `response`: as in `Part`; the
    headers for the pod are among the former. `hold` and `again`: the places for a held request, where they are not
    the usual ones. `errors`: as in `Part`. `failed`: the place that answers what no pod received, where that is not
    held and nginx alone would not do. `passing`: the directive that hands over, and `passing_again` that which does so
    at `again`; `module`: the prefix of its companions.
    """

    match: NginxText
    route: NginxText
    upstream_name: str
    path: str
    redirect: NginxText | None
    log: NginxText | None
    return_code: int
    return_target: NginxText | None
    passing: NginxText | None
    patient: bool
    held: bool
    without_hold: bool
    alternative: NginxText | None = None
    failed: NginxText | None = None
    module: NginxText = _PROXY
    passing_again: NginxText = _PASSING
    hold_response: Lines = ()
    failed_response: Lines = ()
    errors: Lines = ()
    early: Lines = ()
    gate: Lines = ()
    handover: Lines = ()
    response: Lines = ()
    hold: NginxText | None = None
    again: NginxText | None = None
    rewrite_pattern: NginxText | None = None
    rewrite_target: NginxText | None = None


@dataclass(frozen=True, slots=True)
class LocationStyle:
    """What the global settings decide for every location."""

    main: MainSettings
    layout: Layout
    upstreams: dict[str, Upstream]
    silent_log: NginxText

    @property
    def hold(self) -> bool:
        return self.main.hold


@dataclass(frozen=True, slots=True)
class Written:
    """The locations of a server as texts, and what their features want elsewhere."""

    locations: tuple[LocationText, ...]
    holds: tuple[HoldText, ...]
    agains: tuple[AgainText, ...]
    faileds: tuple[HoldText, ...]
    elsewhere: Part
    one_redirect: bool


def written(server: Server, style: LocationStyle, *, may_redirect_at_once: bool) -> Written:
    """The locations in the order in which they are written; the fallback comes last."""
    context = Context(style.main, style.layout, server, style.upstreams)
    of_server = render_features(server.features, context)
    common = Part(request_headers=of_server.request_headers)
    of_location = replace(context, so_far=common)
    drafts = [(match, location, _part_of(location, of_location, style)) for match, location in _expanded(server)]
    elsewhere = merged((of_server, *(part for _, _, part in drafts)))
    one_redirect = (
        may_redirect_at_once
        and not elsewhere.answers_early
        and not elsewhere.response  # a location's own headers stand on its redirect too
        and hosts_redirect((*server.locations, server.fallback))
    )
    texts = [_text(match, location, part, server, style, one_redirect) for match, location, part in drafts]
    known, holds, agains = with_places_for_held(texts)
    known, faileds = with_places_for_failed(known)
    return Written(known, holds, agains, faileds, elsewhere, one_redirect)


def _part_of(location: Location, context: Context, style: LocationStyle) -> Part:
    log = _log_of(location, context.server, style)
    route = _route(location, style.upstreams)
    return render_features(location.policy.features, replace(context, location=location, log=log, route=route))


def _log_of(location: Location, server: Server, style: LocationStyle) -> NginxText | None:
    built_in = location.origin is None and server.host == CATCH_ALL
    logged = location.policy.access_log and (style.main.enable_access_log_for_default_backend or not built_in)
    return None if logged else style.silent_log


@dataclass(frozen=True, slots=True)
class HoldText:
    """A named location whose answer is final: where a request waits for a pod, or where it does not wait."""

    name: NginxText
    response: Lines = ()


@dataclass(frozen=True, slots=True)
class AgainText:
    """A named location that sends a held request to an address, with the settings that its own location has."""

    name: NginxText
    hold: NginxText
    log: NginxText | None = None
    patient: bool = False
    handover: Lines = ()
    response: Lines = ()
    errors: Lines = ()
    module: NginxText = _PROXY
    passing: NginxText = _PASSING


_HOLD = HoldText(word("@hr_hold"))
_FAILED = HoldText(word("@hr_failed"))
_AGAIN = AgainText(word("@hr_again"), _HOLD.name)


def with_places_for_held(
    locations: Sequence[LocationText],
) -> tuple[tuple[LocationText, ...], tuple[HoldText, ...], tuple[AgainText, ...]]:
    """The locations, each knowing its places for a held request, and those places: one for each set of settings.

    A place without a user is left out, since the headers of such places take most of the memory of a host.
    """
    holds: dict[Lines, HoldText] = {(): _HOLD}
    agains: dict[AgainText, AgainText] = {_AGAIN: _AGAIN}
    used: set[NginxText] = set()
    known = []
    for location in locations:
        if location.passing is None or not location.held:
            known.append(location)
            continue
        answers = location.hold_response
        hold = holds.setdefault(answers, HoldText(word(f"@hr_hold_{len(holds)}"), answers))
        wanted = AgainText(
            _AGAIN.name,
            hold.name,
            location.log,
            location.patient,
            location.handover,
            location.response,
            location.errors,
            location.module,
            location.passing_again,
        )
        again = agains.setdefault(wanted, replace(wanted, name=word(f"@hr_again_{len(agains)}")))
        used |= {hold.name, again.name}
        known.append(
            replace(
                location,
                hold=None if hold is _HOLD else hold.name,
                again=None if again is _AGAIN else again.name,
            )
        )
    return (
        tuple(known),
        tuple(place for place in holds.values() if place.name in used),
        tuple(place for place in agains.values() if place.name in used),
    )


def with_places_for_failed(
    locations: Sequence[LocationText],
) -> tuple[tuple[LocationText, ...], tuple[HoldText, ...]]:
    """The locations, each knowing its place for a request that failed for good, and those places."""
    places: dict[Lines, HoldText] = {}
    known = []
    for location in locations:
        if location.failed:
            name = word(f"{_FAILED.name}_{len(places)}") if places else _FAILED.name
            place = places.setdefault(location.failed_response, HoldText(name, location.failed_response))
            known.append(replace(location, failed=place.name))
        else:
            known.append(location)
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
            yield NginxText(f"~* {regex('^' + path)}"), location
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
    match: NginxText, location: Location, part: Part, server: Server, style: LocationStyle, one_redirect: bool
) -> LocationText:
    action, policy = location.action, location.policy
    proxied = action if isinstance(action, ProxyPass) else None
    rewrite = policy.rewrite if proxied else None
    route = _route(location, style.upstreams)
    protocol = policy.protocol
    held = style.hold and policy.hold and protocol not in UNHELD
    handover = _handover(location, part, style.main) if proxied else ()
    return LocationText(
        match=match,
        route=part.route or literal(route),
        alternative=part.alternative,
        upstream_name=_upstream_name(location, route),
        path=location.match.path,
        redirect=None if one_redirect else redirect_target(location, style.layout.public_https_port),
        log=_log_of(location, server, style),
        return_code=_return_code(action, style.main),
        return_target=_other_host(action.host) if isinstance(action, RedirectHost) else None,
        passing=passing(protocol, part.target or proxied.upstream) if proxied else None,
        patient=_is_patient(location) and not any("_connect_timeout " in line for line in handover),
        held=held,
        without_hold=style.hold and not held,
        failed=_FAILED.name if _needs_place(location, held, part) else None,
        module=module_of(protocol),
        passing_again=passing(protocol, ADDRESS),
        hold_response=(*part.held_errors, *part.response),
        failed_response=tuple(line for line in part.response if not line.startswith("error_page ")),
        errors=spoken(part.errors, protocol),
        early=part.gate if part.answers_early else (),
        gate=() if part.answers_early else part.gate,
        handover=handover,
        response=spoken(part.response, protocol),
        rewrite_pattern=regex(f"(?i){rewrite.pattern}") if rewrite else None,
        rewrite_target=template(rewrite.target or "/") if rewrite else None,
    )


def _needs_place(location: Location, held: bool, part: Part) -> bool:
    """Whether what no pod received goes to a place of its own, other than to be held."""
    proxied, deaf = isinstance(location.action, ProxyPass), location.policy.protocol in DEAF_TO_THE_SENTINEL
    return proxied and not held and (deaf or bool(part.errors))


def _headers(location: Location, part: Part, main: MainSettings) -> Lines:
    fastcgi = next((feature for feature in location.policy.features if isinstance(feature, FastCgi)), FastCgi())
    params = {name: template(value) for name, value in fastcgi.params}
    return header_list(part.request_headers, main, location.policy.protocol, params)


def _is_patient(location: Location) -> bool:
    """Whether a connection may take long: far away, or with a handshake that a pod without much processor must do."""
    action = location.action
    return isinstance(action, ProxyPass) and (action.external or location.policy.protocol in WITH_TLS)


def _handover(location: Location, part: Part, main: MainSettings) -> Lines:
    protocol = location.policy.protocol
    hidden = hide_lines(part.hidden, main, protocol)
    return (*spoken(part.handover, protocol), *hidden, *_headers(location, part, main))


def _return_code(action: Action, main: MainSettings) -> int:
    if isinstance(action, Return):
        return action.code
    return main.http_redirect_code if isinstance(action, RedirectHost) else 0


def _other_host(host: str) -> NginxText:
    """The port is always written, and one trailing slash is not (annotations, `from-to-www-redirect`)."""
    return template(f"$pass_access_scheme://{host}:$pass_port$hr_trimmed_uri")


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
