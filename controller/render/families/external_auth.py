"""Questions to an authentication service by ngx_http_auth_request_module
(https://nginx.org/en/docs/http/ngx_http_auth_request_module.html).

The question is a request of its own in an internal location: never held, its errors never replaced by pages, and an
answer other than 2xx, 401 and 403 is 500 for the client. It shares the variables of the request it is about, and the
server's own `set` lines run once more for it: so what the location had set over them is set again.
"""

from __future__ import annotations

import re
from dataclasses import replace

from controller.model.features.authentication import ExternalAuth, SignIn
from controller.model.features.client_certificates import ClientCertificates
from controller.model.features.proxying import Proxying
from controller.render import escaping
from controller.render.families import client_certificates, proxying
from controller.render.global_settings import access_logs
from controller.render.part import Context, Lines, Part, digest
from controller.render.quoting import NginxText, quoted, template, upstream_name, word
from controller.render.request_headers import base_headers

_REMOVED = NginxText('""')
_OF_THE_REQUEST = re.compile(
    r"\$(?:\{(?P<braced>document_uri|uri|args|query_string|is_args|arg_[A-Za-z0-9_]+)\}"
    r"|(?P<bare>document_uri|uri|args|query_string|is_args|arg_[A-Za-z0-9_]+)(?![A-Za-z0-9_]))"
)
"""Variables that in the question would be about the question. The path, decoded, could hold line breaks besides."""
_MOST_COOKIES = 8
_COOKIE_NAME = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CACHE = "hr_auth"
_BUFFERS = ("proxy_buffer_size ", "proxy_buffers ", "proxy_busy_buffers_size ")


def render(feature: ExternalAuth, context: Context) -> Part:
    """Raises `ValueError` where nobody is named who could be asked: a bug of ours."""
    name = NginxText(f"/_hr_auth_{digest(context.id, feature)}")
    copied = {header: NginxText(f"$hr_auth_{digest(header.lower())}") for header in feature.response_headers}
    gate = [
        NginxText("set $hr_kept_upstream_name $proxy_upstream_name;"),
        *_kept_arguments(feature),
        NginxText(f"auth_request {name};"),
        NginxText("auth_request_set $hr_auth_cookies $upstream_http_set_cookie;"),
    ]
    gate += [NginxText(f"auth_request_set {copied[h]} {_answered(h)};") for h in feature.response_headers]
    cookies = _cookie_lines(always=feature.always_set_cookie)
    places, response = [_question(name, feature, context)], list(cookies)
    if feature.sign_in:
        place = NginxText(f"@hr_signin_{digest(feature.sign_in, context.so_far.response, context.log, cookies)}")
        places.append(_sign_in(place, feature.sign_in, cookies, context))
        response.append(NginxText(f"error_page 401 = {place};"))
    return Part(
        gate=tuple(gate),
        response=tuple(response),
        request_headers=copied,
        shared=_shared(feature, context),
        locations=tuple(places),
    )


def _answered(header: str) -> NginxText:
    return NginxText("$" + word("upstream_http_" + header.lower().replace("-", "_")))


# -- the question


def _question(name: NginxText, feature: ExternalAuth, context: Context) -> NginxText:
    lines = (
        "internal;",
        *_log(context),
        "set $proxy_upstream_name $hr_kept_upstream_name;",
        "client_max_body_size 0;",
        "error_page 497 =502 @hr_hold;",
        "proxy_intercept_errors off;",
        "proxy_pass_request_body off;",
        *((f"proxy_method {word(feature.method)};",) if feature.method else ()),
        *(("proxy_http_version 1.1;",) if feature.keep else ()),
        *_buffers(feature, context),
        *_cache(name, feature),
        *_far(feature, context),
        *context.request_headers(_headers(feature, context)),
        f"proxy_pass {_target(feature)};",
    )
    return _location(NginxText(f"= {name}"), tuple(NginxText(line) for line in lines))


def _log(context: Context) -> Lines:
    """`enable-auth-access-log`: nginx logs no requests of its own else. They are none of the route, so no metrics."""
    if not context.main.enable_auth_access_log or context.log:
        return ()
    lines = access_logs(context.main, context.layout)
    return (NginxText("log_subrequest on;"), *lines) if lines else ()


def _target(feature: ExternalAuth) -> NginxText:
    if feature.upstream is None:
        raise ValueError("nobody can be asked")
    scheme = "https" if feature.tls else "http"
    return template(f"{scheme}://{upstream_name(feature.upstream.upstream)}{_as_sent(feature.uri)}")


def _as_sent(text: str) -> str:
    return _OF_THE_REQUEST.sub(lambda found: f"${{{_kept_name(found['braced'] or found['bare'])}}}", text)


def _kept_name(variable: str) -> str:
    return "hr_auth_path" if variable in ("uri", "document_uri") else f"hr_auth_{variable}"


def _kept_arguments(feature: ExternalAuth) -> Lines:
    """The arguments of the request, for those who ask and for the page to sign in at."""
    found = {m["braced"] or m["bare"] for text in _texts(feature) for m in _OF_THE_REQUEST.finditer(text)}
    return tuple(NginxText(f"set ${_kept_name(name)} ${name};") for name in sorted(found - {"uri", "document_uri"}))


def _texts(feature: ExternalAuth) -> tuple[str, ...]:
    """All that may hold variables."""
    sign_in = _sign_in_url(feature.sign_in) if feature.sign_in else ""
    key = feature.cache.key if feature.cache else ""
    return (feature.uri, feature.request_redirect, sign_in, key, *(value for _, value in feature.headers))


def _headers(feature: ExternalAuth, context: Context) -> dict[str, NginxText]:
    """What the service gets besides all headers of the client.

    Two headers that other proxies describe the request with are taken away: here nobody but the client could have
    written them.
    """
    certificates = [f for f in context.server.features if isinstance(f, ClientCertificates)]
    headers = {
        **(client_certificates.render(certificates[0], context).request_headers if certificates else {}),
        "Host": template(feature.host),
        "Upgrade": _REMOVED,
        "Connection": _REMOVED if feature.keep else NginxText("close"),
        "Content-Length": _REMOVED,
        "Transfer-Encoding": _REMOVED,
        "X-Forwarded-Proto": _REMOVED,
        "X-Forwarded-Uri": _REMOVED,
        "X-Forwarded-Method": _REMOVED,
        "X-Original-URL": NginxText("$scheme://$hr_host$request_uri"),
        "X-Original-Method": NginxText("$request_method"),
        "X-Sent-From": NginxText("nginx-ingress-controller"),
        "X-Auth-Request-Redirect": template(_as_sent(feature.request_redirect or "$request_uri")),
        **({"X-Original-URI": NginxText("$request_uri")} if feature.method else {}),
    }
    known = {name.lower(): name for name in (*base_headers(context.main), *headers)}
    for name, value in feature.headers:
        headers[known.get(name.lower(), name)] = template(_as_sent(value))
    return headers


def _far(feature: ExternalAuth, context: Context) -> tuple[str, ...]:
    lines = []
    if feature.upstream and feature.upstream.external and context.main.proxy_connect_timeout is None:
        lines.append("proxy_connect_timeout 5s;")
    if feature.tls:
        name = word(feature.server_name) if feature.server_name else "$host"
        lines += ["proxy_ssl_server_name on;", f"proxy_ssl_name {name};"]
        lines += [] if feature.server_name else ["proxy_ssl_session_reuse off;"]
    return tuple(lines)


def _buffers(feature: ExternalAuth, context: Context) -> Lines:
    """Those of the location: who makes them larger has large cookies."""
    features = context.location.policy.features if context.location else ()
    found = next((f for f in features if isinstance(f, Proxying)), None)
    if found is None:
        return ()
    lines = proxying.render(found, replace(context, location=None)).handover
    return tuple(line for line in lines if line.startswith(_BUFFERS))


def _cache(name: NginxText, feature: ExternalAuth) -> tuple[str, ...]:
    """The name of the place stands for host, path and whom is asked."""
    if feature.cache is None:
        return ()
    return (
        f"proxy_cache {_CACHE};",
        f"proxy_cache_key {template(f'$host|{name}|{_as_sent(feature.cache.key)}')};",
        *(f"proxy_cache_valid {' '.join(map(word, valid.split()))};" for valid in feature.cache.valid),
        "proxy_buffering on;",
    )


# -- answers


def _cookie_lines(*, always: bool) -> Lines:
    ending = " always;" if always else ";"
    return tuple(NginxText(f"add_header Set-Cookie $hr_auth_cookie_{n}{ending}") for n in range(1, _MOST_COOKIES + 1))


def _cookie_maps() -> NginxText:
    """nginx gives several cookies as one text with commas between: here they are taken apart again."""
    lines = []
    for n in range(1, _MOST_COOKIES + 1):
        source = f"$hr_auth_cookies_{n}" if n > 1 else "$hr_auth_cookies"
        # A comma in a date is followed by no name and equals sign.
        first = f"^(?<hr_one_cookie_{n}>.+?),[ ]*{_COOKIE_NAME}="
        rest = f"^.+?,[ ]*(?<hr_other_cookies_{n}>{_COOKIE_NAME}=.*)$"
        lines.append(
            f'map {source} $hr_auth_cookie_{n} {{ volatile; default {source}; "~{first}" $hr_one_cookie_{n}; }}'
        )
        if n < _MOST_COOKIES:
            rest_of = f"$hr_auth_cookies_{n + 1}"
            lines.append(f'map {source} {rest_of} {{ volatile; default ""; "~{rest}" $hr_other_cookies_{n}; }}')
    return NginxText("\n".join(lines))


def _sign_in(name: NginxText, wanted: SignIn, cookies: Lines, context: Context) -> NginxText:
    headers = tuple(line for line in context.so_far.response if line.startswith("add_header "))
    url = NginxText(f"return 302 {template(_as_sent(_sign_in_url(wanted)))};")
    return _location(name, (*((context.log,) if context.log else ()), *headers, *cookies, url))


def _sign_in_url(wanted: SignIn) -> str:
    if not wanted.parameter:
        return wanted.url
    return f"{wanted.url}{_joint(wanted.url)}{wanted.parameter}={_WANTED}"


_WANTED = f"$pass_access_scheme://$hr_host{escaping.VARIABLE}"
"""The URL that the client asked for, as one value of a query."""


def _joint(url: str) -> str:
    return "&" if "?" in url else "?"


# -- what all hosts share


def _shared(feature: ExternalAuth, context: Context) -> dict[str, NginxText]:
    blocks = {
        "hr_auth_cookies": _cookie_maps(),
        "hr_auth_path": NginxText(
            'map $request_uri $hr_auth_path { default $request_uri; "~^(?<hr_before_arguments>[^?]*)" '
            "$hr_before_arguments; }"
        ),
    }
    if any(map(escaping.is_used_in, _texts(feature))):
        blocks |= escaping.blocks(context.layout.nginx)
    if feature.cache:
        folder = quoted(f"{context.layout.temp_dir}/auth")
        blocks[_CACHE] = NginxText(
            f"proxy_cache_path {folder} levels=1:2 keys_zone={_CACHE}:10m max_size=128m inactive=30m use_temp_path=off;"
        )
    return blocks


def _location(name: NginxText, lines: Lines) -> NginxText:
    inner = "\n".join(f"        {line}" for line in lines)
    return NginxText(f"    location {name} {{\n{inner}\n    }}")
