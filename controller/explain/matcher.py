"""What becomes of a request, and why: server, certificate, location, upstream. Pure, over a `Configuration`.

This tells what nginx does with the files that we write for that configuration; the tests ask a real nginx the same
questions. Where something cannot be told from here (an expression that only PCRE understands), it is named in
`undecided`, and the answer is the likely one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.explain.answers import Rewritten, effective_scheme, redirect_location, redirects_as_one, rewritten
from controller.explain.client_certificates import refusal_of
from controller.explain.features import notes as notes_of_features
from controller.explain.features import redirect_of, root_redirect
from controller.explain.locations import Loser, location_of
from controller.explain.pcre import Undecidable
from controller.explain.relevance import relevant
from controller.explain.servers import CertificateChoice, certificate_of, server_of, wildcard_server
from controller.explain.uri import (
    BadRequest,
    Url,
    check_method,
    host_of,
    normalised_path,
    parse_url,
    readable,
    server_name_indication,
)
from controller.model.configuration import (
    CATCH_ALL,
    Configuration,
    Location,
    RedirectHost,
    Return,
    Server,
    Upstream,
)
from controller.model.diagnostics import Diagnostic, Report
from controller.model.refs import Kind, ObjectKey

Endpoints = Callable[[Upstream], Sequence[str]]
"""Looks up `ip:port` of all that an upstream leads to now."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The story of one request. What was not reached is None or empty.

    `status` is set where nginx answers by itself, `why` says why; where a backend answers, `upstream` is set instead.
    `host` and `path` are what nginx looks up, after its normalisation.
    """

    method: str
    url: Url
    host: str = ""
    path: str = ""
    certificate: CertificateChoice | None = None
    server: Server | None = None
    server_why: str = ""
    location: Location | None = None
    location_why: str = ""
    losers: tuple[Loser, ...] = ()
    undecided: tuple[Loser, ...] = ()
    status: int | None = None
    why: str = ""
    redirect_to: str = ""
    rewritten: Rewritten | None = None
    upstream: Upstream | None = None
    endpoints: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def explain(
    configuration: Configuration,
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    *,
    report: Report | None = None,
    endpoints: Endpoints | None = None,
    https_port: int = 443,
) -> Explanation:
    """`headers` are those of the request; a Host header there stands instead of the URL's host, as with curl.

    `report` is of the same build. `https_port` is the public one. Raises `UsageError` for what is no http(s) URL.
    """
    parsed = parse_url(url)
    request = _Request(configuration, parsed, method, _lower(headers or {}), https_port)
    found = request.explain()
    if found.upstream is not None and endpoints is not None and not found.upstream.external:
        found = _with_endpoints(found, tuple(endpoints(found.upstream)))
    if report is None or found.server is None:
        return found
    return replace(found, diagnostics=relevant(report, configuration, found.server, _involved(found)))


@dataclass(frozen=True, slots=True)
class _Request:
    configuration: Configuration
    url: Url
    method: str
    headers: Mapping[str, str]
    https_port: int

    def explain(self) -> Explanation:
        story = Explanation(self.method, self.url)
        try:
            if self.url.scheme == "https":
                story = self._handshake(story)
                if story.why:
                    return story
            check_method(self.method)
            host = host_of(self.headers.get("host", self.url.authority))
            path = normalised_path(self.url.target)
        except BadRequest as reason:
            return replace(story, status=400, why=str(reason))
        server, why = server_of(self.configuration, host)
        story = replace(story, host=host, path=readable(path), server=server, server_why=why)
        if self.method in ("TRACE", "CONNECT"):
            return replace(story, status=405, why=f"nginx does not take {self.method}")
        return self._in_server(story, server, path)

    def _handshake(self, story: Explanation) -> Explanation:
        name = server_name_indication(self.url.authority)
        catch_all = name is None or server_of(self.configuration, name)[0].host == CATCH_ALL
        if self.configuration.main.ssl_reject_handshake and catch_all:
            return replace(story, why="the TLS handshake is refused (ssl-reject-handshake): no host has this name")
        return replace(story, certificate=certificate_of(self.configuration, name))

    def _in_server(self, story: Explanation, server: Server, path: bytes) -> Explanation:
        if self.url.scheme == "https":
            name = server_name_indication(self.url.authority)
            refusal = refusal_of(self.configuration, server, name, story.host)
            if refusal is not None:
                return replace(self._located(story, server, path), status=refusal.status, why=refusal.why)
        root = root_redirect(server, self.headers.get("host", self.url.authority), self.url.scheme, path, self.url.args)
        if root is not None:
            return replace(self._located(story, server, path), status=302, why="app-root", redirect_to=root)
        if redirects_as_one(server) and (target := self._redirect(server.fallback, story.host)):
            return self._redirected(self._located(story, server, path), target)
        health = self.configuration.health_check_path
        taken = any(location.match.path == health for location in server.locations)
        if server.host == CATCH_ALL and not taken and path == health.encode():
            return replace(story, status=200, why="the health check of the controller")
        story = self._located(story, server, path)
        assert story.location is not None
        if redirect := redirect_of(story.location):
            why = "permanent-redirect or temporal-redirect"
            return replace(story, status=redirect.code, why=why, redirect_to=redirect.target)
        if target := self._redirect(story.location, story.host):
            return self._redirected(story, target)
        return self._act(story, story.location, path)

    def _located(self, story: Explanation, server: Server, path: bytes) -> Explanation:
        choice = location_of(server, path)
        return replace(
            story,
            location=choice.location,
            location_why=choice.why,
            losers=choice.losers,
            undecided=choice.undecided,
            notes=tuple(self._notes(server, story.host, choice.location)),
        )

    def _act(self, story: Explanation, location: Location, path: bytes) -> Explanation:
        action = location.action
        if isinstance(action, Return):
            return replace(story, status=action.code, why=_why_returned(story, action.code))
        if isinstance(action, RedirectHost):
            port = self.https_port if self.url.scheme == "https" else 80
            target = f"{self.url.scheme}://{action.host}:{port}{self.url.target.removesuffix('/')}"
            return replace(story, status=self.configuration.main.http_redirect_code, redirect_to=target)
        upstream = self.configuration.upstreams[action.upstream]
        if location.policy.rewrite is None:
            return replace(story, upstream=upstream)
        return self._rewritten(replace(story, upstream=upstream), location, path)

    def _rewritten(self, story: Explanation, location: Location, path: bytes) -> Explanation:
        rewrite = location.policy.rewrite
        assert rewrite is not None
        try:
            result = rewritten(rewrite, path, self.url.args)
        except Undecidable as reason:
            unknown = Loser(location, f"the rewritten address cannot be decided here: {reason}")
            return replace(story, undecided=(*story.undecided, unknown))
        if result is None:
            return replace(story, notes=(*story.notes, "rewrite-target does not apply: its expression does not match"))
        if result.redirect:
            why = "rewrite-target begins with a scheme"
            return replace(story, upstream=None, status=302, why=why, redirect_to=result.uri)
        return replace(story, rewritten=result)

    def _redirect(self, location: Location, host: str) -> str:
        main = self.configuration.main
        return redirect_location(location, self.url, host, self.headers, main, self.https_port)

    def _redirected(self, story: Explanation, target: str) -> Explanation:
        code = self.configuration.main.http_redirect_code
        return replace(story, status=code, why="plain HTTP is sent to HTTPS", redirect_to=target)

    def _notes(self, server: Server, host: str, location: Location) -> list[str]:
        notes = []
        main = self.configuration.main
        if effective_scheme(self.url, self.headers, main) != self.url.scheme:
            notes.append("X-Forwarded-Proto counts only where proxy-real-ip-cidr covers the sender")
        if self.url.scheme == "https" and server_name_indication(self.url.authority) not in (host, None):
            notes.append("the certificate follows the name in the handshake, the route follows the Host header")
        if server.regex:
            notes.append("every path of this host is an expression: case is ignored, only the beginning is anchored")
        wildcard = wildcard_server(self.configuration, host)
        if location is server.fallback and wildcard is not None and wildcard is not server:
            notes.append(f"{wildcard.host} is not asked: a host with rules of its own does not fall back to a wildcard")
        notes += notes_of_features((*server.features, *(location.policy.features if location else ())))
        return notes


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _why_returned(story: Explanation, code: int) -> str:
    if code == 404 and story.server is not None and story.location is story.server.fallback:
        return "nothing matches, and there is no default backend"
    if code == 403:
        return "its settings for client certificates cannot be honoured"
    return "its backend cannot be used" if code == 503 else "so it is configured"


def _with_endpoints(story: Explanation, endpoints: tuple[str, ...]) -> Explanation:
    if endpoints:
        return replace(story, endpoints=endpoints)
    return replace(story, endpoints=(), status=503, why="the Service has no ready endpoints")


def _involved(story: Explanation) -> list[ObjectKey]:
    found = []
    if story.location is not None and story.location.origin is not None:
        ingress = story.location.origin.ingress
        found += [ingress, ObjectKey(Kind.SERVICE, ingress.namespace, story.location.service)]
    if story.upstream is not None:
        found.append(story.upstream.service)
    if story.certificate is not None and story.certificate.certificate is not None:
        found += [secret] if (secret := story.certificate.certificate.secret) else []
    return found
