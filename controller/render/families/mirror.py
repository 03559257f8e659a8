"""Copies by ngx_http_mirror_module (https://nginx.org/en/docs/http/ngx_http_mirror_module.html).

The copy is a request of its own in an internal location: never held, never logged, its answer thrown away. It shares
the variables of the request, and the server's own rewrite lines run once more for it: so what the location had set is
set again.
"""

from __future__ import annotations

import re

from controller.model.features.mirror import Mirror
from controller.render.part import Context, Lines, Part, digest
from controller.render.quoting import NginxText, template, upstream_name, word

_DECODED = re.compile(r"\$(?:document_uri|uri)(?![A-Za-z0-9_])")
"""In the copy these would be the name of the internal location; and decoded they may hold line breaks."""

_VARIABLES = (
    NginxText('map $request_uri $hr_path { default $request_uri; "~^(?<hr_before_query>[^?]*)" $hr_before_query; }'),
    # A target without a variable would get the query of the request behind its own.
    NginxText('map "" $hr_nothing { default ""; }'),
)

_KEEP = (NginxText("set $hr_kept_route $hr_route;"), NginxText("set $hr_kept_upstream_name $proxy_upstream_name;"))
_RESTORE = (NginxText("set $hr_route $hr_kept_route;"), NginxText("set $proxy_upstream_name $hr_kept_upstream_name;"))


def render(feature: Mirror, context: Context) -> Part:
    name = NginxText(f"/_hr_mirror_{digest(feature)}")
    body = "on" if feature.body else "off"
    gate = (*_KEEP, NginxText(f"mirror {name};"), NginxText(f"mirror_request_body {body};"))
    return Part(gate=gate, http=_VARIABLES, locations=(_place(name, feature, context),))


def _place(name: NginxText, feature: Mirror, context: Context) -> NginxText:
    inner = "\n".join(f"    {line}" for line in _lines(feature, context))
    return NginxText(f"location = {name} {{\n{inner}\n}}")


def _lines(feature: Mirror, context: Context) -> Lines:
    headers = {"Host": template(feature.host), "Upgrade": NginxText('""'), "Connection": NginxText('""')}
    lines = [NginxText("internal;"), *_RESTORE]
    if not feature.body:
        headers["Content-Length"] = headers["Transfer-Encoding"] = NginxText('""')
        lines.append(NginxText("proxy_pass_request_body off;"))
    if feature.upstream.external and context.main.proxy_connect_timeout is None:
        lines.append(NginxText("proxy_connect_timeout 5s;"))
    if feature.tls:
        lines.append(NginxText("proxy_ssl_server_name on;"))
        lines.append(NginxText(f"proxy_ssl_name {word(feature.server_name)};"))
    scheme = "https" if feature.tls else "http"
    uri = _DECODED.sub("$hr_path", feature.uri) + "$hr_nothing"
    return (
        *lines,
        *context.request_headers(headers),
        NginxText("error_page 497 =502 @hr_hold;"),
        NginxText(f"proxy_pass {template(f'{scheme}://{upstream_name(feature.upstream.upstream)}{uri}')};"),
    )
