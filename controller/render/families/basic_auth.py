"""Names and passwords by ngx_http_auth_basic_module
(https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html), and how proofs are combined.

nginx reads the file of users at each request, so that a new password needs no reload. The pod does not learn the
password of the client.
"""

from __future__ import annotations

from controller.model.features.authentication import BasicAuth, Satisfy
from controller.render.part import Context, Part
from controller.render.quoting import NginxText, literal

_OFF = "off"


def basic_auth(feature: BasicAuth, context: Context) -> Part:
    """Raises `ValueError` for the realm that nginx takes for "no authentication", however it is quoted."""
    if feature.realm == _OFF:
        raise ValueError("this realm would switch authentication off")
    gate = (
        NginxText(f"auth_basic {literal(feature.realm)};"),
        NginxText(f"auth_basic_user_file {context.file(feature.users)};"),
    )
    return Part(gate=gate, request_headers={"Authorization": NginxText('""')})


def satisfy(feature: Satisfy, context: Context) -> Part:
    return Part(gate=(NginxText(f"satisfy {'any' if feature.any else 'all'};"),))
