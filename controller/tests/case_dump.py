"""A Configuration as terse YAML, made to be read in a difference; what is as always is left out.

A host is a list: what is special about it, its locations in order as `kind path -> action [policy]`, and `otherwise`,
which takes the rest. The Ingress stands behind a location where several of them share the host.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from controller.model.configuration import (
    DEFAULT_CERTIFICATE,
    Configuration,
    Location,
    MainSettings,
    MatchKind,
    PathMatch,
    ProxyPass,
    RedirectHost,
    Return,
    Server,
)
from controller.model.policy import HttpsRedirect, LocationPolicy

EVERYTHING = PathMatch(MatchKind.PREFIX, "/")


def dump(configuration: Configuration) -> str:
    """Hosts, upstreams (`id: namespace/name port`) and settings that are not the default."""
    hosts = {server.host or "_": _server(server) for server in configuration.servers.values()}
    upstreams = {
        upstream.id: f"{upstream.service.path} {upstream.dns_port}{' external' if upstream.external else ''}"
        for upstream in configuration.upstreams.values()
    }
    parts: dict[str, Any] = {
        "hosts": {host: lines for host, lines in hosts.items() if lines},
        "upstreams": upstreams,
        "default certificate": configuration.default_certificate,
        "main": _main(configuration.main),
        "health": configuration.health_check_path if configuration.health_check_path != "/healthz" else None,
    }
    kept = {name: value for name, value in parts.items() if value} or {"hosts": {}}
    text: str = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def _server(server: Server) -> list[str]:
    shared = len(server.origins) > 1
    lines = [_tls(server)] if server.tls or server.certificate else []
    lines += ["regex"] if server.regex else []
    lines += [_location(location, shared=shared) for location in server.locations]
    plain = server.fallback.action == Return(404) and server.fallback.policy == LocationPolicy()
    if not plain and all(location.match != EVERYTHING for location in server.locations):
        lines.append("otherwise" + _location(server.fallback, shared=shared).removeprefix("prefix /"))
    return lines


def _tls(server: Server) -> str:
    names = {None: "that of its wildcard", DEFAULT_CERTIFICATE: "the default"}
    certificate = f"certificate {names.get(server.certificate, server.certificate)}"
    return f"tls, {certificate}" if server.tls else certificate


def _location(location: Location, *, shared: bool) -> str:
    kind, path = location.match
    owner = f" of {location.origin.ingress.path}" if shared and location.origin else ""
    bits = _policy(location.policy)
    return f"{kind} {path} -> {_action(location)}{owner}" + (f" [{' '.join(bits)}]" if bits else "")


def _action(location: Location) -> str:
    match location.action:
        case ProxyPass(upstream, external):
            return f"{upstream} external" if external else upstream
        case RedirectHost(host):
            return f"redirect to {host}"
        case Return(code):
            return f"{code} for {location.service}:{location.port}" if location.service else str(code)


def _policy(policy: LocationPolicy) -> list[str]:
    flags = {
        "redirect": policy.https_redirect is HttpsRedirect.ALWAYS,
        "slash": policy.preserve_trailing_slash,
        "unlogged": not policy.access_log,
        "unheld": not policy.hold,
    }
    bits = [name for name, shown in flags.items() if shown]
    if policy.rewrite is not None:
        bits.append(f"rewrite {policy.rewrite.pattern} to {policy.rewrite.target!r}")
    return bits


def _main(main: MainSettings) -> dict[str, Any]:
    plain = MainSettings()
    found = {field.name: getattr(main, field.name) for field in dataclasses.fields(main)}
    changed = {name: value for name, value in found.items() if value != getattr(plain, name)}
    return {name.replace("_", "-"): _plain(value) for name, value in changed.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value) if isinstance(value, str) else value
