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
    host, scheme, port, address = _client_of(main)
    headers = {
        "Host": host,
        "Upgrade": "$hr_upgrade",
        "Connection": "$connection_upgrade",
        "X-Request-ID": "$req_id",
        "X-Real-IP": address,
        "X-Forwarded-For": "$hr_forwarded_for_out" if full else address,
        "X-Forwarded-Host": host,
        "X-Forwarded-Port": port,
        "X-Forwarded-Proto": scheme,
        "X-Forwarded-Scheme": scheme,
        "X-Scheme": scheme,
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


def _client_of(main: MainSettings) -> tuple[str, str, str, str]:
    """Host, scheme, port and address of the client, as the variables that the public names stand for.

    Behind a public name is a map, which costs each request more than the header itself.
    """
    proxied = main.use_forwarded_headers or main.use_proxy_protocol
    host = "$best_http_host" if main.use_forwarded_headers else "$hr_host"
    scheme, port = ("$pass_access_scheme", "$pass_port") if proxied else ("$scheme", "$hr_listener_port")
    both = main.use_forwarded_headers and main.use_proxy_protocol
    return host, scheme, port, "$the_real_ip" if both else "$remote_addr"


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
