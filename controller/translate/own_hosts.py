"""`https://$host/oauth2/auth` as the address of an authentication service: whoever serves that path on the same host.

The service is asked straight at its pods: no way out to a load balancer and back in, no certificate of our own to
check, no redirect, and no loop, since what guards the path of the service is not run for the question.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

from controller.model.configuration import Location, MatchKind, ProxyPass, Return, Server
from controller.model.diagnostics import Effect
from controller.model.features.authentication import ExternalAuth
from controller.model.policy import Protocol
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.findings import Findings

_TLS = {Protocol.HTTP: False, Protocol.HTTPS: True, Protocol.AUTO_HTTP: False}


def settle_own_hosts(server: Server, annotation: str, configmap: ObjectKey | None, findings: Findings) -> Server:
    """The server, each question of its own host with its upstream. What nobody could answer closes the location.

    `annotation`: full name of `auth-url`. `configmap`: whose `global-auth-url` it else was.
    """
    return _Settling(annotation, configmap, findings).server(server)


class _Settling:
    def __init__(self, annotation: str, configmap: ObjectKey | None, findings: Findings) -> None:
        self._annotation = FieldPath("metadata.annotations").key(annotation)
        self._configmap = configmap
        self._findings = findings

    def server(self, server: Server) -> Server:
        if not any(map(_open_question, (*server.locations, server.fallback))):
            return server
        locations = tuple(self._location(location, server) for location in server.locations)
        return replace(server, locations=locations, fallback=self._location(server.fallback, server))

    def _location(self, location: Location, server: Server) -> Location:
        asked = _open_question(location)
        if asked is None or not isinstance(location.action, ProxyPass):
            return _without(location, asked) if asked else location
        settled = _settled(asked, server)
        if settled is None:
            self._tell(location, server, asked)
            return replace(_without(location, asked), action=Return(503))
        features = tuple(settled if feature is asked else feature for feature in location.policy.features)
        return replace(location, policy=replace(location.policy, features=features))

    def _tell(self, location: Location, server: Server, asked: ExternalAuth) -> None:
        path = asked.uri.partition("?")[0]
        owner = location.origin.ingress if location.origin else self._configmap
        if owner is None:
            return
        self._findings.error(
            "annotation-closes-route",
            owner,
            self._annotation,
            f"No Service serves {path} on {server.host or 'the catch-all'}, so nobody can be asked there who a client "
            "is. The paths of this Ingress answer 503.",
            Effect.PATH_UNSERVED,
            "Add the path of the authentication service to the host, or name the service by its own host.",
        )


def _open_question(location: Location) -> ExternalAuth | None:
    found = (feature for feature in location.policy.features if isinstance(feature, ExternalAuth))
    return next((feature for feature in found if feature.upstream is None), None)


def _without(location: Location, asked: ExternalAuth | None) -> Location:
    features = tuple(feature for feature in location.policy.features if feature is not asked)
    return replace(location, policy=replace(location.policy, features=features))


def _settled(asked: ExternalAuth, server: Server) -> ExternalAuth | None:
    """None where no Service answers by HTTP there."""
    path, mark, query = asked.uri.partition("?")
    place = _place_of(unquote(path), server)
    if not isinstance(place.action, ProxyPass) or place.policy.protocol not in _TLS:
        return None
    return replace(
        asked,
        upstream=place.action,
        tls=_TLS[place.policy.protocol],
        uri=_rewritten(path, place) + mark + query,
    )


def _place_of(path: str, server: Server) -> Location:
    """The location that takes a path, as nginx chooses it."""
    if server.regex:
        taking = (loc for loc in server.locations if _compiled("^" + loc.match.path).search(path))
        return next(taking, server.fallback)
    exact = next((loc for loc in server.locations if loc.match == (MatchKind.EXACT, path)), None)
    prefixes = [loc for loc in server.locations if loc.match.kind is MatchKind.PREFIX and _is_below(path, loc)]
    return exact or max(prefixes, key=lambda loc: len(loc.match.path), default=server.fallback)


def _is_below(path: str, location: Location) -> bool:
    return f"{path}/".startswith(location.match.path.rstrip("/") + "/")


def _rewritten(path: str, location: Location) -> str:
    rewrite = location.policy.rewrite
    found = _compiled(rewrite.pattern).search(path) if rewrite else None
    if rewrite is None or found is None:
        return path
    return re.sub(r"\$([1-9])", lambda group: found[int(group[1])] or "", rewrite.target) or "/"


def _compiled(pattern: str) -> re.Pattern[str]:
    """What Python cannot read takes nothing, so that in doubt nobody is let in."""
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error:
        return re.compile(r"(?!)")
