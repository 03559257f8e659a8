"""Error pages by named locations (https://nginx.org/en/docs/http/ngx_http_core_module.html#error_page).

An error goes to `@hr_error_ID`, which notes its status, and on to `@hr_error_ID_send`, which asks the Service. One such
pair serves all statuses: the headers of a location take much more memory than anything else in it. The first step keeps
the status as nginx has it, which a second one must take away, or the answer of the Service would get it.

502 and 504 are special, since what no pod has received is held first. `$hr_unreached` is where the location sends that.
That a Service is empty shows as a 502 whose peer was the stand-in for its pods: told by a header, that closes the
connection instead of answering 503, so that a pod's own 503 is never taken for it. Nothing here needs a reload when the
last pod goes.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.configuration import ProxyPass
from controller.model.features.error_pages import ErrorPages
from controller.model.policy import Protocol
from controller.render.hidden_headers import hide_lines
from controller.render.part import Context, Lines, Part, digest
from controller.render.protocols import UNHELD
from controller.render.quoting import NginxText, upstream_name, word

MARK = "X-Headrace-Default-Backend"
"""Tells the stand-in for the pods of an empty Service (nginx.conf.j2) that somebody else will answer."""

_EMPTY, _ANSWERED = "empty", "answered"
_REMOVED = NginxText('""')
_UNHELD_PLACE = NginxText("error_page 497 =502 @hr_hold;")
_CONNECT_TIMEOUT = "proxy_connect_timeout "

_ABOUT_THE_ROUTE = {
    "X-Format": NginxText("$http_accept"),
    "X-Namespace": NginxText("$hr_error_namespace"),
    "X-Ingress-Name": NginxText("$ingress_name"),
    "X-Service-Name": NginxText("$hr_error_service"),
    "X-Service-Port": NginxText("$hr_error_port"),
    MARK: _REMOVED,
}

_SHARED = {
    "hr_error_code": (
        "# The status of an error: what nginx has noted, else that of the pod, or 503 where there is none.\n"
        'map "$hr_empty$status" $hr_error_code {\n    volatile;\n    default $hr_failed_status;\n    empty000 503;\n'
        '    "~(?<hr_noted_status>[1-9][0-9][0-9])$" $hr_noted_status;\n}'
    ),
    "hr_answered": (
        "# Whether the last answer is a pod's own. Volatile: each round of a request fails anew.\n"
        f'map $upstream_header_time $hr_answered {{ volatile; default {_ANSWERED}; "" ""; "~-$" ""; }}'
    ),
    **{
        f"hr_error_{name}": (
            f'map "$ingress_name:${variable}" $hr_error_{name} {{ default ""; "~^[^:]+:(?<hr_known_{name}>.*)$"'
            f" $hr_known_{name}; }}"
        )
        for name, variable in (("namespace", "namespace"), ("service", "service_name"), ("port", "service_port"))
    },
}


def render(feature: ErrorPages, context: Context) -> Part:
    """Comes after the other features: what they add to answers stands on those of the error pages too."""
    codes = tuple(code for code in feature.codes if not _is_answered(code, context.so_far.response))
    places: list[NginxText] = []
    error = instead = None
    if codes and feature.backend:
        last = _place("@hr_error", feature.last_resort, None, context, places) if feature.last_resort else None
        error = _place("@hr_error", feature.backend, last, context, places)
    if feature.instead:
        instead = NginxText(f"@hr_instead_{digest(feature.instead, error, codes, context.so_far, context.log)}")
        places.append(_instead(instead, feature.instead, error if 503 in codes else None, context))
    wanted = _Wanted(codes if error else (), error, instead, feature.intercept, context)
    streams = feature.instead and context.protocol in UNHELD
    return Part(
        gate=(NginxText("set $hr_request_buffering off;"),) if streams else (),
        errors=wanted.lines(),
        held_errors=wanted.held_lines(),
        http=wanted.maps(),
        locations=tuple(places),
        request_headers={MARK: word(1)} if wanted.stand_in_is_told else {},
        shared={name: NginxText(block) for name, block in _SHARED.items()},
    )


def _is_answered(code: int, response: Iterable[NginxText]) -> bool:
    """Whether another feature has its own answer for it, such as the page to sign in at."""
    return any(line.startswith(f"error_page {code} ") for line in response)


class _Wanted:
    """Which place answers which failure, in one location."""

    def __init__(
        self, codes: tuple[int, ...], error: NginxText | None, instead: NginxText | None, intercept: bool, c: Context
    ) -> None:
        policy = c.location.policy if c.location else None
        self.codes, self.error, self.instead, self.intercept = codes, error, instead, intercept
        self.proxied = bool(c.location and isinstance(c.location.action, ProxyPass))
        self.held = bool(policy and c.main.hold and policy.hold and policy.protocol not in UNHELD)
        self.stand_in_is_told = self.proxied and bool(instead or (503 in codes and not intercept))

    def lines(self) -> Lines:
        """Of the location, and of the place where a held request is tried again."""
        if not self.proxied:
            return (*self._instead_of_503(), *self._to_error(self.codes))
        intercept = (NginxText("proxy_intercept_errors on;"),) if self.codes and self.intercept else ()
        usual = self._to_error(code for code in self.codes if code not in (502, 504))
        special = tuple(NginxText(f"error_page {code} = {self._variable(code)};") for code in (502, 504))
        return (*intercept, *usual, *special)

    def held_lines(self) -> Lines:
        """Of the place where a held request waits: what that says in the end is never a pod's own."""
        if not self.proxied or not self.held:
            return ()
        errors = self._to_error(code for code in self.codes if code in (502, 503, 504))
        found = (*self._instead_of_503(), *errors)
        return (NginxText("proxy_intercept_errors on;"), *found) if found else ()

    def maps(self) -> Lines:
        if not self.proxied:
            return ()
        return tuple(self._map(code) for code in (502, 504) if len(self._targets(code)) > 1)

    def _instead_of_503(self) -> Lines:
        return (NginxText(f"error_page 503 = {self.instead};"),) if self.instead else ()

    def _to_error(self, codes: Iterable[int]) -> Lines:
        listed = " ".join(map(str, codes))
        return (NginxText(f"error_page {listed} {self.error};"),) if listed else ()

    def _targets(self, code: int) -> dict[str, NginxText]:
        """Where 502 or 504 goes, by what is known of it."""
        ours = code in self.codes and self.error is not None
        default = self.error if ours and not self.held else NginxText("$hr_unreached")
        found = {"default": default or NginxText("$hr_unreached")}
        if ours and self.intercept and self.error:
            found[_ANSWERED] = self.error
        if code == 502 and self.instead:
            found[_EMPTY] = self.instead
        elif code == 502 and not self.held and 503 in self.codes and self.error:
            found[_EMPTY] = self.error
        return found

    def _variable(self, code: int) -> NginxText:
        targets = self._targets(code)
        return NginxText(f"$hr_failing_{digest(targets)}") if len(targets) > 1 else targets["default"]

    def _map(self, code: int) -> NginxText:
        targets = " ".join(f"{state} {_word(place)};" for state, place in self._targets(code).items())
        return NginxText(f'map "$hr_empty$hr_answered" {self._variable(code)} {{ volatile; {targets} }}')


def _word(place: NginxText) -> str:
    return place if place.startswith("$") else f'"{place}"'


def _place(
    prefix: str, backend: ProxyPass, last: NginxText | None, context: Context, places: list[NginxText]
) -> NginxText:
    """Adds the two locations that ask a Service for a page, and returns the name of the first."""
    name = NginxText(f"{prefix}_{digest(backend, last, context.so_far, context.log)}")
    headers = {
        **{name: value for name, value in context.so_far.request_headers.items() if value == _REMOVED},
        **_ABOUT_THE_ROUTE,
        "Upgrade": _REMOVED,
        "Connection": _REMOVED,
        "Host": NginxText("$best_http_host"),
        "X-Code": NginxText("$hr_code"),
        "X-Original-URI": NginxText("$request_uri"),
        "Content-Length": _REMOVED,
        "Transfer-Encoding": _REMOVED,
    }
    if last:
        headers[MARK] = word(1)
    lines = (
        *_common(backend, context),
        NginxText(f"error_page 502 504 = {last}_send;") if last else _UNHELD_PLACE,
        *context.request_headers(headers),
        NginxText("proxy_pass_request_body off;"),
        NginxText("rewrite ^ / break;"),
        NginxText(f"proxy_pass http://{upstream_name(backend.upstream)};"),
    )
    note = (
        NginxText("set $hr_code $hr_error_code;"),
        NginxText(f"error_page 418 = {name}_send;"),
        NginxText("return 418;"),
    )
    places += [_location(name, note), _location(NginxText(f"{name}_send"), lines)]
    return name


def _instead(name: NginxText, backend: ProxyPass, error: NginxText | None, context: Context) -> NginxText:
    """The location that hands requests to the default backend. What came with a body that nginx has not kept, and that
    the stand-in for the pods has taken, would arrive without it: that is a 503."""
    headers = {**context.so_far.request_headers, **_ABOUT_THE_ROUTE, "X-Code": word(503)}
    lines = (
        *_common(backend, context),
        NginxText(f"error_page 503 {error};") if error else _UNHELD_PLACE,
        *context.request_headers(headers),
        NginxText("if ($hr_streamed) { return 503; }"),
        NginxText(f"proxy_pass http://{upstream_name(backend.upstream)};"),
    )
    return _location(name, lines)


def _common(backend: ProxyPass, context: Context) -> Lines:
    """What the location says about bodies, handing over and answers. The Service is spoken to in plain HTTP."""
    so_far = context.so_far
    far = backend.external and context.main.proxy_connect_timeout is None
    own_time = any(line.startswith(_CONNECT_TIMEOUT) for line in so_far.handover)
    return (
        *((context.log,) if context.log else ()),
        *(line for line in so_far.gate if line.startswith("client_max_body_size ")),
        *so_far.handover,
        *((NginxText(f"{_CONNECT_TIMEOUT}5s;"),) if far and not own_time else ()),
        *hide_lines(so_far.hidden, context.main, Protocol.HTTP),
        *(line for line in so_far.response if not line.startswith("error_page ")),
    )


def _location(name: NginxText, lines: Lines) -> NginxText:
    inner = "\n".join(f"    {line}" for line in lines)
    return NginxText(f"location {name} {{\n{inner}\n}}")
