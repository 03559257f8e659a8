"""Headers of every answer. Stock nginx can hide what a pod says and add a line of its own, which comes to a replacement
for all headers but those that nginx writes itself: `Server` and `Date` need the module headers-more.
"""

from __future__ import annotations

from controller.model.features.response_headers import ResponseHeader, ResponseHeaders
from controller.render.hidden_headers import WRITTEN_BY_NGINX
from controller.render.part import Context, Part, digest
from controller.render.quoting import NginxText, literal, word

_SOMETIMES_WRITTEN_BY_NGINX = frozenset({"content-type", "location", "www-authenticate"})
"""Its own pages and redirects have them, and there must not be two of a kind: there nginx's own stays."""


def render(feature: ResponseHeaders, context: Context) -> Part:
    gate, lines, blocks = [], [], []
    for header in feature.headers:
        name = header.name.lower()
        if name in WRITTEN_BY_NGINX:
            if context.layout.nginx.has("headers-more"):
                lines.append(NginxText(f"more_set_headers {literal(f'{header.name}: {header.value}')};"))
            continue
        if name == "strict-transport-security":
            gate.append(NginxText("set $hr_own_hsts 1;"))
        value = literal(header.value)
        if name in _SOMETIMES_WRITTEN_BY_NGINX:
            value = NginxText(f"$hr_header_{digest(header)}")
            blocks.append(_unless_sent(value, header))
        lines.append(NginxText(f"add_header {word(header.name)} {value} always;"))
    hidden = tuple(header.name for header in feature.headers if header.name.lower() not in WRITTEN_BY_NGINX)
    return Part(gate=tuple(gate), response=tuple(lines), http=tuple(blocks), hidden=hidden)


def _unless_sent(variable: NginxText, header: ResponseHeader) -> NginxText:
    sent = word(header.name.lower().replace("-", "_"))
    return NginxText(f'map $sent_http_{sent} {variable} {{ volatile; default ""; "" {literal(header.value)}; }}')
