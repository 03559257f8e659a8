"""Logs of a location: https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#rewrite_log."""

from __future__ import annotations

from controller.model.features.logging import RewriteLog
from controller.render.part import Context, Part
from controller.render.quoting import NginxText


def rewrite_log(feature: RewriteLog, context: Context) -> Part:
    return Part(gate=(NginxText("rewrite_log on;"), NginxText("error_log stderr notice;")))
