"""What differs between the protocols that are spoken with pods: the directive, and the twins of other directives.

Features write the directives of ngx_http_proxy_module. For gRPC and FastCGI each becomes its twin, and what has none
(there are no cookies to rewrite in gRPC, and no TLS in FastCGI) is left out.

Sources: https://nginx.org/en/docs/http/ngx_http_grpc_module.html and .../ngx_http_fastcgi_module.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from controller.model.configuration import MainSettings
from controller.model.policy import Protocol
from controller.render.part import Lines, header_lines
from controller.render.quoting import NginxText, upstream_name, word
from controller.render.request_headers import base_headers

ADDRESS = NginxText("$hr_address")
"""Where a held request is sent."""

_MODULES = {Protocol.GRPC: "grpc", Protocol.GRPCS: "grpc", Protocol.FCGI: "fastcgi"}
_SCHEMES = {
    Protocol.HTTP: "http://",
    Protocol.HTTPS: "https://",
    Protocol.AUTO_HTTP: "$scheme://",
    Protocol.GRPC: "grpc://",
    Protocol.GRPCS: "grpcs://",
    Protocol.FCGI: "",
}
_COMMON = frozenset(
    """
    connect_timeout read_timeout send_timeout next_upstream next_upstream_tries next_upstream_timeout buffer_size
    hide_header pass_header ignore_headers intercept_errors socket_keepalive
    """.split()
)
_TWINS = {
    "grpc": _COMMON,
    "fastcgi": _COMMON
    | frozenset(
        """
        buffering buffers busy_buffers_size max_temp_file_size temp_file_write_size request_buffering limit_rate
        force_ranges ignore_client_abort pass_request_body pass_request_headers
        """.split()
    ),
}
WITH_TLS = frozenset({Protocol.HTTPS, Protocol.AUTO_HTTP, Protocol.GRPCS})

_DIRECTIVE = re.compile(r"proxy_([a-z_]+)(.*)", re.DOTALL)
_HOP_BY_HOP = frozenset({"connection", "upgrade"})

UNHELD = frozenset({Protocol.GRPC, Protocol.GRPCS})
"""Protocols whose requests are never held: nginx passes the messages of a call on as they come and keeps none of them,
so a second attempt could send a part of the call and nobody would know."""

DEAF_TO_THE_SENTINEL = WITH_TLS | {Protocol.FCGI}
"""Protocols that cannot read the 503 that stands in for an empty Service."""

CGI_PARAMETERS: dict[str, NginxText] = {
    name: NginxText(value)
    for name, value in {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "nginx",
        "SERVER_PROTOCOL": "$server_protocol",
        "SERVER_NAME": "$host",
        "SERVER_ADDR": "$server_addr",
        "SERVER_PORT": "$pass_port",
        "REMOTE_ADDR": "$the_real_ip",
        "REMOTE_PORT": "$remote_port",
        "REMOTE_USER": "$remote_user",
        "REQUEST_METHOD": "$request_method",
        "REQUEST_SCHEME": "$pass_access_scheme",
        "REQUEST_URI": "$request_uri",
        "QUERY_STRING": "$query_string",
        "DOCUMENT_URI": "$document_uri",
        "DOCUMENT_ROOT": "/etc/nginx/html",
        "SCRIPT_NAME": "$fastcgi_script_name",
        "CONTENT_TYPE": "$content_type",
        "CONTENT_LENGTH": "$content_length",
        "HTTPS": "$hr_cgi_https if_not_empty",
        "REDIRECT_STATUS": "200",
    }.items()
}
"""The variables of CGI (RFC 3875, 4.1), and those that PHP wants besides. There are no documents here: the root is the
one that applications behind ingress-nginx were told."""


def module_of(protocol: Protocol) -> NginxText:
    """The prefix of the directives: `proxy`, `grpc` or `fastcgi`."""
    return NginxText(_MODULES.get(protocol, "proxy"))


def passing(protocol: Protocol, target: str) -> NginxText:
    """The directive that hands the request to an upstream, or to the address in a variable."""
    place = target if isinstance(target, NginxText) else upstream_name(target)
    return NginxText(f"{module_of(protocol)}_pass {_SCHEMES[protocol]}{place}")


def spoken(lines: Iterable[NginxText], protocol: Protocol) -> Lines:
    """The lines as the module of the protocol knows them; those that mean nothing to it are left out."""
    found = (_twin(line, protocol) for line in lines)
    return tuple(line for line in found if line is not None)


def header_list(
    overrides: Mapping[str, NginxText], main: MainSettings, protocol: Protocol, params: Mapping[str, NginxText]
) -> Lines:
    """What a location says to its pods besides the request, complete, where that is not what all locations say."""
    if not overrides and not params:
        return ()
    headers = {**base_headers(main), **overrides}
    if protocol is Protocol.FCGI:
        return parameter_lines({**cgi_parameters(headers), **params})
    if protocol in UNHELD:
        return header_lines(_for_grpc(headers), "grpc_set_header")
    return header_lines(headers) if overrides else ()


def base_lists(main: MainSettings) -> Lines:
    """The same for all locations that add nothing."""
    headers = base_headers(main)
    return (
        *header_lines(_for_grpc(headers), "grpc_set_header"),
        *parameter_lines(cgi_parameters(headers)),
    )


def cgi_parameters(headers: Mapping[str, NginxText]) -> dict[str, NginxText]:
    """Parameters by name. A header of ours is a parameter too, and so hides the client's header of that name."""
    return CGI_PARAMETERS | {
        f"HTTP_{name.upper().replace('-', '_')}": _if_not_empty(value)
        for name, value in headers.items()
        if name.lower() not in _HOP_BY_HOP
    }


def parameter_lines(parameters: Mapping[str, NginxText]) -> Lines:
    return tuple(NginxText(f"fastcgi_param {word(name)} {value};") for name, value in parameters.items())


def _if_not_empty(value: NginxText) -> NginxText:
    return value if value == '""' else NginxText(f"{value} if_not_empty")


def _for_grpc(headers: Mapping[str, NginxText]) -> dict[str, NginxText]:
    """HTTP/2 knows no headers of the connection (RFC 9113, 8.2.2)."""
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _twin(line: NginxText, protocol: Protocol) -> NginxText | None:
    found = _DIRECTIVE.fullmatch(line)
    if found is None:
        return line
    module, name, rest = _MODULES.get(protocol), found[1], found[2]
    if name.startswith("ssl_"):
        if protocol not in WITH_TLS:
            return None
        return NginxText(f"grpc_{name}{rest}") if module == "grpc" else line
    if module is None:
        return line
    return NginxText(f"{module}_{name}{rest}") if name in _TWINS[module] else None
