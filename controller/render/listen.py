"""`listen` directives and server names: what each server has in common with all others."""

from __future__ import annotations

from controller.model.configuration import CATCH_ALL, MainSettings, Server
from controller.model.layout import Layout
from controller.render.quoting import NginxText, hostname_regex, word


def listens_of(layout: Layout, main: MainSettings, *, default: bool) -> tuple[NginxText, ...]:
    """One line per address and port; socket options stand on the default server alone, as nginx wants it."""
    options = " default_server" if default else ""
    options += " proxy_protocol" if main.use_proxy_protocol else ""
    backlog = " backlog=4096" if default else ""
    plain = [f"{address}:{layout.http_port}{options}{backlog}" for address in addresses_of(layout, main)]
    tls = [f"{address}:{layout.https_port} ssl{options}{backlog}" for address in addresses_of(layout, main)]
    return tuple(NginxText(line) for line in plain + tls)


def addresses_of(layout: Layout, main: MainSettings) -> tuple[NginxText, ...]:
    """Addresses to listen on, IPv6 ones in brackets."""
    if layout.bind_addresses:
        return tuple(word(address) for address in layout.bind_addresses)
    return (word("*"), word("[::]")) if layout.ipv6 and not main.disable_ipv6 else (word("*"),)


def server_names(server: Server) -> NginxText:
    """Its host and its other names; a wildcard takes exactly one label."""
    if server.host == CATCH_ALL:
        return word("_")
    names = (server.host, *(alias.name for alias in server.aliases))
    return NginxText(" ".join(hostname_regex(name) if name.startswith("*.") else word(name) for name in names))
