"""The headers that every request carries to its pod (routing, "Request headers to the backend").

nginx hands the list down to a location as a whole or not at all, so a location that differs writes all of it.
"""

from __future__ import annotations

from controller.model.configuration import MainSettings
from controller.render.quoting import NginxText, template, word

_REMOVED = NginxText('""')


def base_headers(main: MainSettings) -> dict[str, NginxText]:
    """Values by name, in the order in which they are written. An empty value is not sent."""
    full = main.use_forwarded_headers and main.compute_full_forwarded_for
    headers = {
        "Host": "$best_http_host",
        "Upgrade": "$hr_upgrade",
        "Connection": "$connection_upgrade",
        "X-Request-ID": "$req_id",
        "X-Real-IP": "$the_real_ip",
        "X-Forwarded-For": "$hr_forwarded_for_out" if full else "$the_real_ip",
        "X-Forwarded-Host": "$best_http_host",
        "X-Forwarded-Port": "$pass_port",
        "X-Forwarded-Proto": "$pass_access_scheme",
        "X-Forwarded-Scheme": "$pass_access_scheme",
        "X-Scheme": "$pass_access_scheme",
        "X-Original-Forwarded-For": header_variable(main.forwarded_for_header),
        "X-Original-Forwarded-Host": header_variable(main.forwarded_host_header),
    }
    if main.proxy_add_original_uri_header:
        headers["X-Original-URI"] = "$request_uri"
    if main.ssl_early_data:
        headers["Early-Data"] = "$ssl_early_data"  # RFC 8470, 5.1: the pod may refuse what could be sent twice
    removed = (
        "Proxy",
        "HTTP2-Settings",
        "ssl-client-verify",
        "ssl-client-subject-dn",
        "ssl-client-issuer-dn",
        "ssl-client-cert",
    )
    base = {name: NginxText(value) for name, value in headers.items()} | dict.fromkeys(removed, _REMOVED)
    return _overridden(base, main)


def _overridden(base: dict[str, NginxText], main: MainSettings) -> dict[str, NginxText]:
    """With the headers of `proxy-set-headers`, each in the place of one of the same name in any case."""
    if not main.request_headers:
        return base
    own = {header.name.lower() for header in main.request_headers}
    kept = {name: value for name, value in base.items() if name.lower() not in own}
    return kept | {header.name: template(header.value) for header in main.request_headers}


def header_variable(header: str) -> NginxText:
    """The variable that holds a header of the request."""
    return NginxText("$" + word("http_" + header.lower().replace("-", "_")))
