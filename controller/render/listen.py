"""`listen` directives and server names: what each server has in common with all others."""

from __future__ import annotations

from controller.model.configuration import CATCH_ALL, MainSettings, Server
from controller.model.features.client_certificates import CipherList, CipherPreference, ClientCertificates
from controller.model.layout import Layout
from controller.render.quoting import NginxText, hostname_regex, quoted, template, word


def listens_of(layout: Layout, main: MainSettings, *, default: bool, preread: bool = False) -> tuple[NginxText, ...]:
    """One line per address and port; socket options stand on the default server alone, as nginx wants it.

    `preread`: the HTTPS port belongs to the stream side, which hands its connections over by a socket.
    """
    first, last = (" default_server", " backlog=4096") if default else ("", "")
    last += " reuseport" if default and main.reuse_port else ""
    plain = _lines(layout, main, layout.http_port, layout.plain_http_port, first, last)
    if preread:
        own = last.replace(" reuseport", "")  # a socket in the file system has one place
        return (*plain, NginxText(f"{quoted(f'unix:{layout.https_socket}')} ssl{first}{own}"))
    return (*plain, *https_listens(layout, main, f" ssl{first}", last))


def https_listens(layout: Layout, main: MainSettings, first: str = "", last: str = "") -> tuple[NginxText, ...]:
    """The HTTPS port on every address, with options before and after that of the PROXY protocol."""
    return _lines(layout, main, layout.https_port, layout.plain_https_port, first, last)


def _lines(
    layout: Layout, main: MainSettings, port: int, plain_port: int, first: str, last: str
) -> tuple[NginxText, ...]:
    protocol = " proxy_protocol" if main.use_proxy_protocol else ""
    ports = [(port, protocol), *([(plain_port, "")] if plain_port else [])]
    return tuple(
        NginxText(f"{address}:{number}{first}{option}{last}")
        for number, option in ports
        for address in addresses_of(layout, main)
    )


def addresses_of(layout: Layout, main: MainSettings) -> tuple[NginxText, ...]:
    """Addresses to listen on, IPv6 ones in brackets."""
    both = layout.ipv6 and not main.disable_ipv6
    if main.bind_address:
        chosen = tuple(address for address in main.bind_address if both or not address.startswith("["))
        return tuple(word(address) for address in chosen or ("*",))
    if layout.bind_addresses:
        return tuple(word(address) for address in layout.bind_addresses)
    return (word("*"), word("[::]")) if both else (word("*"),)


def server_names(server: Server) -> NginxText:
    """Its host and its other names; a wildcard takes exactly one label."""
    if server.host == CATCH_ALL:
        return word("_")
    names = (server.host, *(alias.name for alias in server.aliases))
    return NginxText(" ".join(hostname_regex(name) if name.startswith("*.") else word(name) for name in names))


def with_own_tls(server: Server) -> bool:
    """Whether its handshakes follow other rules than those of all."""
    return any(isinstance(feature, (ClientCertificates, CipherList, CipherPreference)) for feature in server.features)


def certificate_lines(layout: Layout) -> tuple[NginxText, ...]:
    """For the catch-all, and for servers whose handshakes follow rules of their own.

    nginx makes a TLS context for each server that names a certificate: 11 kB, and half of the time that it takes to
    read a host. A server without one keeps the context that the connection began with, that of the catch-all
    (ngx_http_ssl_servername); the file is the same, since its name comes from the name in the handshake.
    """
    file = template(f"{layout.certificates_dir}/$hr_certificate.pem")
    return (NginxText(f"ssl_certificate {file};"), NginxText(f"ssl_certificate_key {file};"))
