"""Redirects: https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#return."""

from __future__ import annotations

from controller.model.features.redirects import AppRoot, OwnRedirects, Redirect
from controller.render.part import Context, Part
from controller.render.quoting import NginxText, literal, template


def redirect(feature: Redirect, context: Context) -> Part:
    return Part(gate=(NginxText(f"return {feature.code} {literal(feature.target)};"),), answers_early=True)


def own_redirects(feature: OwnRedirects, context: Context) -> Part:
    lines = []
    if feature.relative:
        lines.append(NginxText("absolute_redirect off;"))
    if feature.with_port:
        lines.append(NginxText("port_in_redirect on;"))
    return Part(response=tuple(lines))


def app_root(feature: AppRoot, context: Context) -> Part:
    query = "$is_args$args" if feature.with_query else ""
    target = template(f"$scheme://$http_host{feature.path}{query}")
    return Part(server=(NginxText(f'if ($uri = "/") {{ return 302 {target}; }}'),))
