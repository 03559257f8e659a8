"""Which server takes a host, and which certificate a TLS client is shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from controller.model.configuration import CATCH_ALL, DEFAULT_CERTIFICATE, Certificate, Configuration, Server

_LABEL = re.compile(r"[a-z0-9_-]+")


class CertificateChoice(NamedTuple):
    """`certificate` is None where the self-signed one is served. `covers`: whether it is for the name asked for."""

    certificate: Certificate | None
    why: str
    covers: bool


def server_of(configuration: Configuration, host: str) -> tuple[Server, str]:
    """The server and why it is this one: exact name, then wildcard of one label, then the catch-all."""
    servers = configuration.servers
    if host in servers and not host.startswith("*.") and host != CATCH_ALL:
        return servers[host], "exact name"
    named = alias_server(configuration, host)
    if named is not None:
        return named, f"alias of {named.host}"
    wildcard = wildcard_server(configuration, host)
    if wildcard is not None:
        return wildcard, "wildcard, one label"
    return servers[CATCH_ALL], "catch-all: no server has this name" + _near_wildcard(configuration, host)


def alias_server(configuration: Configuration, host: str) -> Server | None:
    """The server that has this exact name as an alias (`server-alias`)."""
    servers = configuration.servers.values()
    return next((server for server in servers if any(alias.name == host for alias in server.aliases)), None)


def wildcard_server(configuration: Configuration, host: str) -> Server | None:
    """The wildcard server that covers this host, whether or not there is one with the exact name."""
    label, _, parent = host.partition(".")
    if not parent or not _LABEL.fullmatch(label):
        return None
    return configuration.servers.get(f"*.{parent}") or alias_server(configuration, f"*.{parent}")


def certificate_of(configuration: Configuration, name: str | None) -> CertificateChoice:
    """What is served in the handshake, by the name that the client indicates (None: it indicates none)."""
    if name is None:
        return _default(configuration, "the client names no host in the handshake (SNI)", "")
    own = configuration.servers.get(name) if not name.startswith("*.") else None
    if own is not None and own.certificate is not None:
        return _of(configuration, own.certificate, f"{name} has it", name)
    named = alias_server(configuration, name)
    if named is not None:
        alias = next(alias for alias in named.aliases if alias.name == name)
        if alias.certificate is not None:
            return _of(configuration, alias.certificate, f"{name} is an alias of {named.host}", name)
    parent = configuration.servers.get(f"*.{name.partition('.')[2]}")
    if parent is not None and parent.certificate is not None:
        return _of(configuration, parent.certificate, f"{parent.host} has it, and {name} has none of its own", name)
    return _default(configuration, f"no tls section names {name}", name)


def covers(certificate: Certificate, name: str) -> bool:
    """RFC 6125, 6.4.3: a wildcard is the whole first label."""
    return name in certificate.names or f"*.{name.partition('.')[2]}" in certificate.names


def expiry_of(certificate: Certificate) -> str:
    return datetime.fromtimestamp(certificate.not_after, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _of(configuration: Configuration, id_: str, why: str, name: str) -> CertificateChoice:
    if id_ == DEFAULT_CERTIFICATE:
        return _default(configuration, f"{why}, and that is the default certificate", name)
    certificate = configuration.certificates.get(id_)
    return CertificateChoice(certificate, why, certificate is not None and covers(certificate, name))


def _default(configuration: Configuration, why: str, name: str) -> CertificateChoice:
    certificate = configuration.certificates.get(configuration.default_certificate or "")
    return CertificateChoice(certificate, why, certificate is not None and covers(certificate, name))


def _near_wildcard(configuration: Configuration, host: str) -> str:
    """A hint for who expects a wildcard to stand for several labels."""
    rest = host
    while "." in rest:
        rest = rest.partition(".")[2]
        if f"*.{rest}" in configuration.servers:
            return f"; *.{rest} stands for exactly one label"
    return ""
