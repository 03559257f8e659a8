"""What a feature comes to in nginx's configuration, sorted by where its lines belong.

A request enters at its location. Where no pod has received it, it may wait at a hold place and be handed over again at
an again place (docs/architecture.md, "Hold"), so lines about pods and lines about answers belong to those too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from controller.model.configuration import Location, MainSettings, Server, Upstream
from controller.model.layout import Layout
from controller.model.policy import Protocol
from controller.render.quoting import NginxText, quoted
from controller.render.request_headers import base_headers

Lines = tuple[NginxText, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of one feature.

    `gate`: where the request enters: rewrite-phase lines, access rules, limits, authentication.
    `handover`: wherever the request is handed to a pod.
    `response`: wherever an answer for the client is made; `add_header` adds to the headers of all hosts.
    `errors`: `error_page` and its like, where a pod or nginx may fail the request: the location, and the place where a
    held request is tried again. They come before the line that sends what no pod has received to be held.
    `held_errors`: the same for the place where a request is held, whose own errors are final.
    `hidden`: names of headers of pods that no client gets to see.
    `request_headers`: what the pods get, by name; put over the headers that they always get, `""` removes one.
    `http`: blocks before the server, each variable named by a digest of what it depends on.
    `shared`: blocks that may stand in the configuration once, by a key; equal keys must mean equal blocks.
    `server`: lines of the server. `locations`: whole internal locations of the server.
    `answers_early`: the gate may answer a plain-HTTP request before it is sent to HTTPS.
    `target`: the variable that names the upstream, where there are several to choose from. `route`, `alternative`: the
    variables with the route of the chosen one, and with the name of a chosen canary for the access log.
    """

    gate: Lines = ()
    handover: Lines = ()
    response: Lines = ()
    errors: Lines = ()
    held_errors: Lines = ()
    hidden: tuple[str, ...] = ()
    request_headers: Mapping[str, NginxText] = field(default_factory=dict)
    http: Lines = ()
    shared: Mapping[str, NginxText] = field(default_factory=dict)
    server: Lines = ()
    locations: Lines = ()
    answers_early: bool = False
    target: NginxText | None = None
    route: NginxText | None = None
    alternative: NginxText | None = None


NOTHING = Part()


def merged(parts: Iterable[Part]) -> Part:
    """All of them as one, in their order. Of two values for one request header the later one counts."""
    every = tuple(parts)
    return Part(
        gate=tuple(line for part in every for line in part.gate),
        handover=tuple(line for part in every for line in part.handover),
        response=tuple(line for part in every for line in part.response),
        errors=tuple(line for part in every for line in part.errors),
        held_errors=tuple(line for part in every for line in part.held_errors),
        hidden=tuple(dict.fromkeys(name for part in every for name in part.hidden)),
        request_headers={name: value for part in every for name, value in part.request_headers.items()},
        http=unique(line for part in every for line in part.http),
        shared={key: block for part in every for key, block in part.shared.items()},
        server=unique(line for part in every for line in part.server),
        locations=unique(line for part in every for line in part.locations),
        answers_early=any(part.answers_early for part in every),
        target=_last(part.target for part in every),
        route=_last(part.route for part in every),
        alternative=_last(part.alternative for part in every),
    )


def _last(values: Iterable[NginxText | None]) -> NginxText | None:
    return next((value for value in reversed(tuple(values)) if value is not None), None)


def unique(lines: Iterable[NginxText]) -> Lines:
    return tuple(dict.fromkeys(lines))


def digest(*values: object) -> NginxText:
    """A short name for values, safe in names of variables and locations."""
    return NginxText(hashlib.sha256(repr(values).encode()).hexdigest()[:12])


@dataclass(frozen=True)
class Context:
    """Where a feature stands. `location` is None for a feature of the whole server.

    `so_far`: what the features before it have added. `log`: the line about the access log that the location has, if
    any.
    """

    main: MainSettings
    layout: Layout
    server: Server
    upstreams: Mapping[str, Upstream]
    location: Location | None = None
    so_far: Part = NOTHING
    route: str = ""
    log: NginxText | None = None

    @property
    def host(self) -> str:
        return self.server.host

    @cached_property
    def id(self) -> NginxText:
        """Names this location (or server) and no other."""
        return digest(self.server.host, *(self.location.match if self.location else ()))

    @property
    def protocol(self) -> Protocol:
        return self.location.policy.protocol if self.location else Protocol.HTTP

    def file(self, name: str) -> NginxText:
        """The quoted path of a file that the configuration brings (`Configuration.files`)."""
        return quoted(f"{self.layout.certificates_dir}/{name}")

    def request_headers(self, overrides: Mapping[str, NginxText], directive: str = "proxy_set_header") -> Lines:
        """The complete list of lines for a location whose request headers differ from those of all locations."""
        return header_lines({**base_headers(self.main), **overrides}, directive)


def header_lines(headers: Mapping[str, NginxText], directive: str = "proxy_set_header") -> Lines:
    return tuple(NginxText(f"{directive} {name} {value};") for name, value in headers.items())
