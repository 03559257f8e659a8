"""CORS headers by variables: a header whose variable is empty is not sent
(https://nginx.org/en/docs/http/ngx_http_headers_module.html#add_header).

The answer to a preflight comes from the rewrite phase, so before lists, limits, authentication and the redirect to
HTTPS: a browser sends it without credentials and follows no redirect for it.
"""

from __future__ import annotations

import re

from controller.model.features.cors import Cors, OriginPattern
from controller.render.part import Context, Part, digest
from controller.render.quoting import NginxText, quoted

HEADERS = {
    name: f"Access-Control-{name}"
    for name in (
        "Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Expose-Headers", "Max-Age"
    )
}  # fmt: skip


def render(feature: Cors, context: Context) -> Part:
    hidden = tuple(HEADERS.values())
    wanted = {name: value for name, value in _values(feature).items() if value}
    if feature.origins is None:
        preflight = NginxText("$hr_cors_preflight")
        asked = NginxText(f'map $request_method {preflight} {{ default ""; OPTIONS 1; }}')
        lines = [_add("Allow-Origin", quoted("*")), *(_add(name, quoted(value)) for name, value in wanted.items())]
        return _part(preflight, (asked,), tuple(lines), hidden)
    name = digest(feature.origins)
    origin, preflight = NginxText(f"$hr_cors_{name}"), NginxText(f"$hr_cors_preflight_{name}")
    blocks = [
        _origins(origin, feature.origins),
        NginxText(f'map "$request_method:{origin}" {preflight} {{ default ""; "~^OPTIONS:." 1; }}'),
    ]
    lines = [_add("Allow-Origin", origin)]
    for header, value in wanted.items():
        variable = NginxText(f"$hr_cors_{digest(feature.origins, value)}")
        blocks.append(NginxText(f'map {origin} {variable} {{ default {quoted(value)}; "" ""; }}'))
        lines.append(_add(header, variable))
    lines.append(NginxText("add_header Vary Origin always;"))
    return _part(preflight, tuple(blocks), tuple(lines), hidden)


def _part(
    preflight: NginxText, blocks: tuple[NginxText, ...], lines: tuple[NginxText, ...], hidden: tuple[str, ...]
) -> Part:
    gate = NginxText(f"if ({preflight}) {{ return 204; }}")
    return Part(gate=(gate,), response=lines, http=blocks, hidden=hidden, answers_early=True)


def _values(feature: Cors) -> dict[str, str]:
    return {
        "Allow-Credentials": "true" if feature.credentials else "",
        "Allow-Methods": feature.methods,
        "Allow-Headers": feature.headers,
        "Expose-Headers": feature.expose,
        "Max-Age": str(feature.max_age),
    }


def _add(header: str, value: NginxText) -> NginxText:
    return NginxText(f"add_header {HEADERS[header]} {value} always;")


def _origins(variable: NginxText, patterns: tuple[OriginPattern, ...]) -> NginxText:
    """The origin of the request where one of the patterns takes all of it, else nothing."""
    lines = "\n".join(f"    {quoted(_regex(pattern))} $http_origin;" for pattern in patterns)
    return NginxText(f'map $http_origin {variable} {{\n    default "";\n{lines}\n}}')


def _regex(pattern: OriginPattern) -> str:
    if not pattern.host:
        return r"~*^null\z"
    wild = pattern.host.startswith("*.")
    host = (r"[a-z0-9-]+\." if wild else "") + re.escape(pattern.host.removeprefix("*."))
    port = f":{pattern.port}" if pattern.port else ""
    return rf"~*^{re.escape(pattern.scheme)}://{host}{port}\z"
